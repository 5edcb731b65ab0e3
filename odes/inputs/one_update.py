"""What one update does on average: the quantities that move, those that do not, and the averages
that move them.

A sample moves w_k by -(eta / sqrt N) delta_k x.  Along an eigenvector u_tau of the input
covariance, in the limit N -> infinity, only these averages matter (q = w w^T, r = w f^T of each
mode, f the teacher or the fixed directions):

    q_kl(tau) = E[delta_k x_tau] w_l^tau,   r_km(tau) = E[delta_k x_tau] f_m^tau,   square_kl(tau) =
    E[delta_k delta_l x_tau^2] v_k = E[d l / d v_k],   b_k = E[d l / d b_k]

Tasks differ in how they come about: `spectral.py` for inputs with a teacher, `mixture.py` for
inputs of two classes.  The arrays have the modes last, so that each product is one matrix product
for all modes.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Float

from teacherstudent.checking.contracts import for_each_class
from teacherstudent.problem import Problem
from teacherstudent.tasks import Task


class Fixed(NamedTuple):
    """What does not move: the spectrum of the inputs, and the teacher's overlaps, by mode and in
    all.

    `noise` is E[x_tau^2] of what multiplies delta in an update: rho for the input itself, another
    number for its signs.
    """

    rho: Float[Array, " modes"]
    weights: Float[Array, " modes"]
    t: Float[Array, "teachers teachers modes"]
    T: Float[Array, "teachers teachers"]
    noise: Float[Array, " modes"]


class State(NamedTuple):
    """What moves: the student's overlaps by mode, its readout and its biases, and what the rule
    remembers.
    """

    q: Float[Array, "students students modes"]
    r: Float[Array, "students teachers modes"]
    v: Float[Array, " students"]
    b: Float[Array, " students"]
    memory: Any = ()


class Gradient(NamedTuple):
    """The averages of one update: with the student's own vectors, with the fixed ones, squared, and
    of readout and biases.
    """

    q: Float[Array, "students students modes"]
    r: Float[Array, "students teachers modes"]
    square: Float[Array, "students students modes"]
    v: Float[Array, " students"]
    b: Float[Array, " students"]


def overlaps(
    fixed: Fixed, state: State
) -> tuple[Float[Array, "students students"], Float[Array, "students teachers"]]:
    """Q = sum_tau p rho q and R = sum_tau p r."""
    return state.q @ (fixed.weights * fixed.rho), state.r @ fixed.weights


@for_each_class()
def gradient(task: Task, problem: Problem, fixed: Fixed, state: State) -> Gradient:
    """The averages of one update on the inputs of a task."""
    raise ValueError(f"there is no theory for the task {type(task).__name__}.")
