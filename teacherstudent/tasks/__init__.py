"""Tasks: the law of the inputs and of the labels, one file each."""

from teacherstudent.tasks.base import StructuredTask, Task, TeacherTask
from teacherstudent.tasks.box_mixture import BoxMixture
from teacherstudent.tasks.classifying_teacher import ClassifyingTeacher
from teacherstudent.tasks.gaussian_equivalent import GaussianEquivalent
from teacherstudent.tasks.gaussian_mixture import GaussianMixture
from teacherstudent.tasks.hidden_manifold import HiddenManifold
from teacherstudent.tasks.label_attack import LabelAttack
from teacherstudent.tasks.mixed_cumulant import MixedCumulant
from teacherstudent.tasks.mixture import Components, MixtureTask
from teacherstudent.tasks.shifted_teacher_student import ShiftedTeacherStudent
from teacherstudent.tasks.spiked_cumulant import SpikedCumulant
from teacherstudent.tasks.teacher_student import TeacherStudent

TASKS = {
    task.__name__: task
    for task in (
        TeacherStudent,
        ClassifyingTeacher,
        HiddenManifold,
        GaussianEquivalent,
        SpikedCumulant,
        MixedCumulant,
        GaussianMixture,
        BoxMixture,
        LabelAttack,
        ShiftedTeacherStudent,
    )
}

__all__ = [
    "TASKS",
    "BoxMixture",
    "ClassifyingTeacher",
    "Components",
    "GaussianEquivalent",
    "GaussianMixture",
    "HiddenManifold",
    "LabelAttack",
    "MixedCumulant",
    "MixtureTask",
    "ShiftedTeacherStudent",
    "SpikedCumulant",
    "StructuredTask",
    "Task",
    "TeacherStudent",
    "TeacherTask",
]
