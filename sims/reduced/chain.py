"""Finite networks without their weights: the exact Markov chain of the overlaps at finite N.

Its cost does not depend on N.  Inputs that are isotropic Gaussian outside the span of a few fixed
vectors (teacher units, spikes, class means) and of the student's rows look the same in every frame
that contains these.  In such a frame a row w_k / sqrt N has two kinds of coordinates: those along
an orthonormal basis of the fixed vectors, and its row of a lower triangular matrix.

An input x has the coordinates (s, sigma e) in the frame.  Of the vector orthogonal to it only
lengths and products count: sigma y, with y the row of a Bartlett factor.  An update is

    rows <- rows - (eta / N) < delta x^T >,   x = (s, sigma e | sigma y),   e ~ N(0, 1)

The Bartlett factor is triangular,

    on its diagonal:   chi_d,   d = N - P, N - P - 1, ...
    below it:          N(0, 1)

with P the dimension of the frame.  The new rows have as many columns more as the batch has samples.
At most there are K of them: < delta y^T > has rank K, and F Y with F F^T = delta delta^T has its
law.  A rotation makes the rows triangular again.  No matrix is squared, and no case of linear
dependence is special.

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

from sims.inputs.source import as_arrays, labels_of
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
from teacherstudent.extensions.own_classes import labels_by_method
from teacherstudent.losses import Loss, as_loss
from teacherstudent.problem import Problem
from teacherstudent.rules import Rule
from teacherstudent.schedules import at_time, schedules_in
from teacherstudent.tasks import Task


class Setting(eqx.Module):
    """All that a step needs of a problem.

    Every leaf is one number, so that a new value of one compiles nothing anew.
    """

    width: int = eqx.field(static=True)
    activation: Any = eqx.field(static=True)  # g
    readout: bool = eqx.field(static=True)
    bias: bool = eqx.field(static=True)
    moving: Any  # 1 for each unit that learns, 0 for one that is frozen; None if all learn
    rule: Rule
    loss: str | Loss = eqx.field(static=True)
    task: Task | None  # if samples are labelled by its method
    teacher: Any = eqx.field(static=True)  # g*, or None
    v_star: list  # a number for each unit of the teacher, or one schedule for all of them
    noise: Any  # a number or a schedule
    basis: list[list[Float[Array, ""]]]  # T = basis basis^T
    mean: list[Float[Array, ""]] | None  # of inputs, along the frame's fixed vectors; None if zero
    N: Float[Array, ""]
    per_time: Float[Array, ""]  # how many updates the time 1 is

    @property
    def changes_with_time(self) -> bool:
        """Whether a number of the task or of the rule is a schedule."""
        return bool(schedules_in(self))

    def at(self, step: UInt32[Array, ""]) -> "Setting":
        """The setting with the numbers at the time of a step."""
        if not self.changes_with_time:
            return self
        return at_time(self, step.astype(self.N.dtype) / self.per_time, self.N.dtype)


def setting(problem: Problem, basis, N: int, dtype) -> Setting:
    """What a step needs of this problem at this N."""

    def number(value) -> Float[Array, ""]:
        return jnp.asarray(value, dtype)

    task = None
    if labels_by_method(problem.task):
        task = as_arrays(problem.task.for_programs(), dtype)
    teacher, v_star, noise, mean = None, [], 0.0, None
    if not problem.task.HAS_CLASSES:
        teacher = problem.teacher.activation
        v_star = readouts(problem, dtype)
        noise = problem.teacher.noise
        mu = problem.teacher.mean_coordinates
        if mu is not None:
            mean = [number(entry) for entry in np.asarray(mu, np.float64) @ np.asarray(basis)]
    return Setting(
        width=problem.student.width,
        activation=problem.student.activation,
        readout=problem.student.train_readout,
        bias=problem.student.train_bias,
        moving=_moving(problem, dtype),
        rule=as_arrays(problem.rule, dtype),
        loss=problem.loss,
        task=task,
        teacher=teacher,
        v_star=v_star,
        noise=as_arrays(noise, dtype),
        basis=[[number(entry) for entry in line] for line in basis],
        mean=mean,
        N=number(N),
        per_time=number(problem.updates_per_time(N)),
    )


def _moving(problem: Problem, dtype) -> Float[Array, " students"] | None:
    """1 for each unit that learns, 0 for one that is frozen; None if all learn."""
    if not problem.student.frozen:
        return None
    return jnp.asarray(problem.student.moving, dtype)


def readouts(problem: Problem, dtype) -> list:
    """The teacher's readout, a number or a schedule for each unit; one schedule may be for all."""
    return [as_arrays(one, dtype) for one in problem.teacher.readouts]


class Chain(NamedTuple):
    """The rows in the frame, readout, biases, and what the rule remembers.

    Below the rows of the student are those of the rule's memory, if it has any.  `triangle` is
    lower triangular: its column j begins with row j.  `memory` has the other leaves of the rule's
    memory, which are no rows.
    """

    fixed: list[Column]
    triangle: list[Column]
    v: Column
    b: Column
    memory: list[Array]
    diverged: UInt32[Array, "1 seeds"]


