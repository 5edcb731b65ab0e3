"""One small sweep that the tests share, with students, teachers and inputs all different."""

import numpy as np

import teacherstudent as ts

TIMES = [0.0, 0.5, 2.0]
OVER = {"rule.learning_rate": [0.1, 0.4], "student.width": [2, 3]}


def problem(**changes) -> ts.Problem:
    """A noiseless teacher of one unit, the student of which learns by SGD."""
    parts = {"task": ts.TeacherStudent(1), "student": ts.Student(2), "rule": ts.SGD(0.1)} | changes
    return ts.Problem(**parts)


def start(K: int = 3, M: int = 1) -> ts.OrderParameters:
    """Overlaps without symmetries."""
    Q = 0.4 * np.eye(K) + 0.05
    R = 0.1 + 0.02 * np.arange(K * M).reshape(K, M)
    return ts.OrderParameters(Q=Q, R=R)
