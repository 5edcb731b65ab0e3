"""Finite networks without their weights: the exact Markov chain of the overlaps at finite N, at a
cost that does not depend on N.

Inputs that are isotropic Gaussian outside the span of a few fixed vectors (teacher units, spikes,
class means) and of the student's rows look the same in every frame that contains these.  In such a
frame a row w_k / sqrt N is

    (its coordinates along an orthonormal basis of the fixed vectors,  its row of a lower triangular
    matrix)

and an input x has the coordinates (s, sigma e) and, orthogonal to the frame, a vector of which only
lengths and products count:

    rows <- rows - (eta / N) < delta x^T >,   x = (s, sigma e | sigma y),   e ~ N(0, 1),   y the row
    of a Bartlett factor,

which has chi_d on the diagonal, d = N - P, N - P - 1, ..., and N(0, 1) below it; P is the dimension
of the frame.  The new rows have as many columns more as the batch has samples (at most K: < delta
y^T > has rank K, and F Y with F F^T = delta delta^T has its law), and a rotation makes them
triangular again.  No matrix is squared and no case of linear dependence is special.

Saad & Solla, Phys. Rev. E 52, 4225 (1995), average this chain for N -> infinity; the square-root
form is ours.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

from sims.inputs.source import labels_of
from sims.reduced.columns import (
    Column,
    Number,
    combined,
    dot,
    each,
    joined,
    padded,
    row,
    settled,
    times,
    triangular,
)
from sims.reduced.draws import Draw, Law, draws, rank
from sims.reduced.rules import Layers, Memory, updated
from sims.running.blocks import Span, over_blocks
from sims.running.loop import NEVER
from teacherstudent.checking.own_classes import changed_labels
from teacherstudent.losses import Loss, as_loss
from teacherstudent.problem import Problem
from teacherstudent.rules import Rule
from teacherstudent.tasks import Task


class Setting(eqx.Module):
    """All that a step needs of a problem; every leaf is one number, so that none of them compiles
    anew.
    """

    width: int = eqx.field(static=True)
    activation: Any = eqx.field(static=True)  # g, which has a `derivative`
    readout: bool = eqx.field(static=True)
    bias: bool = eqx.field(static=True)
    rule: Rule
    loss: str | Loss = eqx.field(static=True)
    task: Task | None  # where its labels are of its own, or classes
    teacher: Any = eqx.field(static=True)  # g*, or None
    v_star: list[Float[Array, ""]]
    noise: Float[Array, ""]
    basis: list[list[Float[Array, ""]]]  # T = basis basis^T
    N: Float[Array, ""]


def setting(problem: Problem, basis, N: int, dtype) -> Setting:
    """What a step needs of this problem at this N."""
    two_classes = problem.task.HAS_CLASSES
    number = lambda value: jnp.asarray(value, dtype)
    task = None
    if changed_labels(problem.task):
        task = jax.tree.map(number, problem.task.for_programs())
    return Setting(
        problem.student.width,
        problem.student.activation,
        problem.student.train_readout,
        problem.student.train_bias,
        jax.tree.map(number, problem.rule),
        problem.loss,
        task,
        None if two_classes else problem.teacher.activation,
        [] if two_classes else [number(value) for value in problem.teacher.v_star],
        number(0.0 if two_classes else problem.teacher.noise),
        [[number(entry) for entry in line] for line in basis],
        number(N),
    )


class Chain(NamedTuple):
    """The rows in the frame (memory rows of the rule below those of the student), readout, biases,
    and the rest of the memory.
    """

    fixed: list[Column]
    own: list[Column]  # lower triangular: column j begins with row j
    v: Column
    b: Column
    memory: list[Array]  # the leaves of the rule's memory that are no rows
    diverged: UInt32[Array, "1 seeds"]


class Sums(NamedTuple):
    """Sums over the samples of a batch: of delta x^T in the frame, of the slopes of v and b; F with
    F F^T the sum of sigma^2 delta delta^T; whether all is finite."""

    inside: list[Column]
    F: list[Column]
    v: Column
    b: Column
    finite: Array


class Sample(NamedTuple):
    """The random numbers of one sample of every seed."""

    s: list[Number]
    e: list[Number]
    label: Number
    sigma: Number | None


def step(
    setting: Setting,
    chain: Chain,
    samples: int,
    sample: Callable[[int | Array], Sample],
    factor: list[Number],
    number: UInt32[Array, ""],
) -> Chain:
    """One update of every seed, from the samples of its batch and the Bartlett factor."""
    K, rows = setting.width, len(chain.own)
    q, columns = rank(K, samples), [*chain.fixed, *(padded(column, rows) for column in chain.own)]
    students = [column[:K] for column in columns]
    of_sample = lambda index: _of_sample(setting, students, chain.v, chain.b, sample(index))
    sums = of_sample(0)
    if samples <= K:
        for index in range(1, samples):
            one = of_sample(index)
            sums = _added(sums, one)._replace(F=[*sums.F, *one.F])
    else:
        sums = sums._replace(F=[*sums.F, *[each(jnp.zeros_like, sums.F[0])] * (K - 1)])

        def add(index, sums: Sums) -> Sums:
            one = of_sample(index)
            return _added(sums, one)._replace(
                F=[padded(c, K) for c in triangular([*sums.F, *one.F])]
            )

        sums = jax.lax.fori_loop(1, samples, add, sums)
    slope = Layers([*sums.inside, *_outside(sums.F, factor, q)], sums.v, sums.b)
    slope = jax.tree.map(lambda part: part / samples, slope) if samples > 1 else slope
    return _moved(setting, chain, columns, slope, sums.finite, number)


def _of_sample(setting: Setting, students: list[Column], v: Column, b: Column, one: Sample) -> Sums:
    """The terms of one sample: lambda, the slope of the loss, delta_k x in the frame, delta_k
    sigma.
    """
    activation = setting.activation
    x = [*one.s, *(one.e if one.sigma is None else (one.sigma * e for e in one.e))]
    (lam,) = settled([each(lambda h, b: h + b, combined(students, x), b)])
    hidden = each(activation, lam)
    units = range(setting.width)
    phi = dot([row(hidden, k) for k in units], [row(v, k) for k in units])
    slope = as_loss(setting.loss).slope(phi, _label(setting, one))
    (delta,) = settled(
        [each(lambda v, derivative: v * derivative * slope, v, each(activation.derivative, lam))]
    )
    outside = delta if one.sigma is None else each(lambda d: d * one.sigma, delta)
    inside = [times(delta, x_j) for x_j in x]
    return Sums(inside, [outside], times(hidden, slope), delta, jnp.isfinite(phi))


def _label(setting: Setting, one: Sample) -> Number:
    """The class, or the teacher's y = sum_m v*_m g*(nu_m) + sigma zeta with nu = basis s."""
    if setting.task is not None:
        along_fixed = [dot(line, one.s) for line in setting.basis]
        fields = jnp.concatenate(along_fixed).T
        return labels_of(setting.task, fields, one.label[0]).noisy[None]
    if setting.teacher is None:
        return one.label
    hidden = [setting.teacher(dot(line, one.s)) for line in setting.basis]
    return dot(setting.v_star, hidden) + setting.noise * one.label


