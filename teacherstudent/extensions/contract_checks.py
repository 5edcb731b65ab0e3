"""Whether a class of one's own keeps its contract, before any long work.

What a method answers is looked at by its shapes alone (`jax.eval_shape`): no number is computed,
and classes of ours are not looked at.  A broken contract is one ValueError that names the class and
its method, what was found and what is wanted.
"""

import dataclasses
import traceback
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from teacherstudent.averages.mixture_fields import Components
from teacherstudent.checking import checks
from teacherstudent.checking.contracts import PACKAGES, is_ours
from teacherstudent.checking.warn import warn_user
from teacherstudent.extensions.own_classes import brings_error
from teacherstudent.problem import Problem
from teacherstudent.rules import Rule
from teacherstudent.tasks.base import Labels, Task
from teacherstudent.tasks.sweeping import first_task

SAMPLES = 7  # a number that no other axis has by chance
ROW = 9  # dimensions in which updates are tried
SUM_TOLERANCE = 1e-6


def check_simulated(problem: Problem, N: int, dtype: str) -> None:
    """Raise ValueError if the task or the rule breaks what `simulate` relies on."""
    with jax.enable_x64(True):
        check_task(problem)
        if not is_ours(type(problem.task)):
            _check_label(problem.task, dtype)
        if not is_ours(type(problem.rule)):
            _check_rule(problem, N, dtype)


def check_task(problem: Problem) -> None:
    """Raise ValueError if the task, or a field of the rule, breaks what both verbs rely on."""
    _check_fields(problem.rule)
    warn_of_unused_methods(problem.rule)
    if is_ours(type(problem.task)):
        return
    warn_of_unused_methods(problem.task)
    _check_fields(problem.task)
    task = first_task(problem.task)
    if task.HAS_CLASSES:
        _check_components(task)
    _check_fields(task.for_programs())
    if brings_error(task):
        _check_error(task.for_programs(), problem)


def _check_fields(part: Task | Rule) -> None:
    """Fields have to be numbers, unless they are declared not to be."""
    if is_ours(type(part)):
        return
    for field in dataclasses.fields(part):
        if isinstance(getattr(type(part), field.name, None), property):
            raise ValueError(
                f"{type(part).__name__}.{field.name} is a property, but {field.name} is a field, "
                "which compiled programs take as data; keep it one, and compute from it elsewhere."
            )
    for path, value in jax.tree_util.tree_leaves_with_path(part):
        if not checks.is_numeric(value):
            raise ValueError(
                f"{type(part).__name__}{jax.tree_util.keystr(path)} = {checks.shortened(value)} is "
                "no number; declare what is no number as equinox.field(static=True)."
            )


def check_answer(where: str, found: Any, wanted: tuple, way: str) -> None:
    """Raise ValueError unless an answer is a named tuple of the class and shapes of another one.

    `where` names the method, and `way` says how such an answer is made.
    """
    name = type(wanted).__name__
    if not isinstance(found, type(wanted)):
        raise ValueError(f"{where} answers {_kind(found)}; it is to answer a {name}, {way}.")
    for field in type(wanted)._fields:  # type: ignore[attr-defined]
        one, other = getattr(found, field), getattr(wanted, field)
        _check_same(f"{where} answers {name}.{field}", one, other)


def shapes_of(where: str, function: Callable, *arguments) -> Any:
    """The answer of a method as shapes; ValueError, with the reason, if it fails."""
    try:
        return jax.eval_shape(function, *arguments)
    except Exception as error:  # of whatever the user's method calls
        raise ValueError(
            f"{where} fails when it is traced by JAX ({_reason(error)}); write it with jax.numpy, "
            "for the arguments that the docstring of its base class names."
        ) from error


def _reason(error: Exception) -> str:
    """An error's kind and message, and the user's line that it came from."""
    text = f"{type(error).__name__}: {checks.first_line(error)}".rstrip(".")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        inside = any(f"/{name}/" in frame.filename for name in ("site-packages", *PACKAGES))
        if not inside:
            return f"{text}, in line {frame.lineno} of {Path(frame.filename).name}"
    return text


def _check_rule(problem: Problem, N: int, dtype: str) -> None:
    """begin, memory and update of a rule, on layers of this dimension."""
    kind = type(problem.rule).__name__
    rule = jax.tree.map(partial(jnp.asarray, dtype=dtype), problem.rule)
    layers = _layers(problem, N, dtype)
    gradient = layers
    if rule.gradients > 1:  # of several workers, with a leading axis
        gradient = {
            name: _shape((rule.gradients, *layer.shape), dtype) for name, layer in layers.items()
        }
    begun = shapes_of(f"{kind}.begin(layers)", type(rule).begin, rule, layers)
    _check_layers(f"{kind}.begin(layers)", begun, layers)
    memory = shapes_of(f"{kind}.memory(layers)", type(rule).memory, rule, layers)
    where = f"{kind}.update(layers, gradient, memory, N)"
    _check_is_pair(where, rule, layers, gradient, memory, N)
    after, remembered = shapes_of(where, _update(N), rule, layers, gradient, memory)
    _check_layers(where, after, layers)
    _check_same(f"{where} answers a memory", remembered, memory, f"as {kind}.memory(layers)")


