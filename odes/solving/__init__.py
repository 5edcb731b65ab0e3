"""The solve: steps and their sizes, packing of states, precision, how far to trust an answer."""
