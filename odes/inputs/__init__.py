"""The averages of one update, by family of inputs; `one_update.py` has the contract.

Importing this package registers the averages of our tasks.
"""

from odes.inputs import mixture, signs, spectral  # noqa: F401
