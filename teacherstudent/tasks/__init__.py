"""Tasks: the law of the inputs and of the labels, one file each."""

from teacherstudent.tasks.teacher_student import TeacherStudent

TASKS = {task.__name__: task for task in (TeacherStudent,)}

__all__ = ["TASKS", "TeacherStudent"]
