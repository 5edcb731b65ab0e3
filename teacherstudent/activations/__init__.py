"""Activation functions of the hidden units: `activation.py` has the class and the named ones."""