class Sums(NamedTuple):
    """Sums over the samples of a batch.

    - `inside`: delta x^T in the frame.
    - `F`: columns with F F^T the sum of sigma^2 delta delta^T.
    - `v`, `b`: the slopes of readout and biases.
    - `finite`: whether all outputs are.
    """

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
    rows = len(chain.triangle)
    triangle = [padded(column, rows) for column in chain.triangle]
    columns = [*chain.fixed, *triangle]
    students = [column[: setting.width] for column in columns]

    def sums_of(index) -> Sums:
        return _sample_sums(setting, students, chain.v, chain.b, sample(index))

    sums = _batch_sums(sums_of, samples, setting.width)
    outside = _outside(sums.F, factor, rank(setting.width, samples))
    slope = Layers([*sums.inside, *outside], sums.v, sums.b)
    if samples > 1:
        slope = jax.tree.map(lambda part: part / samples, slope)
    return _updated_chain(setting, chain, columns, slope, sums.finite, number)


def _batch_sums(sums_of: Callable[[int | Array], Sums], samples: int, K: int) -> Sums:
    """The sums over a batch, with at most K columns of F."""
    sums = sums_of(0)
    if samples <= K:
        for index in range(1, samples):
            one = sums_of(index)
            sums = _added(sums, one)._replace(F=[*sums.F, *one.F])
        return sums
    zero = each(jnp.zeros_like, sums.F[0])
    sums = sums._replace(F=[*sums.F, *[zero] * (K - 1)])

    def add(index, sums: Sums) -> Sums:
        one = sums_of(index)
        F = [padded(column, K) for column in triangular([*sums.F, *one.F])]
        return _added(sums, one)._replace(F=F)

    return jax.lax.fori_loop(1, samples, add, sums)


def _sample_sums(
    setting: Setting, students: list[Column], v: Column, b: Column, one: Sample
) -> Sums:
    """The terms of one sample: delta_k x in the frame, delta_k sigma, and the slopes of v and b.

    delta_k = v_k g'(lambda_k) l'(phi), or what the rule has in place of v_k (`Rule.backward`).
    """
    activation = setting.activation
    if setting.mean is not None:
        shifted = [entry + mean for entry, mean in zip(one.s, setting.mean, strict=True)]
        one = one._replace(s=shifted)
    e = one.e
    if one.sigma is not None:
        e = [one.sigma * entry for entry in one.e]
    x = [*one.s, *e]
    (lam,) = settled([each(lambda field, bias: field + bias, combined(students, x), b)])
    hidden = each(activation, lam)
    units = range(setting.width)
    phi = dot([row(hidden, k) for k in units], [row(v, k) for k in units])
    slope = as_loss(setting.loss).slope(phi, _label(setting, one))
    derivative = each(activation.derivative, lam)
    back = setting.rule.backward(v)
    (delta,) = settled([each(lambda v, derivative: v * derivative * slope, back, derivative)])
    outside = delta
    if one.sigma is not None:
        outside = each(lambda entry: entry * one.sigma, delta)
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
    v_star = setting.v_star
    if len(v_star) == 1:  # a schedule for all units has one number, or one for each
        v_star = list(jnp.broadcast_to(v_star[0], (len(hidden),)))
    return dot(v_star, hidden) + setting.noise * one.label


def _added(sums: Sums, one: Sums) -> Sums:
    """The sums with one sample more, F left as it is."""
    return Sums(
        jax.tree.map(jnp.add, sums.inside, one.inside),
        sums.F,
        jax.tree.map(jnp.add, sums.v, one.v),
        jax.tree.map(jnp.add, sums.b, one.b),
        sums.finite & one.finite,
    )


def _outside(F: list[Column], factor: list[Number], q: int) -> list[Column]:
    """The columns of F Y, Y lower triangular with lengths on its diagonal."""
    columns = []
    for j in range(q):
        entries = [factor[_position(i, j, q)] for i in range(j, q)]
        columns.append(combined(F[j:], entries))
    return columns


def _position(i: int, j: int, q: int) -> int:
    """Where `factor` has Y_ij: its diagonal comes first, then what is below it, row by row."""
    if i == j:
        return i
    return q + i * (i - 1) // 2 + j


def _updated_chain(
    setting: Setting, chain: Chain, columns: list[Column], slope: Layers, finite, number
) -> Chain:
    """The rule's step, and the rows in a frame of as many dimensions as before."""
    K, fixed = setting.width, len(chain.fixed)
    new_columns = len(slope.w) - len(columns)
    students = [*(column[:K] for column in columns), *_zeros(chain.v, new_columns)]
    memory_rows = None
    if len(chain.triangle) > K:
        below = [column[K:] for column in columns]
        memory_rows = [*below, *_zeros(below[0], new_columns)]
    before = _trained(setting, students, chain.v, chain.b)
    layers, memory = updated(
        setting.rule,
        before,
        _without_frozen(setting, _trained(setting, *slope)),
        Memory(memory_rows, chain.memory),
        setting.N,
    )
    layers = _with_frozen(setting, layers, before)
    rows = layers.w
    if memory.rows is not None:
        rows = [joined(upper, lower) for upper, lower in zip(layers.w, memory.rows, strict=True)]
    now = jnp.where(finite, jnp.uint32(NEVER), number)
    return Chain(
        fixed=list(rows[:fixed]),
        triangle=triangular(settled(rows[fixed:])),
        v=layers.v if setting.readout else chain.v,
        b=layers.b if setting.bias else chain.b,
        memory=memory.others,
        diverged=jnp.minimum(chain.diverged, now),
    )


