"""The Gaussian averages of a student's fields with non-zero means: their names and their contract.

Fields lambda ~ N(mean, C) of K student units with one activation g; C may be singular, or zero.

    values(k)     = E[g(lambda_k)]
    slopes(k)     = E[g'(lambda_k)]
    curvatures(k) = E[g''(lambda_k)]
    I2(i, j) = E[g(lambda_i) g(lambda_j)]
    S2(k, j) = E[g'(lambda_k) g(lambda_j)]
    J2(k, l) = E[g'(lambda_k) g'(lambda_l)]
    G2(k, j) = E[g''(lambda_k) g(lambda_j)]
    I4(k, l; v, y) = E[g'(lambda_k) g'(lambda_l) (sum_j v_j g(lambda_j) - y)^2]

With mean = 0 and y = 0 these are the averages of `base.py` for a student without a teacher.

To add an activation with closed forms, write one file with a subclass of `ShiftedAverages`; the
activation answers with an object of it (`Activation.shifted_averages`).
"""

import abc

from jaxtyping import Array, Float

Mean = Float[Array, " students"]
Covariance = Float[Array, "students students"]
PerUnit = Float[Array, " students"]
PerPair = Float[Array, "students students"]


class ShiftedAverages(abc.ABC):
    """Averages over the fields of K student units, as functions of their mean and covariance.

    Of linear units, for example, one has

        values = mean,   slopes = 1,   curvatures = 0,   I2 = C + mean mean^T,
        S2(k, j) = mean_j,   J2 = 1,   G2 = 0,   I4 = v^T C v + (v . mean - y)^2.

    `tests/extending/test_activation_with_closed_forms.py` writes a class of this kind.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> from teacherstudent.averages import shifted_averages_for
    >>> linear = shifted_averages_for(ts.Student(1, "linear").activation, students=1)
    >>> isinstance(linear, ts.ShiftedAverages)
    True
    >>> print(linear.I2(jnp.array([3.0]), jnp.array([[0.5]])))
    [[9.5]]
    """

    def __init__(self, students: int):
        self.students = students

    @abc.abstractmethod
    def values(self, mean: Mean, C: Covariance) -> PerUnit:
        """E[g(lambda_k)]."""

    @abc.abstractmethod
    def slopes(self, mean: Mean, C: Covariance) -> PerUnit:
        """E[g'(lambda_k)]."""

    @abc.abstractmethod
    def curvatures(self, mean: Mean, C: Covariance) -> PerUnit:
        """E[g''(lambda_k)], g'' in the sense of distributions."""

    @abc.abstractmethod
    def I2(self, mean: Mean, C: Covariance) -> PerPair:
        """E[g(lambda_i) g(lambda_j)] for all pairs."""

    @abc.abstractmethod
    def S2(self, mean: Mean, C: Covariance) -> PerPair:
        """E[g'(lambda_k) g(lambda_j)] for all pairs."""

    @abc.abstractmethod
    def J2(self, mean: Mean, C: Covariance) -> PerPair:
        """E[g'(lambda_k) g'(lambda_l)] for all pairs."""

    @abc.abstractmethod
    def G2(self, mean: Mean, C: Covariance) -> PerPair:
        """E[g''(lambda_k) g(lambda_j)] for all pairs."""

    @abc.abstractmethod
    def I4(self, mean: Mean, C: Covariance, v: PerUnit, y: Float[Array, ""]) -> PerPair:
        """E[g'(lambda_k) g'(lambda_l) (sum_j v_j g(lambda_j) - y)^2] for all pairs."""
