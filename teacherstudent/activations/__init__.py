"""Activation functions of the hidden units.

`base.py` has the contract, `activation.py` what users may give, `named.py` the list of those with a
name; `erf.py`, `relu.py`, `linear.py`, `polynomial.py`, `signs.py` and `contrasts.py` the functions
with their closed forms, and `singularities.py` finds kinks and jumps.
"""
