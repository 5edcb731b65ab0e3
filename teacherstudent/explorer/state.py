"""From the state of the page to the tables of an experiment's file, and back.

The tables are those that `teacherstudent run` reads.  What a file has and the page has no control
for (a protocol, a loss, tolerances) stays as the file gives it; a task, rule or start that the
controls cannot make exactly is kept whole, under the choice "as in the file".
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from teacherstudent.explorer import controls
from teacherstudent.explorer.controls import AS_IN_FILE, DEFAULTS, State

TITLE = "Explored by hand"
POINTS = 120  # times of a curve
# With two classes the accuracy at each time is most of the work.
POINTS_WITH_CLASSES = 60
FIRST = 0.1  # the first time after zero, on a logarithmic axis
KEPT = ("loss", "batch_size", "batch_ratio")
# Entries of these values say nothing: they are the defaults.
SAYS_NOTHING = (
    ("noise", 0.0),
    ("weight_decay", 0.0),
    ("train_readout", False),
    ("train_bias", False),
    ("activation", "erf"),
    ("nonlinearity", "sign"),
    ("latent", "rademacher"),
    ("workers", 3),
    ("adversaries", 0),
    ("gain", 1.0),
    ("seed", 0),
    ("scale", 1.0),
    ("readout_scale", 1.0),
)
CLUSTERS = {
    "weights": [0.25, 0.25, 0.25, 0.25],
    "labels": [1, 1, -1, -1],
    "means": [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]],
}


def default_state() -> dict[str, Any]:
    """The state of a page that was opened without a file."""
    return dict(DEFAULTS)


def natural_start(task: str) -> str:
    """The start with which a task is quick and leaves its first plateau.

    Random weights have overlaps of order 1 / sqrt N with two fixed directions, which the equations
    of two classes hardly see; on a hidden manifold they have a spectrum of N eigenvalues.
    """
    if task == controls.TEACHER_STUDENT:
        return controls.RANDOM
    return controls.OVERLAPS


def tables_of(state: State, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The tables of the experiment that a state means; `given` are those of the file."""
    given = given or {}
    tables: dict[str, Any] = {"title": given.get("title", TITLE)}
    if "reference" in given:
        tables["reference"] = given["reference"]
    for name in KEPT:
        if name in given:
            tables[name] = given[name]
    tables["task"] = _part("task", _task, state, given)
    tables["student"] = _student(state, given)
    tables["rule"] = _part("rule", _rule, state, given)
    if "protocol" in given:
        tables["protocol"] = copy.deepcopy(given["protocol"])
    tables["start"] = _part("start", _start, state, given)
    tables["times"] = _times(state, given)
    drawn = tables["start"].get("random", {}).get("N")
    if drawn is not None:  # inputs of many eigenvalues need networks of the same N
        tables["simulation"] = {"N": drawn}
    if "theory" in given:
        theory = {key: one for key, one in given["theory"].items() if key != "observables"}
        if theory:
            tables["theory"] = theory
    return tables


def _part(name: str, make, state: State, given: Mapping) -> dict:
    """The table of a part, as the controls or the file give it."""
    if state[name] == AS_IN_FILE:
        return copy.deepcopy(dict(given[name]))
    return make(state, given)


def _task(state: State, given: Mapping) -> dict:
    kind = state["task"]
    if kind == controls.SPIKED_CUMULANT:
        return {"type": "SpikedCumulant", "beta": state["beta"], "latent": state["latent"]}
    if kind == controls.XOR:
        clusters = copy.deepcopy(CLUSTERS)
        return {"type": "GaussianMixture", **clusters, "variances": state["variance"]}
    table = {"type": "TeacherStudent", "width": state["M"]}
    table["activation"] = state["teacher_activation"]
    if kind == controls.HIDDEN_MANIFOLD:
        table["type"] = "HiddenManifold"
        table["nonlinearity"] = state["nonlinearity"]
        table["latent_ratio"] = state["latent_ratio"]
    table["noise"] = state["noise"]
    return table


def _student(state: State, given: Mapping) -> dict:
    table = dict(given.get("student", {}))
    table["width"] = state["K"]
    if state["activation"] != AS_IN_FILE:
        table["activation"] = state["activation"]
    table["train_readout"] = state["train_readout"]
    if controls.has_classes(state):
        table["train_bias"] = state["train_bias"]
    return table


