"""What the limit N -> infinity keeps of a student.

Order parameters as a whole, or for each eigenvalue of the input covariance.
"""
