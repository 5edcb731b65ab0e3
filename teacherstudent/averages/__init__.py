"""Gaussian averages over the fields of student and teacher.

`base.py` and `shifted.py` have the two contracts, `choice.py` picks the formulas for two
activations, and `fields.py` those for one update on inputs of two classes.
"""

from teacherstudent.averages.base import Averages
from teacherstudent.averages.choice import averages_for, shifted_averages_for
from teacherstudent.averages.shifted import ShiftedAverages

__all__ = ["Averages", "ShiftedAverages", "averages_for", "shifted_averages_for"]
