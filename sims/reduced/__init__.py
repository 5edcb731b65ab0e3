"""Finite networks without their weights: the exact chain of the overlaps at finite N.

`chain.py` explains it.
"""