def _rule(state: State, given: Mapping) -> dict:
    kind = controls.rule_type(state)
    table: dict[str, Any] = {"type": kind}
    if kind not in controls.WITHOUT_RATE:
        table["learning_rate"] = _learning_rate(state)
        if state["train_readout"] and not state["same_readout_rate"]:
            table["readout_learning_rate"] = state["readout_eta"]
    if kind == "SGD":
        table["weight_decay"] = state["weight_decay"]
    if kind in ("HeavyBall", "Nero"):
        table["gamma"] = state["forgetting"]
    if kind == "MajorityVote":
        table["workers"] = state["workers"]
        table["adversaries"] = state["adversaries"]
    if kind == "AGD":
        table["gain"] = state["gain"]
        if state["train_readout"]:
            table["readout_gain"] = state["gain"]
    return table


def _learning_rate(state: State) -> float | dict:
    """The learning rate: a number, or the table of a schedule."""
    kind = state["schedule"]
    if kind == "constant":
        return state["eta"]
    table = {"schedule": kind, "initial": state["eta"]}
    if kind == "exponential":
        table |= {"rate": state["decay_rate"], "final": state["final"]}
    if kind == "power":
        table |= {"exponent": state["exponent"], "scale": state["scale"]}
    if kind in ("cosine", "linear"):
        table |= {"duration": state["duration"], "final": state["final"]}
    return table


def _start(state: State, given: Mapping) -> dict:
    if state["start"] == controls.OVERLAPS:
        return overlaps_of_start(state, given)
    random = {"N": state["start_size"], "seed": state["start_seed"], "scale": _scale(state)}
    if state["train_readout"]:
        random["readout_scale"] = state["readout_scale"]
    T = _teacher_overlaps(state, given)
    if T is not None:
        random["T"] = T
    return {"random": random}


def _scale(state: State) -> float:
    """The scale of the student's weights, which some rules keep at one."""
    if controls.is_on_sphere(state):
        return 1.0
    return float(state["start_scale"])


def _teacher_overlaps(state: State, given: Mapping) -> list | None:
    """T of random weights: as in the file if that draws as many teachers, or else the identity.

    None leaves them as they are drawn; on a hidden manifold T is that of the latents.
    """
    if state["task"] != controls.TEACHER_STUDENT:
        return None
    random = given.get("start", {}).get("random")
    if random is not None and given["task"].get("width") == state["M"]:
        return random.get("T")
    return np.eye(state["M"]).tolist()


def overlaps_of_start(state: State, given: Mapping) -> dict:
    """Overlaps of units that hardly know the teacher, and hardly differ.

        Q_kl = scale^2 (1 for k = l),   R_km (or m_ka) uniform in [-r, r]

    Readouts of one sign leave units alike, so that v_k = scale of v if they are trained.  The units
    differ by R (or m) alone, which the seed decides; with two classes every second readout is
    negative and the biases are small and differ, so that an odd activation learns something, too.
    """
    K = state["K"]
    directions = _directions(state, given)
    random = np.random.default_rng(state["start_seed"])
    overlaps = state["start_overlap"] * random.uniform(-1.0, 1.0, (K, directions))
    table = {"Q": (np.eye(K) * _scale(state) ** 2).tolist()}
    if not controls.has_classes(state):
        table["R"] = overlaps.tolist()
        if state["train_readout"]:
            table["v"] = [state["readout_scale"]] * K
        return table
    table["m"] = overlaps.tolist()
    scale = state["readout_scale"] if state["train_readout"] else 1.0
    table["v"] = [scale * (-1.0) ** unit for unit in range(K)]
    if state["train_bias"]:
        table["b"] = random.uniform(-0.5, 0.5, (K,)).tolist()
    return table


def _directions(state: State, given: Mapping) -> int:
    """The number of fixed directions: teacher units, spikes, or axes of the means."""
    if state["task"] == controls.SPIKED_CUMULANT:
        return 1
    if state["task"] == controls.XOR:
        return 2
    if state["task"] == AS_IN_FILE:
        return int(given["task"].get("width", 1))
    return state["M"]


