"""The answers of the phases of a protocol as one dataset."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from teacherstudent.observables.observable import Observable, at_overlaps
from teacherstudent.observables.thresholds import quantity_of
from teacherstudent.problem import Problem
from teacherstudent.protocol import Protocol, Until, warn_of_end
from teacherstudent.results.continuing import state_orders
from teacherstudent.results.datasets import DESCRIPTION, OF_THE_END, VARIABLES, description
from teacherstudent.results.dense_curves import is_of_curve, joined_curve
from teacherstudent.results.description import describe_protocol

SUMMED = ("seconds", "steps", "rejected_steps")  # entries of the report that add up


def joined(
    protocol: Protocol, parts: Sequence[xr.Dataset], begun: Sequence[float], times: np.ndarray
) -> xr.Dataset:
    """The answers of the phases that began, at the recorded times that each of them lasted.

    `begun` are the times at which they did.
    """
    chosen = []
    for number, part in enumerate(parts):
        recorded = np.isin(part["time"].values, times)
        if number:  # the time of a switch is the end of the phase before it
            recorded &= part["time"].values > begun[number]
        piece = part.isel(time=np.flatnonzero(recorded))
        phase = np.full(piece.sizes["time"], number)
        chosen.append(piece.assign(phase=("time", phase)))
    data: dict[Any, Any] = {}
    for name in chosen[0].data_vars:
        if name in OF_THE_END or is_of_curve(name):
            continue
        if "time" in chosen[0][name].dims:
            data[name] = xr.concat([piece[name] for piece in chosen], "time")
        else:
            data[name] = chosen[0][name]
    for name in OF_THE_END:
        if name in chosen[-1]:
            data[name] = chosen[-1][name]
    data |= joined_curve(parts)
    switches = np.full(len(protocol.phases) - 1, np.nan)
    switches[: len(begun) - 1] = begun[1:]
    if switches.size:
        data["switch_time"] = (("switch",), switches)
    together = xr.Dataset(data)
    for name in ("phase", "switch_time"):
        if name in together:
            together[name].attrs = attributes_of(name)
    together.attrs = _attributes(protocol, parts, together["time"].values)
    return together


def attributes_of(name: str) -> dict[str, str]:
    """The attributes of a variable that all results know."""
    _, long_name, symbol = VARIABLES[name]
    return {"long_name": long_name, "symbol": symbol, "units": "1"}


def _attributes(
    protocol: Protocol, parts: Sequence[xr.Dataset], times: np.ndarray
) -> dict[str, str]:
    """What the dataset says of itself: the protocol, and how its phases were solved together."""
    facts = description(parts[0])
    reports = [description(part)["report"] for part in parts]
    report = dict(reports[0])
    for name in SUMMED:
        if name in report:
            report[name] = _sum([one[name] for one in reports])
    for name in ("quadrature_error", "eps_g_floor"):
        found = [one[name] for one in reports if name in one]
        if found:
            report[name] = max(found)
    report["last_rule"] = description(parts[-1])["problem"].get("rule", {}).get("type", "")
    if len(times):
        report["first_time"], report["last_time"] = float(times[0]), float(times[-1])
    facts = facts | {"protocol": describe_protocol(protocol), "report": report}
    return {DESCRIPTION: json.dumps(facts)}


def _sum(values: Sequence[Any]) -> Any:
    """The sum of numbers, or of nested lists of them."""
    total = np.sum([np.asarray(value) for value in values], axis=0)
    return total.tolist()


def with_protocol(data: xr.Dataset, protocol: Protocol) -> xr.Dataset:
    """The records of a simulation with its protocol, up to where the last seed ends."""
    ended = (data["phase"] == len(protocol.phases)).all("seed").values
    if ended.any():
        last = int(np.argmax(ended))
        warn_of_end(float(data["time"][last - 1]), float(data["time"][-1]))
        data = data.isel(time=slice(0, last))
    facts = description(data)
    report = facts["report"]
    report["last_time"] = float(data["time"][-1])
    phases = np.unique(data["phase"].values[..., -1])
    described = describe_protocol(protocol)
    if len(phases) == 1 and phases[0] < len(protocol.phases):
        report["last_rule"] = described[int(phases[0])].get("rule", {}).get("type", "")
    facts = facts | {"protocol": described, "report": report}
    return data.assign_attrs({DESCRIPTION: json.dumps(facts)})


def values_of(until: Until, problem: Problem, data: xr.Dataset) -> np.ndarray:
    """The quantity of a threshold at all times of a dataset."""
    if until.name in data:
        return data[until.name].values
    quantity = quantity_of(until, problem)
    assert isinstance(quantity, Observable), "the error is in the data"
    Q, R, T, v, b = state_orders(data)
    return at_overlaps([quantity], Q, R, T, v, b)[until.name]
