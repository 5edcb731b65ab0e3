"""One update of a rule in the frame of the overlaps.

A rule that sees no coordinate axes (`Rule.rotation_invariant`) moves the weights in the same way
whatever orthonormal frame they are written in.  The chain of the overlaps keeps the rows
w_k / sqrt N in a frame of a few dimensions, and hands to the rule's own `update` the coordinates

    w_k = sqrt N rows_k,    d l / d w_k = < delta_k x > / sqrt N

together with N, which is no longer the length of a row.  What the rule remembers in the space of
the weights (a momentum, say) turns with the frame, and has rows of its own in it.

SGD is also written out column by column (`update_by_columns`): that is what a kernel on a GPU
runs, and what is fastest on a CPU.  A test holds it against the rule's own `update`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sims.reduced.columns import Column, each, safe
from teacherstudent.problem import Problem
from teacherstudent.rules import SGD, Rule, SphericalSGD


class Layers(NamedTuple):
    """The rows w_k / sqrt N column by column, and readout and biases as a column each.

    A layer that is frozen is None.  Gradients come in the same form, of the first layer the columns
    of < delta_k x >.
    """

    w: Sequence[Column]
    v: Column | None
    b: Column | None


class Memory(NamedTuple):
    """What a rule remembers: rows in the frame, column by column, and the other leaves of its
    memory, with the seeds as their last axis.
    """

    rows: Sequence[Column] | None
    others: list[Array]


def layer_shapes(rule_layers: Sequence[str], students: int, length: int) -> dict:
    """The trained layers as shapes alone, with rows of this length."""
    shapes = {"w": (students, length), "v": (students,), "b": (students,)}
    return {name: jax.ShapeDtypeStruct(shapes[name], jnp.float32) for name in rule_layers}


def trained_layers(readout: bool, bias: bool) -> tuple[str, ...]:
    """The names of the layers that a rule moves."""
    names = ["w"]
    if readout:
        names.append("v")
    if bias:
        names.append("b")
    return tuple(names)


def rows_of_memory(rule: Rule, layers: Sequence[str], students: int) -> list[int]:
    """Of each leaf of a rule's memory: how many rows it has in the space of the weights, 0 if none.

    A leaf is in that space if its shape depends on the length of the weights.

    Raises ValueError if the length of the weights is not the last axis of such a leaf.
    """
    length = 1009  # one that no other axis has by chance
    short = jax.eval_shape(rule.memory, layer_shapes(layers, students, length))
    long = jax.eval_shape(rule.memory, layer_shapes(layers, students, length + 1))
    counts = []
    for one, other in zip(jax.tree.leaves(short), jax.tree.leaves(long), strict=True):
        if one.shape == other.shape:
            counts.append(0)
            continue
        if one.shape[:-1] != other.shape[:-1] or one.shape[-1] != length:
            raise ValueError(
                f"{type(rule).__name__}.memory answers an array whose shape depends on the length "
                "of the weights, but not as the last axis; the chain of the overlaps needs "
                'shapes (..., N) there: rearrange it, or use method = "weights".'
            )
        counts.append(math.prod(one.shape[:-1]))
    return counts


def updated(
    rule: Rule, layers: Layers, slope: Layers, memory: Memory, N: Float[Array, ""]
) -> tuple[Layers, Memory]:
    """The layers and the memory after one update of a rule."""
    by_columns = update_by_columns(rule)
    if by_columns is not None:
        return by_columns(rule, layers, slope, N), memory
    return _by_own_update(rule, layers, slope, memory, N)


def _by_own_update(rule: Rule, layers: Layers, slope: Layers, memory: Memory, N):
    """The rule's own `update`, for all seeds at once, in the coordinates of the frame."""
    root = jnp.sqrt(N)
    names = trained_layers(layers.v is not None, layers.b is not None)
    weights = _as_arrays(names, layers, root)
    gradient = _as_arrays(names, slope, 1 / root)
    students = weights["w"].shape[0]
    counts = rows_of_memory(rule, names, students)
    in_frame = layer_shapes(names, students, len(layers.w))
    shapes, structure = jax.tree.flatten(jax.eval_shape(rule.memory, in_frame))
    leaves = _joined_memory(memory, counts, shapes, root)
    remembered = jax.tree.unflatten(structure, leaves)
    update = jax.vmap(rule.update, in_axes=(-1, -1, -1, None), out_axes=-1)
    weights, remembered = update(weights, gradient, remembered, N)
    rows, others = _divided_memory(jax.tree.leaves(remembered), counts, root)
    moved = Layers(_columns(weights["w"] / root), weights.get("v"), weights.get("b"))
    return moved, Memory(rows, others)


