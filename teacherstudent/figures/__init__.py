"""Figures of results, one kind of figure in each file; `plotting.py` has the verb."""