def _added(sums: Sums, one: Sums) -> Sums:
    add = lambda a, b: jax.tree.map(jnp.add, a, b)
    return Sums(
        add(sums.inside, one.inside),
        sums.F,
        add(sums.v, one.v),
        add(sums.b, one.b),
        sums.finite & one.finite,
    )


def _outside(F: list[Column], factor: list[Number], q: int) -> list[Column]:
    """The columns of F Y, Y lower triangular with lengths on its diagonal."""
    entry = {(i, i): i for i in range(q)}
    entry |= {
        place: q + number for number, place in enumerate((i, j) for i in range(q) for j in range(i))
    }
    return [combined(F[j:], [factor[entry[i, j]] for i in range(j, q)]) for j in range(q)]


def _moved(
    setting: Setting, chain: Chain, columns: list[Column], slope: Layers, finite, number
) -> Chain:
    """The rule's step, and the rows in a frame of as many dimensions as before."""
    K, A, readout, bias = (
        setting.width,
        len(chain.fixed),
        setting.readout,
        setting.bias,
    )
    outside = [each(jnp.zeros_like, chain.v)] * (len(slope.w) - len(columns))
    trained = lambda w, v, b: Layers(w, v if readout else None, b if bias else None)
    now = trained([*(column[:K] for column in columns), *outside], chain.v, chain.b)
    rows = None
    if len(chain.own) > K:
        below = [each(jnp.zeros_like, columns[0][K:])] * len(outside)
        rows = [*(column[K:] for column in columns), *below]
    layers, memory = updated(
        setting.rule, now, trained(*slope), Memory(rows, chain.memory), setting.N
    )
    new = layers.w
    if memory.rows is not None:
        new = [joined(*pair) for pair in zip(layers.w, memory.rows, strict=True)]
    return Chain(
        list(new[:A]),
        triangular(settled(new[A:])),
        layers.v if readout else chain.v,
        layers.b if bias else chain.b,
        memory.others,
        jnp.minimum(chain.diverged, jnp.where(finite, jnp.uint32(NEVER), number)),
    )


