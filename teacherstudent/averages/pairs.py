"""Unordered pairs of units: which index pairs (i <= j) to compute, and where their values go in a
symmetric matrix.
"""

import numpy as np


def unordered_pairs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices i and j of all pairs i <= j, each an array of length size (size + 1) / 2."""
    return np.triu_indices(size)


def multiplicity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How often each unordered pair occurs among the ordered ones: 2, or 1 on the diagonal."""
    return np.where(first == second, 1.0, 2.0)


def pair_number(size: int) -> np.ndarray:
    """The symmetric matrix whose entry (i, j) is the position of the pair {i, j} in
    `unordered_pairs(size)`.
    """
    first, second = unordered_pairs(size)
    number = np.zeros((size, size), dtype=int)
    number[first, second] = number[second, first] = np.arange(len(first))
    return number
