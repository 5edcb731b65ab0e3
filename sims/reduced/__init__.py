"""Finite networks without their weights: the exact chain of the overlaps.  `chain.py` explains it."""