def run_chain(
    setting: Setting,
    law: Law,
    keys: Key[Array, " seeds"],
    chain: Chain,
    first: UInt32[Array, ""],
    count: UInt32[Array, ""],
    block: int,
    width: int | None = None,
) -> Chain:
    """The chains after `count` more updates, of which the first has the number `first`.

    So many seeds at once (`width`; all unless given): what stays in a core's cache, and a program
    whose numbers do not depend on how many seeds there are.  The random numbers of `block` updates
    are drawn at once.
    """
    seeds = len(keys)
    width = seeds if width is None else width
    keys, chain = filled(keys, chain, width)
    groups = len(keys) // width
    split = jax.tree.map(
        lambda part: jnp.moveaxis(part.reshape(*part.shape[:-1], groups, width), -2, 0), chain
    )
    run = lambda group: _run_group(setting, law, group[0], group[1], first, count, block)
    last = jax.lax.map(run, (keys.reshape(groups, width), split))
    together = lambda part: jnp.moveaxis(part, 0, -2).reshape(*part.shape[1:-1], groups * width)[
        ..., :seeds
    ]
    return jax.tree.map(together, last)


def filled(
    keys: Key[Array, " seeds"], chain: Chain, width: int
) -> tuple[Key[Array, " more"], Chain]:
    """The last seed repeated, until there are a multiple of `width`."""
    seeds = len(keys)
    missing = -seeds % width
    more = keys[jnp.minimum(jnp.arange(seeds + missing), seeds - 1)]
    return more, jax.tree.map(
        lambda part: jnp.pad(part, (*[(0, 0)] * (part.ndim - 1), (0, missing)), mode="edge"),
        chain,
    )


def _run_group(setting: Setting, law: Law, keys, chain: Chain, first, count, block: int) -> Chain:
    """The same for one group of seeds."""

    def of_block(span: Span, chain: Chain) -> Chain:
        drawn = draws(law, keys, span.numbers(block))

        def one_step(index, chain: Chain) -> Chain:
            draw = jax.tree.map(lambda part: part[index].astype(setting.N.dtype), drawn)
            factor = list(draw.factor[:, None])
            return step(
                setting, chain, law.samples, partial(_sample, draw), factor, span.begin + index
            )

        return jax.lax.fori_loop(span.first, span.stop, one_step, chain)

    return over_blocks(of_block, chain, first, count, block)


def _sample(draw: Draw, index) -> Sample:
    split = lambda part: [part[j : j + 1] for j in range(part.shape[0])]
    sigma = None if draw.sigma is None else draw.sigma[index][None]
    return Sample(split(draw.s[index]), split(draw.e[index]), draw.label[index][None], sigma)


def overlaps(
    basis: Float[np.ndarray, "fixed fixed"], chain: Chain
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Q, R (or m), v and b of every seed, seeds first, summed column by column in NumPy: in one
    order for any number of seeds.
    """
    K, A = len(chain.v), len(basis)
    columns = [
        np.asarray(padded(column, len(chain.own)), np.float64)[:K].T
        for column in (*chain.fixed, *chain.own)
    ]
    Q = np.add.reduce([column[:, :, None] * column[:, None, :] for column in columns])
    R = np.add.reduce([columns[a][:, :, None] * basis[None, None, :, a] for a in range(A)])
    return Q, R, np.asarray(chain.v, np.float64).T, np.asarray(chain.b, np.float64).T
