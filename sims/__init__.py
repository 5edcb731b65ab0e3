"""Finite networks: simulations of the problems whose limit N -> infinity is in `odes`.

Part of the distribution `teacherstudent`; users call `teacherstudent.simulate`.
"""