def _update(N: int) -> Callable:
    def update(rule, layers, gradient, memory):
        return rule.update(layers, gradient, memory, N)

    return update


def _check_is_pair(where: str, rule, layers, gradient, memory, N: int) -> None:
    """An update has to answer with two things.

    Its answer may be of any class, also one that JAX cannot hand on, and is looked at inside.
    """

    def look(rule, layers, gradient, memory):
        answer = rule.update(layers, gradient, memory, N)
        if not isinstance(answer, tuple) or len(answer) != 2:
            seen.append(answer)
        return ()

    seen: list[Any] = []
    shapes_of(where, look, rule, layers, gradient, memory)
    if seen:
        raise ValueError(
            f"{where} answers {_kind(seen[0])}; it is to answer the pair (layers, memory), with "
            "memory = () if there is none."
        )


def _check_layers(where: str, found: Any, wanted: Mapping) -> None:
    """Layers have to be those that were given, of the same shapes."""
    names = ", ".join(wanted)
    if not isinstance(found, Mapping):
        raise ValueError(f"{where} answers {_kind(found)} for layers; give a dict of {names}.")
    if set(found) != set(wanted):
        raise ValueError(f"{where} answers the layers {', '.join(found)}; give {names}.")
    for name, layer in wanted.items():
        _check_same(f"{where} answers {name}", found[name], layer)


def broken_rotation(problem: Problem, N: int) -> str | None:
    """Why a rule that calls itself rotation invariant is not; None if two updates bear it out.

    The same updates are made in a rotated frame, and in one with more dimensions than it needs.
    """
    rule = problem.rule
    if is_ours(type(rule)):
        return None
    numbers = np.random.default_rng(0)
    shapes = {name: one.shape for name, one in _layers(problem, ROW, "float64").items()}
    begun, *gradients = (
        {name: numbers.standard_normal(shape) for name, shape in shapes.items()} for _ in range(3)
    )
    turn = np.linalg.qr(numbers.standard_normal((ROW, ROW)))[0]
    frames = {
        "sees the coordinate axes: in a rotated frame its updates lead to other weights": turn,
        "takes N from the length of a row, which is shorter in a frame; take the argument N": (
            np.eye(ROW, ROW + 3)
        ),
    }
    expected = _after_updates(rule, begun, gradients, N, np.eye(ROW))
    for why, frame in frames.items():
        found = _after_updates(rule, begun, gradients, N, frame)
        wanted = _in_frame(expected, frame)
        before = _in_frame(begun, frame)
        for name, layer in wanted.items():
            moved = np.abs(layer - before[name]).max()
            rounding = 1e-13 * np.abs(layer).max()
            if not np.abs(found[name] - layer).max() <= 1e-6 * moved + rounding:  # nan, too
                return f"{type(rule).__name__} says rotation_invariant = True, but {why}"
    return None


def _after_updates(rule: Rule, begun: Mapping, gradients: list, N: int, frame) -> dict:
    """The layers after an update with each gradient, with all rows written in a frame."""
    with jax.enable_x64(True):
        layers = rule.begin(jax.tree.map(jnp.asarray, _in_frame(begun, frame)))
        memory = rule.memory(layers)
        for gradient in gradients:
            slopes = jax.tree.map(jnp.asarray, _in_frame(gradient, frame))
            layers, memory = rule.update(layers, slopes, memory, N)
        return {name: np.asarray(layer) for name, layer in layers.items()}


def _in_frame(layers: Mapping, frame) -> dict:
    """The layers with the rows of the first written in a frame."""
    return {**layers, "w": layers["w"] @ frame}


def warn_of_unused_methods(part: Task | Rule) -> None:
    """Warn of a method of one's own whose name is nearly one of the contract, and which nobody
    calls.
    """
    kind = type(part)
    ours = next(base for base in kind.__mro__ if is_ours(base))
    contract = [name for name in dir(ours) if not name.startswith("_")]
    for base in kind.__mro__[: kind.__mro__.index(ours)]:
        for name, value in vars(base).items():
            if name.startswith("_") or name in contract or not callable(value):
                continue
            near = get_close_matches(name, contract, n=1, cutoff=0.8)
            if near:
                warn_user(
                    f"{base.__name__} has a method {name}, which nothing here calls; did you mean "
                    f"{near[0]}?"
                )


def _check_label(task: Task, dtype: str) -> None:
    """Labels have to be one number for each sample, from its own fields alone."""
    where = f"{type(task).__name__}.label(fields, noise)"
    wanted = "ts.Labels(clean, noisy), or one label for each sample"
    own = jax.tree.map(partial(jnp.asarray, dtype=dtype), task.for_programs())
    fields = _shape((SAMPLES, task.directions), dtype)
    _check_single_numbers(task)
    answer = shapes_of(where, type(task).label, own, fields, _shape((SAMPLES,), dtype))
    parts = answer if isinstance(answer, Labels) else (answer,)
    for part in parts:
        if not hasattr(part, "shape"):
            raise ValueError(f"{where} answers {_kind(part)}; it is to answer {wanted}.")
        if part.shape != (SAMPLES,):
            raise ValueError(
                f"{where} answers an array of shape {part.shape}; it is to answer {wanted}, shape "
                f"({SAMPLES},)."
            )
    _check_samples_apart(where, own, task.directions, dtype)


