"""What one update does to the order parameters beyond its mean.

Per update y <- y + F / N with F of the update's samples.  F is linear in what these give, so that
the covariance of a batch is that of one sample over the batch size:

    D = Cov F = Cov(F of one sample) / B

where the term of second order in the learning rate counts 1 / B in each, as in the mean.

The mean of one update is f / N + c / N^2.  c has what the rule does at second order (its
`second_order`), and the part of |x|^2 / N and of x_i . x_j / N that goes with the fields: with
x_in the part of x in the span of all vectors, of dimension P, at given fields

    N E|x|^2 / N   = N sigma^2 + |x_in|^2 - P sigma^2
    E[x_i . x_j]   = x_in,i . x_in,j
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.analysis.entries import as_numbers
from odes.analysis.sample_points import SamplePoints
from odes.inputs.one_update import Fixed, Gradient, State, averages_of, without_frozen
from odes.inputs.samples import Samples
from odes.rules.theory import theory_of
from teacherstudent.problem import Problem


class OneStep(NamedTuple):
    """One update beyond its mean: D and c, in the numbers that move; c is None if not known."""

    covariance: Float[Array, "entries entries"]
    second_order: Float[Array, " entries"] | None


def one_step(problem: Problem, fixed: Fixed, state: State, points: SamplePoints) -> OneStep:
    """D and c at a state, averaged over these points."""
    averages = averages_of(type(problem.task))
    samples = averages.samples(problem.task, problem, fixed, state, points.z)
    weights = samples.probability * points.weights.ravel()
    weights = weights / jnp.sum(weights)
    each = jax.vmap(lambda one: given_by(problem, one))(samples)
    theory = theory_of(problem.rule)

    def change(sampled: Gradient) -> Float[Array, " entries"]:
        moved = theory.one_update(problem.rule, problem, fixed, state, sampled)
        return as_numbers(held(problem, moved), problem)

    F = jax.vmap(change)(each)
    F = F - (weights @ F)[None, :]
    D = (weights[:, None] * F).T @ F / problem.batch_size
    mean = jax.tree.map(lambda part: jnp.tensordot(weights, part, axes=1), each)
    square = without_frozen(problem, mean._replace(square=beyond_limit(problem, samples, weights)))
    second = theory.second_order(problem.rule, problem, state, mean, square.square)
    if second is None:
        return OneStep(D, None)
    return OneStep(D, as_numbers(held(problem, second), problem))


def given_by(problem: Problem, sample: Samples) -> Gradient:
    """What one sample gives in the place of the averages of one update."""
    delta = sample.delta
    square = sample.outside * delta[:, None] * delta[None, :] / problem.batch_size
    given = Gradient(
        q=(delta[:, None] * sample.l[None, :])[..., None],
        r=(delta[:, None] * sample.s[None, :])[..., None],
        square=square[..., None],
        v=sample.readout,
        b=delta,
    )
    return without_frozen(problem, given)


def beyond_limit(
    problem: Problem, samples: Samples, weights: Float[Array, " samples"]
) -> Float[Array, "students students 1"]:
    """N E[delta_k delta_l |x|^2 / N] beyond N times its limit, of a batch's mean gradient."""
    B = problem.batch_size
    span = samples.inside.shape[1]
    excess = jnp.sum(samples.inside**2, axis=1) - span * samples.outside
    of_one = (weights * excess)[:, None] * samples.delta
    along = (weights[:, None] * samples.delta).T @ samples.inside
    of_two = along @ along.T
    return (of_one.T @ samples.delta / B + (1 - 1 / B) * of_two)[..., None]


def held(problem: Problem, moved: State) -> State:
    """The change of a state without that of frozen units' readouts and biases."""
    if not problem.student.frozen:
        return moved
    moving = jnp.asarray(problem.student.moving)
    return moved._replace(v=moving * moved.v, b=moving * moved.b)
