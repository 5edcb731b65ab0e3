"""Training whole weight vectors, step by step."""
