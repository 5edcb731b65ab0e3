"""The solve: step-size control, packing of states, precision, and how far an answer can be trusted."""
