"""The Gaussian averages that the theory of a two-layer network needs: their names and their
contract.

Fields h = (lambda_1..lambda_K, nu_1..nu_M) are jointly Gaussian with zero mean and covariance

    C = [[Q, R], [R^T, T]].

The first K carry the student's activation g, the last M the teacher's g*;
write g_a for the one of field a, P = K + M.

    I2(a, b)       = E[g_a(h_a) g_b(h_b)]
    J2(k, b)       = E[g'(h_k) g_b'(h_b)]
    G2(k, c)       = E[g''(h_k) g_c(h_c)]
    I4(k, l, a, b) = E[g'(h_k) g'(h_l) g_a(h_a) g_b(h_b)]

with k, l among the student's fields.  Saad & Solla's third average needs no formula of its own: by
Stein's lemma

    I3(k, x, c) = E[g'(h_k) h_x g_c(h_c)] = C_kx G2(k, c) + C_xc J2(k, c),

which has no determinant in a denominator and holds where fields coincide.

To add a pair of activations with closed forms, write one file with a subclass of `Averages`; the
student's activation answers with an object of it (`Activation.averages`).
"""

import abc

from jaxtyping import Array, Float


class Averages(abc.ABC):
    """Closed forms of the averages over the fields h ~ N(0, C) of K student and M teacher units.

    C = [[Q, R], [R^T, T]] has the students first.  With g_a the activation of field a, and u one
    weight for each field, a subclass writes

        I2(C)[a, b]    = E[g_a(h_a) g_b(h_b)]
        J2(C)[k, b]    = E[g'(h_k) g_b'(h_b)]
        G2(C)[k, c]    = E[g''(h_k) g_c(h_c)]
        I4(C, u)[k, l] = E[g'(h_k) g'(h_l) (sum_a u_a g_a(h_a))^2]

    with k, l = 1..K and a, b, c = 1..K + M; `self.students` is K and `self.teachers` M.

    Those of linear students and teachers, whose output is the weighted sum of the fields:

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> class Linear(ts.Averages):
    ...     def I2(self, C):
    ...         return C
    ...
    ...     def J2(self, C):
    ...         return jnp.ones((self.students, len(C)))
    ...
    ...     def G2(self, C):
    ...         return jnp.zeros((self.students, len(C)))
    ...
    ...     def I4(self, C, u):
    ...         return jnp.full((self.students, self.students), u @ C @ u)
    >>> C = jnp.array([[1.0, 0.5], [0.5, 2.0]])
    >>> print(Linear(students=1, teachers=1).I4(C, jnp.array([1.0, -1.0])))
    [[2.]]
    """

    def __init__(self, students: int, teachers: int):
        self.students = students
        self.teachers = teachers

    @abc.abstractmethod
    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        """E[g_a(h_a) g_b(h_b)] for all pairs of fields."""

    @abc.abstractmethod
    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        """E[g'(h_k) g_b'(h_b)] for student fields k and all fields b."""

    @abc.abstractmethod
    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        """E[g''(h_k) g_c(h_c)] for student fields k and all fields c (g'' in the sense of
        distributions).
        """

    @abc.abstractmethod
    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        """The contraction of I4 with weights u of the fields,

        sum_ab u_a u_b I4(k, l, a, b) = E[g'(h_k) g'(h_l) (sum_a u_a g_a(h_a))^2].
        """