def _times(state: State, given: Mapping) -> dict:
    stop = float(state["stop"])
    points = POINTS_WITH_CLASSES if controls.has_classes(state) else POINTS
    table = {"stop": stop, "points": points, "spacing": state["spacing"]}
    if state["spacing"] == "log":
        table["first"] = FIRST if stop > 10 * FIRST else stop / 100
    return table


def state_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The state that means the tables of a file as nearly as the controls can."""
    state = default_state()
    _read_student(given.get("student", {}), state)
    _read_task(given["task"], state)
    _read_rule(given["rule"], state)
    _read_start(given["start"], state)
    _read_times(given.get("times", {}), state)
    for name, make in (("task", _task), ("rule", _rule), ("start", _start)):
        if state[name] == AS_IN_FILE or not means_the_same(given[name], make(state, given)):
            state[name] = AS_IN_FILE
    return state


def means_the_same(given: Mapping, made: Mapping) -> bool:
    """Whether two tables have the same entries, but for those that say nothing."""
    return _essential(given) == _essential(made)


def _essential(table: Mapping) -> dict:
    """The entries of a table that differ from the defaults."""
    essential = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            value = _essential(value)
        says_nothing = any(key == name and value == default for name, default in SAYS_NOTHING)
        if not says_nothing:
            essential[key] = value
    return essential


def _read_student(table: Mapping, state: dict) -> None:
    state["K"] = table.get("width", state["K"])
    activation = table.get("activation", "erf")
    state["activation"] = activation if activation in controls.ACTIVATIONS else AS_IN_FILE
    state["train_readout"] = table.get("train_readout", False)
    state["train_bias"] = table.get("train_bias", False)


def _read_task(table: Mapping, state: dict) -> None:
    kinds = {
        "TeacherStudent": controls.TEACHER_STUDENT,
        "HiddenManifold": controls.HIDDEN_MANIFOLD,
        "SpikedCumulant": controls.SPIKED_CUMULANT,
        "GaussianMixture": controls.XOR,
    }
    state["task"] = kinds.get(table.get("type", ""), AS_IN_FILE)
    _take(table, state, width="M", activation="teacher_activation", noise="noise")
    _take(table, state, nonlinearity="nonlinearity", latent_ratio="latent_ratio")
    _take(table, state, beta="beta", latent="latent", variances="variance")


def _read_rule(table: Mapping, state: dict) -> None:
    names = {kind: name for name, kind in controls.RULES.items()}
    state["rule"] = names.get(table.get("type", ""), AS_IN_FILE)
    rate = table.get("learning_rate", state["eta"])
    if isinstance(rate, Mapping):
        state["schedule"] = rate["schedule"]
        _take(rate, state, initial="eta", rate="decay_rate", final="final")
        _take(rate, state, exponent="exponent", scale="scale", duration="duration")
        if state["schedule"] not in controls.SCHEDULES:
            state["schedule"] = "constant"  # and the rule is kept as the file gives it
    else:
        _take(table, state, learning_rate="eta")
    state["same_readout_rate"] = "readout_learning_rate" not in table
    _take(table, state, readout_learning_rate="readout_eta", weight_decay="weight_decay")
    _take(table, state, gamma="forgetting", gain="gain")
    _take(table, state, workers="workers", adversaries="adversaries")


def _read_start(table: Mapping, state: dict) -> None:
    if "random" not in table:
        state["start"] = AS_IN_FILE
        return
    state["start"] = controls.RANDOM
    state["start_scale"] = 1.0
    random = table["random"]
    _take(random, state, N="start_size", seed="start_seed", scale="start_scale")
    _take(random, state, readout_scale="readout_scale")


def _read_times(table: Mapping, state: dict) -> None:
    values = table.get("values")
    state["stop"] = values[-1] if values else table.get("stop", state["stop"])
    state["spacing"] = table.get("spacing", "linear" if values else "log")


def _take(table: Mapping, state: dict, **names: str) -> None:
    """Take over the entries of a table that are of the kind that the control has."""
    for entry, name in names.items():
        value = table.get(entry)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        if isinstance(value, str) == isinstance(state[name], str):
            state[name] = value