def _check_single_numbers(task: Task) -> None:
    """A list in a field of one's own is a sweep only if the class says so."""
    for field in dataclasses.fields(task):
        value = getattr(task, field.name, None)
        if isinstance(value, list) and field.name not in task.NUMBERS:
            kind = type(task).__name__
            raise ValueError(
                f"{kind}.{field.name} = {checks.shortened(value)} is a list; name it in "
                f"{kind}.NUMBERS if it is to be swept, or give one number, or an array."
            )


def _check_samples_apart(where: str, task: Task, directions: int, dtype: str) -> None:
    """The label of a sample has to be the same whatever samples stand beside it."""
    numbers = np.random.default_rng(0)
    fields = jnp.asarray(numbers.standard_normal((SAMPLES, directions)), dtype)
    noise = jnp.asarray(numbers.standard_normal(SAMPLES), dtype)
    if task.HAS_CLASSES:
        noise = jnp.sign(noise)
    together = np.asarray(task.label(fields, noise))
    apart = [task.label(fields[n : n + 1], noise[n : n + 1]) for n in range(SAMPLES)]
    alone = np.concatenate(np.asarray(apart), axis=-1)
    if not np.allclose(together, alone, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise ValueError(
            f"{where} mixes samples: each label must depend on the fields and the noise of its own "
            "sample only."
        )


def _check_error(task: Task, problem: Problem) -> None:
    """The error has to be one number."""
    where = f"{type(task).__name__}.error(student, loss, Q, R, T, v, b)"
    K, M = problem.student.width, task.directions
    overlaps = [_shape(size, "float64") for size in ((K, K), (K, M), (M, M), (K,), (K,))]

    def error(*overlaps):
        return task.error(problem.student, problem.loss, *overlaps)

    with jax.enable_x64(True):
        answer = shapes_of(where, error, *overlaps)
    if getattr(answer, "shape", None) != ():
        raise ValueError(f"{where} answers {_kind(answer)}; it is to answer one number.")


def _check_components(task: Any) -> None:
    """Components have to be a law: shapes that fit, probabilities, labels +-1."""
    where = f"{type(task).__name__}.components()"
    law = task.components()
    if not isinstance(law, Components):
        raise ValueError(f"{where} answers {_kind(law)}; give ts.Components(p, y, A, S, sigma2).")
    count, r = np.size(law.p), task.directions
    wanted = Components((count,), (count,), (count, r), (count, r, r), (count,))
    for name, values, shape in zip(Components._fields, law, wanted, strict=True):
        if np.shape(values) != shape:
            raise ValueError(
                f"{where} answers {name} of shape {np.shape(values)}; with {count} components and "
                f"{r} directions it has shape {shape}."
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{where} answers {name} with an entry that is not finite.")
    total = float(np.sum(law.p))
    if np.min(law.p) < 0 or abs(total - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"{where} answers probabilities p that sum to {total:.6g}, the smallest of them "
            f"{np.min(law.p):.6g}; they are to be positive and sum to 1."
        )
    if not np.isin(law.y, (-1.0, 1.0)).all():
        raise ValueError(f"{where} answers labels y = {np.asarray(law.y)}; they are +1 or -1.")
    if np.min(law.sigma2) < 0:
        raise ValueError(
            f"{where} answers a variance sigma2 = {np.min(law.sigma2):.6g}; it is not negative."
        )


def _layers(problem: Problem, N: int, dtype: str) -> dict[str, jax.ShapeDtypeStruct]:
    """The trained layers as shapes."""
    K = problem.student.width
    layers = {"w": _shape((K, N), dtype)}
    if problem.student.train_readout:
        layers["v"] = _shape((K,), dtype)
    if problem.student.train_bias:
        layers["b"] = _shape((K,), dtype)
    return layers


def _shape(shape: tuple[int, ...], dtype: str) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _check_same(what: str, found: Any, wanted: Any, source: str = "as it was given") -> None:
    """Raise ValueError unless two pytrees have one structure, and arrays of one shape and type."""
    structure, expected = str(jax.tree.structure(found)), str(jax.tree.structure(wanted))
    if structure != expected:
        raise ValueError(f"{what} of the structure {structure}; it is to be {expected}, {source}.")
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        if one.shape != other.shape:
            raise ValueError(
                f"{what} of shape {one.shape}; it is to be of shape {other.shape}, {source}."
            )
        if one.dtype != other.dtype:
            raise ValueError(
                f"{what} of the type {one.dtype}; it is to be {other.dtype}, {source}."
            )


def _kind(answer: Any) -> str:
    """What a method answered, in words."""
    if answer is None:
        return "nothing"
    if hasattr(answer, "shape"):
        return f"an array of shape {answer.shape}"
    if isinstance(answer, tuple | list | Mapping):
        return f"a {type(answer).__name__} of {len(answer)}"
    return checks.kind_of(answer)