def _without_frozen(setting: Setting, slope: Layers) -> Layers:
    """The gradient, zero for the units that are frozen."""
    if setting.moving is None:
        return slope
    moving = setting.moving[:, None]
    return jax.tree.map(lambda column: column * moving, slope)


def _with_frozen(setting: Setting, moved: Layers, before: Layers) -> Layers:
    """The layers after an update, with the units that are frozen as they were before."""
    if setting.moving is None:
        return moved
    moving = setting.moving[:, None] > 0
    return jax.tree.map(lambda new, old: jnp.where(moving, new, old), moved, before)


def _zeros(column: Column, count: int) -> list[Column]:
    """Columns of zeros, as long as a given one."""
    return [each(jnp.zeros_like, column)] * count


def _trained(setting: Setting, w, v, b) -> Layers:
    """The layers that the rule moves; a frozen one is None."""
    layers = Layers(w, v, b)
    if not setting.readout:
        layers = layers._replace(v=None)
    if not setting.bias:
        layers = layers._replace(b=None)
    return layers


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

    `width` seeds run at once, or all of them: what stays in a core's cache, and a program whose
    numbers do not depend on how many seeds there are.  The random numbers of `block` updates are
    drawn at once.
    """
    seeds = len(keys)
    if width is None:
        width = seeds
    keys, chain = filled(keys, chain, width)
    groups = len(keys) // width

    def split(part):
        return jnp.moveaxis(part.reshape(*part.shape[:-1], groups, width), -2, 0)

    def join(part):
        return jnp.moveaxis(part, 0, -2).reshape(*part.shape[1:-1], groups * width)[..., :seeds]

    def run_group(group):
        keys, chain = group
        return _run_group(setting, law, keys, chain, first, count, block)

    last = jax.lax.map(run_group, (keys.reshape(groups, width), jax.tree.map(split, chain)))
    return jax.tree.map(join, last)


def filled(
    keys: Key[Array, " seeds"], chain: Chain, width: int
) -> tuple[Key[Array, " more"], Chain]:
    """The last seed repeated, until there are a multiple of `width`."""
    seeds = len(keys)
    missing = -seeds % width
    more = keys[jnp.minimum(jnp.arange(seeds + missing), seeds - 1)]

    def fill(part):
        return jnp.pad(part, (*[(0, 0)] * (part.ndim - 1), (0, missing)), mode="edge")

    return more, jax.tree.map(fill, chain)


def _run_group(setting: Setting, law: Law, keys, chain: Chain, first, count, block: int) -> Chain:
    """The same for one group of seeds."""

    def steps_of_block(span: Span, chain: Chain) -> Chain:
        drawn = draws(law, keys, span.numbers(block))

        def one_step(index, chain: Chain) -> Chain:
            draw = jax.tree.map(lambda part: part[index].astype(setting.N.dtype), drawn)
            sample = partial(_sample, draw)
            factor = list(draw.factor[:, None])
            number = span.begin + index
            return step(setting.at(number), chain, law.samples, sample, factor, number)

        return jax.lax.fori_loop(span.first, span.stop, one_step, chain)

    return over_blocks(steps_of_block, chain, first, count, block)


def _sample(draw: Draw, index) -> Sample:
    """The numbers of one sample, each as an array (1, seeds)."""
    sigma = None
    if draw.sigma is not None:
        sigma = draw.sigma[index][None]
    return Sample(_lines(draw.s[index]), _lines(draw.e[index]), draw.label[index][None], sigma)


def _lines(part: Float[Array, "lines seeds"]) -> list[Number]:
    return [part[j : j + 1] for j in range(part.shape[0])]


def overlaps(
    basis: Float[np.ndarray, "fixed fixed"], chain: Chain
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Q, R (or m), v and b of every seed, seeds first.

    NumPy sums column by column, in one order for any number of seeds.
    """
    students, rows = len(chain.v), len(chain.triangle)
    columns = []
    for column in (*chain.fixed, *chain.triangle):
        full = np.asarray(padded(column, rows), np.float64)
        columns.append(full[:students].T)
    Q = np.add.reduce([column[:, :, None] * column[:, None, :] for column in columns])
    along_fixed = []
    for index in range(len(basis)):
        along_fixed.append(columns[index][:, :, None] * basis[None, None, :, index])
    R = np.add.reduce(along_fixed)
    return Q, R, np.asarray(chain.v, np.float64).T, np.asarray(chain.b, np.float64).T
