"""Update rules on the rows of weights in a moving frame, for the rules that see no coordinate axes.

The rows are w_k / sqrt N, so that the gradient of the first layer, < delta_k x > / sqrt N, is the
row G_k = < delta_k x > over sqrt N twice: |w|^2 = N |rows|^2, |g|^2 = |G|^2 / N, and w_k <- w_k -
rate g_k is rows_k <- rows_k - (rate / sqrt N) G_k / sqrt N.

A rule that moves single coordinates (signs, Madam) depends on the axes: its overlaps are no Markov
chain.  To add one that does not: register `moved` here and, if it remembers something, `memory`,
and `row_sets` if that includes rows like the weights.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sims.reduced.columns import Column, Number, each, row, safe, squares
from teacherstudent.checking.contracts import for_each_class
from teacherstudent.rules import AGD, SGD, Fromage, HeavyBall, Rule, SphericalSGD
from teacherstudent.rules.agd import automatic_rate


class Layers(NamedTuple):
    """The columns of the rows w_k / sqrt N, and the readout and biases as a column each; None where
    frozen.  Also gradients.
    """

    w: Sequence[Column]
    v: Column | None
    b: Column | None


class Memory(NamedTuple):
    """What a rule remembers: rows in the same frame, columns for readout and biases, and lengths."""

    w: Sequence[Column] | None = None
    v: Column | None = None
    b: Column | None = None
    lengths: Any = ()


class Rates(NamedTuple):
    """Learning rates over N."""

    w: Float[Array, ""]
    v: Float[Array, ""]
    b: Float[Array, ""]


class Sizes(NamedTuple):
    """Powers of N, in the float type of the chain."""

    root: Float[Array, ""]
    inverse: Float[Array, ""]
    inverse_root: Float[Array, ""]


@for_each_class(
    strict=True,
    remedy="the chain of the overlaps knows only the latter; register sims.reduced.rules.moved",
)
def moved(
    rule: Rule, now: Layers, slope: Layers, memory: Memory, size: Sizes
) -> tuple[Layers, Memory]:
    """The layers and the memory after one update."""
    raise ValueError(
        f"{type(rule).__name__} is not written for the chain of the overlaps; rules that are: "
        f"{known()}."
    )


def closes(rule: Rule) -> bool:
    """Whether the overlaps of this rule are a Markov chain that is written here."""
    return moved.owner(type(rule)) is not None


def known() -> str:
    """The rules that are."""
    return ", ".join(sorted(kind.__name__ for kind in moved.registry))


@for_each_class()
def memory(rule: Rule, layers: Layers) -> Memory:
    """What the rule remembers before the first update."""
    return Memory()


@for_each_class()
def row_sets(rule: Rule) -> int:
    """How many sets of K rows move in the frame: the weights, and what the rule remembers in their
    space.
    """
    return 1


def _stepped(column: Column | None, slope: Column | None, rate) -> Column | None:
    return None if column is None else each(lambda a, g: a - rate * g, column, slope)


def _descended(now: Layers, slope: Layers, rates: Rates) -> Layers:
    """Each layer less its rate times a direction."""
    w = [_stepped(column, g, rates.w) for column, g in zip(now.w, slope.w, strict=True)]
    return Layers(w, _stepped(now.v, slope.v, rates.v), _stepped(now.b, slope.b, rates.b))


def _rates(rule, size: Sizes) -> Rates:
    return Rates(
        rule.learning_rate * size.inverse, rule.eta_v * size.inverse, rule.eta_b * size.inverse
    )


def _scaled(column: Column | None, factor) -> Column | None:
    return None if column is None else each(lambda a: factor * a, column)


@moved.register
def moved_by_sgd(rule: SGD, now: Layers, slope: Layers, memory: Memory, size: Sizes):
    """rows <- (1 - kappa / N) rows - (eta / N) G."""
    shrink = 1 - rule.weight_decay * size.inverse
    decayed = Layers([_scaled(column, shrink) for column in now.w], _scaled(now.v, shrink), now.b)
    return _descended(decayed, slope, _rates(rule, size)), memory


@moved.register
def moved_by_spherical_sgd(
    rule: SphericalSGD, now: Layers, slope: Layers, memory: Memory, size: Sizes
):
    """The same, then every row to length 1."""
    free = _descended(now, slope, _rates(rule, size))
    inverse = each(lambda *entries: 1 / safe(jnp.sqrt(sum(x * x for x in entries))), *free.w)
    return free._replace(w=[each(lambda a, f: a * f, column, inverse) for column in free.w]), memory


@row_sets.register
def row_sets_of_heavy_ball(rule: HeavyBall) -> int:
    return 2  # the weights and their momentum


@memory.register
def memory_of_heavy_ball(rule: HeavyBall, layers: Layers) -> Memory:
    return Memory(*jax.tree.map(jnp.zeros_like, layers))


@moved.register
def moved_by_heavy_ball(rule: HeavyBall, now: Layers, slope: Layers, memory: Memory, size: Sizes):
    """m <- beta m + G, rows <- rows - (eta / N) m; with gamma, m keeps 1 - gamma / N of itself, and
    the rates and, for v and b, the gradients are over N once more."""
    keep = rule.beta if rule.gamma is None else 1 - rule.gamma * size.inverse
    once_more = jnp.ones_like(size.inverse) if rule.gamma is None else size.inverse
    add = lambda m, g, factor: None if m is None else each(lambda m, g: keep * m + factor * g, m, g)
    w = [add(m, g, jnp.ones_like(once_more)) for m, g in zip(memory.w or [], slope.w, strict=True)]
    v, b = (add(m, g, once_more) for m, g in ((memory.v, slope.v), (memory.b, slope.b)))
    rates = _rates(rule, size)
    return _descended(now, Layers(w, v, b), rates._replace(w=rates.w * once_more)), Memory(w, v, b)


@moved.register
def moved_by_agd(rule: AGD, now: Layers, slope: Layers, memory: Memory, size: Sizes):
    """eta = log((1 + sqrt(1 + 4 G)) / 2) of the mean scaled gradient norm; every layer moves by
    gain eta s / L along its own.
    """
    K, layers = len(now.w[0]), 1 if now.v is None else 2
    s_w = K**0.5 if rule.first_scale is None else rule.first_scale * size.root
    gain_v = rule.gain if rule.readout_gain is None else rule.readout_gain * size.inverse
    norm_w = jnp.sqrt(squares(slope.w)) * size.inverse_root
    norms = s_w * norm_w
    if now.v is not None:
        norm_v = jnp.sqrt(squares([slope.v]))
        norms = norms + K**-0.5 * norm_v
    eta = automatic_rate(norms / layers) / layers
    step_w = rule.gain * eta * s_w * size.inverse * _inverse(norm_w)
    w = [_stepped(column, g, step_w) for column, g in zip(now.w, slope.w, strict=True)]
    v = (
        None
        if now.v is None
        else _stepped(now.v, slope.v, gain_v * eta * K**-0.5 * _inverse(norm_v))
    )
    return now._replace(w=w, v=v), memory


def _inverse(norm: Number) -> Number:
    """1 / norm, and 0 where the norm is 0."""
    return jnp.where(norm > 0, 1 / safe(norm), jnp.zeros_like(norm))


@memory.register
def memory_of_fromage(rule: Fromage, layers: Layers) -> Memory:
    if rule.p_bound is None:
        return Memory()
    return Memory(lengths=[jnp.sqrt(squares(one)) for one in _parts(layers)])


def _parts(layers: Layers) -> list[Sequence[Column]]:
    return [layers.w] if layers.v is None else [layers.w, [layers.v]]


@moved.register
def moved_by_fromage(rule: Fromage, now: Layers, slope: Layers, memory: Memory, size: Sizes):
    """rows <- (rows - lr |rows| G / |G|) / sqrt(1 + lr^2), lr = eta / sqrt N; the readout alike, lr
    = eta_v / N.
    """
    rates = [rule.learning_rate * size.inverse_root, rule.eta_v * size.inverse]
    units = [
        size.inverse,
        jnp.ones_like(size.inverse),
    ]  # a step -lr g in units of the rows, where a norm is 0
    parts = []
    for number, (own, g) in enumerate(zip(_parts(now), _parts(slope), strict=True)):
        lr, length, norm = rates[number], jnp.sqrt(squares(own)), jnp.sqrt(squares(g))
        factor = lr * jnp.where((length > 0) & (norm > 0), length / safe(norm), units[number])
        shrink = 1 / jnp.sqrt(1 + lr * lr)
        part = [
            _scaled(_stepped(column, slope_, factor), shrink)
            for column, slope_ in zip(own, g, strict=True)
        ]
        if rule.p_bound is not None:
            longest, length = rule.p_bound * row(memory.lengths[number], 0), jnp.sqrt(squares(part))
            part = [
                _scaled(column, jnp.where(length > longest, longest / safe(length), 1.0))
                for column in part
            ]
        parts.append(part)
    return now._replace(w=parts[0], v=None if now.v is None else parts[1][0]), memory
