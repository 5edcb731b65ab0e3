"""How the inputs of each task are drawn.  `source.py` has the contract."""
