"""The averages of one update, by family of inputs.  `one_update.py` says what they are."""
