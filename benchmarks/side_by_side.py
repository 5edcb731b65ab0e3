"""Timing two things in turn, so that a machine whose speed drifts does not decide the ratio."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Ratio(NamedTuple):
    """Median seconds of two programs, and the median and range of their ratio pair by pair."""

    ours: float
    other: float
    ratio: float
    least: float
    most: float


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def compare(ours: Callable, other: Callable, repeats: int = 5, warm: bool = True) -> Ratio:
    """Time both in turn: other over ours, after one call of each that is not counted."""
    if warm:
        ours(), other()
    pairs = np.array([(seconds(ours), seconds(other)) for _ in range(repeats)])
    ratios = pairs[:, 1] / pairs[:, 0]
    return Ratio(*np.median(pairs, axis=0), np.median(ratios), ratios.min(), ratios.max())
