"""Whether two tasks have the same inputs, so that a network goes on from one to the other."""

from typing import Any

import numpy as np


def have_same_inputs(task: Any, other: Any) -> bool:
    """Whether only the labels differ: with two classes, the same fixed directions are enough, and
    isotropic inputs may have another mean along the same vectors.
    """
    if task.HAS_CLASSES or other.HAS_CLASSES:
        return task.HAS_CLASSES and other.HAS_CLASSES
    if type(task) is not type(other):
        return not task.HAS_MODES and not other.HAS_MODES
    for name in (*task.INPUT_FIELDS, *task.ARRAYS):
        if not _equal(getattr(task, name, None), getattr(other, name, None)):
            return False
    return True


def _equal(one, other) -> bool:
    if one is other:
        return True
    try:
        return bool(np.array_equal(np.asarray(one), np.asarray(other)))
    except (TypeError, ValueError):
        return bool(one == other)
