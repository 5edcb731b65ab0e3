"""Tasks: the law of the inputs and of the labels, one file each."""

from teacherstudent.tasks.base import StructuredTask, Task
from teacherstudent.tasks.gaussian_equivalent import GaussianEquivalent
from teacherstudent.tasks.hidden_manifold import HiddenManifold
from teacherstudent.tasks.teacher_student import TeacherStudent

TASKS = {task.__name__: task for task in (TeacherStudent, HiddenManifold, GaussianEquivalent)}

__all__ = ["TASKS", "GaussianEquivalent", "HiddenManifold", "StructuredTask", "Task", "TeacherStudent"]
