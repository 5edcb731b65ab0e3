"""What is recorded of a network beside its overlaps: errors, accuracies, and the bounds that nobody
beats.
"""
