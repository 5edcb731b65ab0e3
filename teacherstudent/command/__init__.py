"""The command line, and the experiments it runs: a thin shell around `Experiment`."""
