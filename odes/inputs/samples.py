"""Single samples of one update, of which `one_update.py` has the averages.

A sample gives, at order parameters that it does not change by more than O(1 / N),

    q_kl      = delta_k l_l
    r_km      = delta_k s_m
    square_kl = delta_k delta_l sigma^2
    v_k       = g(lambda_k) l'(phi, y)
    b_k       = delta_k

with delta_k = v_k g'(lambda_k) l'(phi, y), where the rule may put something else in place of v_k
(`Rule.backward`), l_l = w_l . x / sqrt N, s_m = f_m . x / sqrt N and
sigma^2 the variance of x orthogonal to all vectors.  |x|^2 / N = sigma^2 + O(N^(-1/2)), whose
fluctuations are of no consequence for the covariance of the order parameters.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.extensions.own_classes import changed_inputs
from teacherstudent.losses import as_loss
from teacherstudent.problem import Problem
from teacherstudent.tasks.base import Labels, Task


class RandomNumbers(NamedTuple):
    """What the fields and the label of one sample are made of.

    - `numbers`: how many standard normal numbers.
    - `components`: of a mixture, each of which has samples of its own; 1 of a single Gaussian.
    - `smooth`: whether one update is a smooth function of them.
    """

    numbers: int
    components: int
    smooth: bool


class Samples(NamedTuple):
    """Samples, and what each of them gives.

    - `probability`: how much each counts, up to a common factor.
    - `inside`: the coordinates of x along orthonormal vectors that span the fixed vectors and the
      student's; `outside`: the variance along each of the other dimensions.
    - `l`, `s`: the fields of the student's vectors, without bias, and of the fixed ones.
    - `delta`, `readout`: delta_k and g(lambda_k) l'(phi, y).
    """

    probability: Float[Array, " samples"]
    inside: Float[Array, "samples span"]
    outside: Float[Array, " samples"]
    l: Float[Array, "samples students"]
    s: Float[Array, "samples teachers"]
    delta: Float[Array, "samples students"]
    readout: Float[Array, "samples students"]


def samples_of_fields(
    problem: Problem,
    state,
    probability: Float[Array, " samples"],
    inside: Float[Array, "samples span"],
    outside: Float[Array, " samples"],
    l: Float[Array, "samples students"],
    s: Float[Array, "samples teachers"],
    label: Float[Array, " samples"],
) -> Samples:
    """The samples with these fields and labels, at the readout and the biases of a state."""
    activation = problem.student.activation
    lam = l + state.b[None, :]
    hidden = activation(lam)
    slope = as_loss(problem.loss).slope(hidden @ state.v, label)
    back = problem.rule.backward(state.v)
    delta = back[None, :] * activation.derivative(lam) * slope[:, None]
    return Samples(probability, inside, outside, l, s, delta, hidden * slope[:, None])


def labels_at(
    task: Task, fields: Float[Array, "samples teachers"], noise: Float[Array, " samples"]
) -> Float[Array, " samples"]:
    """What the student is told of the samples; `noise` is the class of those with two classes."""
    answer = task.label(fields, noise)
    if isinstance(answer, Labels):
        return answer.noisy
    return answer


def require_our_inputs(task: Task) -> None:
    """Raise ValueError if the class of a task changes the law of its inputs."""
    changed = changed_inputs(task)
    if changed is not None:
        raise ValueError(
            f"there is no band of fluctuations: {changed}, and single samples are known of the "
            "inputs of ours only; write `random_numbers` and `samples` in an InputTheory, or "
            "simulate several seeds."
        )


def symmetric_root(C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
    """C^(1/2); directions of negative variance, by rounding, have none."""
    values, vectors = jnp.linalg.eigh(C)
    scales = jnp.sqrt(jnp.maximum(values, 0.0))
    return (vectors * scales[None, :]) @ vectors.T
