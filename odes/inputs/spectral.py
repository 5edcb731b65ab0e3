"""The averages of one update on inputs with a teacher, mode by mode of the input covariance.

Inputs enter through the spectrum of their covariance: eigenvalues rho_tau with weights p_tau.  By
Stein's lemma E[delta_k y] = sum_b J_kb Cov(h_b, y) for every y jointly Gaussian with the fields
h = (lambda, nu).  With q = w w^T, r = w f^T, t = f f^T of each mode (see
`teacherstudent/states/spectral_overlaps.py`), J = (J_lambda, J_nu) and D from `moments.py`,

    E[delta x_tau] f^tau        = rho J_lambda r + J_nu t
    E[delta x_tau] w^tau        = rho J_lambda q + J_nu r^T
    E[delta delta^T x_tau^2]    = rho D

where a rule takes something else than x, the last is `Fixed.noise` D.

Isotropic inputs may have a mean sum_m mu_m w*_m / sqrt N, a vector of length O(1), so that
|x|^2 / N stays 1.  Stein's lemma holds for what varies about it, and the mean comes with
a_k = E[delta_k]:

    E[delta x] w  = J_lambda Q + J_nu R^T + a (R mu)^T
    E[delta x] w* = J_lambda R + J_nu T + a (T mu)^T

The equations of Goldt et al., Phys. Rev. X 10, 041044 (2020) and MSML 2021, with their sums over I3
done by linear algebra; their 2 x 2 determinants, which vanish where fields coincide, do not occur.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.moments import Moments, moments
from odes.inputs.one_update import Fixed, Gradient, InputTheory, State, overlaps
from odes.inputs.samples import (
    RandomNumbers,
    Samples,
    labels_at,
    require_our_inputs,
    samples_of_fields,
    symmetric_root,
)
from teacherstudent.extensions.own_classes import changed_labels
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import covariance
from teacherstudent.tasks import TeacherTask


class AveragesWithTeacher(InputTheory, task=TeacherTask):
    """The averages of one update where a teacher labels the inputs.

        E[delta x_tau] w^tau = rho J_lambda q + J_nu r^T,   E[delta x_tau] f^tau likewise

    To give a task of your own a theory, derive from this class and change what its labels change.
    Label noise of +-sigma changes nothing: of the noise only mean and variance matter.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> class BinaryNoise(ts.TeacherStudent):
    ...     error = ts.TeacherStudent.error
    ...
    ...     def label(self, fields, noise):
    ...         return super().label(fields, jnp.sign(noise))
    >>> class AveragesOfBinaryNoise(ts.AveragesWithTeacher, task=BinaryNoise):
    ...     pass
    >>> problem = ts.Problem(BinaryNoise(1, noise=0.3), ts.Student(1), ts.SGD(0.1))
    >>> start = ts.OrderParameters(Q=[[1.0]], R=[[0.5]])
    >>> theory = ts.integrate(problem, start, [0.0, 5.0])
    >>> bool(theory.eps_g[1] < theory.eps_g[0])
    True
    """

    def gradient(self, task: TeacherTask, problem: Problem, fixed: Fixed, state: State) -> Gradient:
        mean = self.moments(task, problem, fixed, state)
        return along_mean(task, mean.bias, fixed, state, by_mode(mean, fixed, state))

    def moments(self, task: TeacherTask, problem: Problem, fixed: Fixed, state: State) -> Moments:
        """The same over the Gaussian fields."""
        C = covariance(*overlaps(fixed, state), fixed.T)
        return moments(problem, C, state.v, state.b)

    def random_numbers(self, task: TeacherTask, problem: Problem) -> RandomNumbers:
        if task.HAS_MODES:
            raise ValueError(
                f"there is no band of fluctuations for the task {type(task).__name__}: there is "
                "none because the overlaps of every mode of the inputs fluctuate, and the "
                "covariance between modes is not known; simulate several seeds."
            )
        require_our_inputs(task)
        smooth = not (problem.student.activation.cuts or task.activation.cuts)
        smooth = smooth and not task.activation.singularities.jumps()
        smooth = smooth and not changed_labels(task)
        return RandomNumbers(problem.student.width + task.directions + 1, 1, smooth)

    def samples(
        self,
        task: TeacherTask,
        problem: Problem,
        fixed: Fixed,
        state: State,
        z: Float[Array, "1 points numbers"],
    ) -> Samples:
        """The fields are C^(1/2) z, so that z are the coordinates of x in the span of all
        vectors; those of a mean mu are C^(1/2) (0, mu).
        """
        K = state.v.shape[0]
        C = covariance(*overlaps(fixed, state), fixed.T)
        root = symmetric_root(C)
        inside = z[0, :, :-1]
        mu = task.mean_coordinates
        if mu is not None:
            inside = inside + (root[:, K:] @ mu)[None, :]
        h = inside @ root
        label = labels_at(task, h[:, K:], z[0, :, -1])
        ones = jnp.ones(len(h))
        return samples_of_fields(problem, state, ones, inside, ones, h[:, :K], h[:, K:], label)


def by_mode(mean: Moments, fixed: Fixed, state: State) -> Gradient:
    """The averages of one update from those over the fields."""
    J, D, readout, bias = mean
    K = state.v.shape[0]
    J_lambda = J[:, :K]
    J_nu = J[:, K:]
    return Gradient(
        q=along(J_lambda, J_nu, fixed.rho, state.q, state.r.swapaxes(0, 1)),
        r=along(J_lambda, J_nu, fixed.rho, state.r, fixed.t),
        square=D[:, :, None] * fixed.noise[None, None, :],
        v=readout,
        b=bias,
    )


def along_mean(
    task: TeacherTask,
    a: Float[Array, " students"],
    fixed: Fixed,
    state: State,
    centred: Gradient,
) -> Gradient:
    """The averages of one update on inputs with a mean, from a = E[delta] and those of what varies
    about it.
    """
    mu = task.mean_coordinates
    if mu is None:
        return centred
    _, R = overlaps(fixed, state)
    return centred._replace(
        q=centred.q + (a[:, None] * (R @ mu)[None, :])[..., None],
        r=centred.r + (a[:, None] * (fixed.T @ mu)[None, :])[..., None],
    )


def along(
    J_lambda: Float[Array, "students students"],
    J_nu: Float[Array, "students teachers"],
    rho: Float[Array, " modes"],
    overlap: Float[Array, "students others modes"],
    signal: Float[Array, "teachers others modes"],
) -> Float[Array, "students others modes"]:
    """E[delta_k x_tau] y_l^tau for other vectors y, from their overlaps w y^T and f y^T."""
    from_student = rho[None, None, :] * jnp.einsum("kj,jlt->klt", J_lambda, overlap)
    from_teacher = jnp.einsum("kn,nlt->klt", J_nu, signal)
    return from_student + from_teacher
