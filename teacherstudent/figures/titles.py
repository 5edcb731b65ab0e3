"""The problem of a result in one line, for titles."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from teacherstudent.models import MODELS
from teacherstudent.results.datasets import description

LATENTS = ("beta", "beta_u", "beta_v")


def title_of(source: xr.Dataset) -> str:
    """The problem in one line."""
    problem = description(source)["problem"]
    if "model" in problem:
        return _title_of_model(source, with_selected(source, problem["model"]))
    task = with_selected(source, problem["task"])
    student = with_selected(source, problem["student"])
    rule = with_selected(source, problem["rule"])
    parts = [
        f"{task['type']}{_inputs(task)}: {_activation(student)} student K = {student['width']}"
    ]
    if "width" in task:
        parts.append(f"{_activation(task)} teacher M = {task['width']}")
    else:
        parts.append(f"{problem['loss']} loss")
    for name, value in rule.items():
        if _is_shown(value):
            parts.append(f"{name.replace('_', ' ')} {in_words(value)}")
    if _is_shown(task.get("noise")):
        parts.append(f"noise {in_words(task['noise'])}")
    parts += _batches(problem)
    parts.append(_trained(student))
    parts += [one for one in selected_values(source) if one not in parts]
    phases = description(source).get("protocol", [])
    if phases:
        parts.append(f"phase 1 of {len(phases)}")
    return ", ".join(parts)


def _title_of_model(source: xr.Dataset, model: Mapping) -> str:
    """A model with its numbers, and what of its options is not as usual."""
    parts = [str(model["type"])]
    usual: Mapping[str, Any] = {}
    if model["type"] in MODELS:
        usual = inspect.signature(MODELS[model["type"]]).parameters
    for name, value in model.items():
        words = name.replace("_", " ")
        if isinstance(value, int) and name in usual and value == usual[name].default:
            continue
        if isinstance(value, bool):
            parts.append(words if value else f"not {words}")
        elif isinstance(value, float | int) or _is_shown(value):
            parts.append(f"{words} {in_words(value)}")
    parts += [one for one in selected_values(source) if one not in parts]
    return ", ".join(parts)


def _activation(part: Mapping) -> str:
    """The name of an activation, which may have been given by coefficients."""
    name = part["activation"]
    return name if isinstance(name, str) else "polynomial"


def _is_shown(value: Any) -> bool:
    """Whether a value is a number that is not zero, or changes with time."""
    if isinstance(value, Mapping):
        return "schedule" in value
    return isinstance(value, float) and value != 0


def in_words(value: Any) -> str:
    """A number, or a schedule with its numbers; a name as it is."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return f"{value:g}"
    parameters = [one for one in value.values() if isinstance(one, float)]
    if not parameters:  # one with lists of numbers
        return str(value["schedule"])
    return f"{value['schedule']}({'; '.join(f'{one:g}' for one in parameters)})"


def _batches(problem: dict) -> list[str]:
    ratio = problem.get("batch_ratio", np.nan)
    if ratio == np.inf:
        return ["expected gradient"]
    if np.isfinite(ratio):
        return [f"batches of {ratio:g} N"]
    if problem["batch_size"] > 1:
        return [f"batches of {problem['batch_size']}"]
    return []


def _trained(student: dict) -> str:
    layers = "both layers" if student["train_readout"] else "first layer only"
    if student.get("train_bias"):
        layers += " and biases"
    return layers


def with_selected(source: xr.Dataset, part: dict) -> dict:
    """The parameters of a part, those of a sweep at the value that was selected."""
    answer = dict(part)
    for name in part:
        if _is_selected(source, name):
            value = source[name].item()
            # Parameters of a rule are floats, also where whole numbers were swept.
            answer[name] = float(value) if isinstance(part[name], float) else value
    return answer


def selected_values(source: xr.Dataset) -> list[str]:
    """The values of a sweep's parameters at which a dataset was selected, with their names."""
    names = description(source).get("report", {}).get("sweep", {})
    values = {name: source[name].item() for name in names if _is_selected(source, name)}
    return [f"{name.replace('_', ' ')} {in_words(value)}" for name, value in values.items()]


def _is_selected(source: xr.Dataset, name: str) -> bool:
    """Whether a dataset is one at a single value of a parameter."""
    return name in source.coords and source[name].ndim == 0


def _latent(latent: Any) -> str:
    """The name of a law, with its parameter."""
    if isinstance(latent, str):
        return latent
    name, *numbers = latent
    if not isinstance(name, str):
        return "discrete"
    return f"{name}({', '.join(f'{one:g}' for one in numbers)})"


def _inputs(task: dict) -> str:
    """What distinguishes the inputs of a task."""
    if "latent" in task:
        described = [rf"$\{name}$ = {task[name]:g}" for name in LATENTS if name in task]
        if "coupling" in task:
            described.append(f"{task['coupling']} latents")
        else:
            described.append(f"{_latent(task['latent'])} latent")
        return f" ({', '.join(described)})"
    if "nonlinearity" not in task:
        return ""
    layers = f", {len(task['layers']) + 1} layers" if task["layers"] else ""
    raw = "" if task["centre"] else ", not centred"
    return f" ({task['nonlinearity']}, $\\delta$ = {task['latent_ratio']:g}{layers}{raw})"
