"""Order parameters: what the limit N -> infinity keeps of a student, in all or by eigenvalue of the
input covariance.
"""
