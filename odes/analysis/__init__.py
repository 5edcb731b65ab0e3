"""What follows from the equations beyond their solutions: a single neuron's escape, clones of a
task.
"""
