"""What each update rule makes of the averages, one file each.  `flow.py` has the contract."""