def _as_arrays(names: Sequence[str], layers: Layers, factor) -> dict[str, Array]:
    """The layers as a rule sees them, with the seeds as the last axis."""
    arrays = {"w": factor * jnp.stack(list(layers.w), axis=1)}
    for name in names[1:]:
        arrays[name] = getattr(layers, name)
    return arrays


def _columns(rows: Float[Array, "rows columns seeds"]) -> list[Column]:
    return [rows[:, j] for j in range(rows.shape[1])]


def _joined_memory(memory: Memory, counts: list[int], shapes: list, root) -> list[Array]:
    """The leaves of a rule's memory from the rows in the frame and the others."""
    rows = None
    if memory.rows is not None:
        rows = root * jnp.stack(list(memory.rows), axis=1)
    others = list(memory.others)
    leaves, first = [], 0
    for count, shape in zip(counts, shapes, strict=True):
        if count == 0:
            leaves.append(others.pop(0))
            continue
        assert rows is not None, "a rule that remembers rows has some in the frame"
        leaves.append(rows[first : first + count].reshape(*shape.shape, rows.shape[-1]))
        first += count
    return leaves


def _divided_memory(leaves: list[Array], counts: list[int], root):
    """The rows in the frame, column by column, and the other leaves."""
    rows, others = [], []
    for leaf, count in zip(leaves, counts, strict=True):
        if count == 0:
            others.append(leaf)
        else:
            rows.append(leaf.reshape(count, *leaf.shape[-2:]) / root)
    if not rows:
        return None, others
    return _columns(jnp.concatenate(rows)), others


def update_by_columns(rule: Rule) -> Callable[[Any, Layers, Layers, Any], Layers] | None:
    """The update of a rule written out for columns, in exactly this class; None if it is not."""
    return BY_COLUMNS.get(type(rule))


def _sgd_by_columns(rule: SGD, layers: Layers, slope: Layers, N) -> Layers:
    """rows <- (1 - kappa / N) rows - (eta / N) < delta x >, and v alike; b without decay."""
    shrink = 1 - rule.weight_decay * (1 / N)
    decayed = Layers(
        [_scaled(column, shrink) for column in layers.w], _scaled(layers.v, shrink), layers.b
    )
    return _descended(rule, decayed, slope, N)


def _spherical_sgd_by_columns(rule: SphericalSGD, layers: Layers, slope: Layers, N) -> Layers:
    """A step of SGD without decay, then every row to length 1."""
    free = _descended(rule, layers, slope, N)
    inverse = each(lambda *entries: 1 / safe(jnp.sqrt(sum(x * x for x in entries))), *free.w)
    return free._replace(w=[each(lambda a, f: a * f, column, inverse) for column in free.w])


def _descended(rule: SGD | SphericalSGD, layers: Layers, slope: Layers, N) -> Layers:
    """Each layer less its learning rate over N times its slope."""
    inverse = 1 / N
    eta = rule.learning_rate * inverse
    return Layers(
        [_stepped(column, g, eta) for column, g in zip(layers.w, slope.w, strict=True)],
        _stepped(layers.v, slope.v, rule.eta_v * inverse),
        _stepped(layers.b, slope.b, rule.eta_b * inverse),
    )


def _stepped(column: Column | None, slope: Column | None, rate) -> Column | None:
    if column is None:
        return None
    return each(lambda a, g: a - rate * g, column, slope)


def _scaled(column: Column | None, factor) -> Column | None:
    if column is None:
        return None
    return each(lambda a: factor * a, column)


BY_COLUMNS: dict[type[Rule], Callable[[Any, Layers, Layers, Any], Layers]] = {
    SGD: _sgd_by_columns,
    SphericalSGD: _spherical_sgd_by_columns,
}


def frame(problem: Problem) -> int:
    """The dimension P of the frame: fixed directions, weights, and what a rule remembers of their
    gradients.
    """
    return problem.task.directions + frame_rows(problem)


def frame_rows(problem: Problem) -> int:
    """Its rows: the student's weights, and what the rule remembers in their space."""
    student = problem.student
    layers = trained_layers(student.train_readout, student.train_bias)
    return student.width + sum(rows_of_memory(problem.rule, layers, student.width))
