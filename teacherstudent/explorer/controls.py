"""The controls of the page: what each is called, which values it takes, and when it matters.

The state of the page is a dictionary with one value for each control, by its name.

Only what answers in well under a second, once its program is compiled, is offered to be moved by
hand: activations with closed forms, the teacher-student task, the hidden manifold in the limit N,
D -> infinity, and two of the tasks with two classes.  Activations by quadrature take ten times as
long, and rules whose averages are sums over frozen points take seconds, which their names say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

State = Mapping[str, Any]
Shown = Callable[[State], bool]

AS_IN_FILE = "as in the file"

TEACHER_STUDENT = "teacher-student"
HIDDEN_MANIFOLD = "hidden manifold"
SPIKED_CUMULANT = "two classes: spiked cumulant"
XOR = "two classes: XOR of four clusters"
TASKS = (TEACHER_STUDENT, HIDDEN_MANIFOLD, SPIKED_CUMULANT, XOR)
WITH_CLASSES = (SPIKED_CUMULANT, XOR)

ACTIVATIONS = ("erf", "relu", "linear", "quadratic")
NONLINEARITIES = ("sign", "erf", "tanh", "relu")
LATENTS = ("rademacher", "uniform", "laplace")

# What the page calls a rule, and the rule.
RULES = {
    "SGD": "SGD",
    "spherical SGD": "SphericalSGD",
    "heavy ball (momentum)": "HeavyBall",
    "gradient flow (small-rate limit)": "GradientFlow",
    "Nero": "Nero",
    "sign-SGD (seconds)": "SignSGD",
    "majority vote of signs (seconds)": "MajorityVote",
    "Fromage (seconds)": "Fromage",
    "AGD, no learning rate (seconds)": "AGD",
}
ON_SPHERE = ("SphericalSGD", "Nero")  # rules that keep |w_k|^2 = N
WITHOUT_RATE = ("GradientFlow", "AGD")
SCHEDULES = ("constant", "exponential", "power", "cosine", "linear")

RANDOM = "random weights"
OVERLAPS = "given overlaps"
STARTS = (RANDOM, OVERLAPS)

STOPS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
SIZES = (50, 100, 200, 300, 500, 1000, 2000, 4000)


def always(_: State) -> bool:
    """A control that matters in any state."""
    return True


@dataclass(frozen=True)
class Control:
    """One control.

    - `name`: of its value in the state.
    - `label`: what the page calls it, with its symbol.
    - `default`: the value at first.
    - `shown`: whether it matters in a state.
    - `section`: under which title it is.
    """

    name: str
    label: str
    default: Any
    section: str
    shown: Shown = always


@dataclass(frozen=True)
class Choice(Control):
    """One of several values; a value of a file that is none of them may be added."""

    options: tuple = ()


@dataclass(frozen=True)
class Steps(Choice):
    """A slider over the options, which are not equally spaced."""


@dataclass(frozen=True)
class Number(Control):
    """A slider over real numbers; the box beside it takes others, too."""

    low: float = 0.0
    high: float = 1.0
    step: float = 0.01


@dataclass(frozen=True)
class Whole(Control):
    """A slider over whole numbers."""

    low: int = 1
    high: int = 8


@dataclass(frozen=True)
class Switch(Control):
    """On or off."""


def has_teacher(state: State) -> bool:
    """Whether the task is one of ours with a teacher."""
    return state["task"] in (TEACHER_STUDENT, HIDDEN_MANIFOLD)


def has_classes(state: State) -> bool:
    """Whether the task is one of ours with two classes."""
    return state["task"] in WITH_CLASSES


def rule_type(state: State) -> str:
    """The class of the rule; "" for that of the file."""
    return RULES.get(state["rule"], "")


def is_on_sphere(state: State) -> bool:
    """Whether the rule keeps the length of each unit's weights, which a start must have."""
    return rule_type(state) in ON_SPHERE


def _has_rate(state: State) -> bool:
    return rule_type(state) not in ("", *WITHOUT_RATE)


def _has_readout_rate(state: State) -> bool:
    return _has_rate(state) and state["train_readout"]


def _is(name: str, *values: Any) -> Shown:
    return lambda state: state[name] in values


def _has_rule(*kinds: str) -> Shown:
    return lambda state: rule_type(state) in kinds


def _changes_by(*kinds: str) -> Shown:
    return lambda state: _has_rate(state) and state["schedule"] in kinds


TASK, STUDENT, RULE, START = "Task", "Student", "Update rule", "Start and times"
SECTIONS = (TASK, STUDENT, RULE, START)

CONTROLS: tuple[Control, ...] = (
    Choice("task", "task", TEACHER_STUDENT, TASK, options=TASKS),
    Whole("M", "teacher units M", 2, TASK, has_teacher, high=6),
    Choice("teacher_activation", "teacher's activation g*", "erf", TASK, has_teacher, ACTIVATIONS),
    Number("noise", "label noise σ (std)", 0.0, TASK, has_teacher, high=2.0),
    Choice(
        "nonlinearity",
        "generator x = f(F c / √D): f",
        "sign",
        TASK,
        _is("task", HIDDEN_MANIFOLD),
        NONLINEARITIES,
    ),
    Number(
        "latent_ratio", "latent ratio δ = D / N", 0.5, TASK, _is("task", HIDDEN_MANIFOLD), 0.05, 3.0
    ),
    Number(
        "beta", "signal-to-noise ratio β", 20.0, TASK, _is("task", SPIKED_CUMULANT), 0.5, 50.0, 0.5
    ),
    Choice(
        "latent", "law of the latent", "rademacher", TASK, _is("task", SPIKED_CUMULANT), LATENTS
    ),
    Number("variance", "variance of a cluster", 0.1, TASK, _is("task", XOR), 0.01, 1.0),
    Whole("K", "student units K", 2, STUDENT),
    Choice("activation", "student's activation g", "erf", STUDENT, options=ACTIVATIONS),
    Switch("train_readout", "train the readout v", False, STUDENT),
    Switch("train_bias", "train the biases b", False, STUDENT, has_classes),
    Choice("rule", "rule", "SGD", RULE, options=tuple(RULES)),
    Number("eta", "learning rate η", 0.4, RULE, _has_rate, high=5.0),
    Choice("schedule", "η changes with time", "constant", RULE, _has_rate, SCHEDULES),
    Number(
        "decay_rate", "rate γ: η e^(−γ t)", 0.02, RULE, _changes_by("exponential"), 0.0, 1.0, 0.001
    ),
    Number("exponent", "exponent a: η (1 + t/s)^(−a)", 1.0, RULE, _changes_by("power"), 0.0, 2.0),
    Number("scale", "scale s, in time", 10.0, RULE, _changes_by("power"), 0.1, 200.0, 0.1),
    Number(
        "duration",
        "duration, in time",
        100.0,
        RULE,
        _changes_by("cosine", "linear"),
        1.0,
        1000.0,
        1.0,
    ),
    Number(
        "final",
        "last value of η",
        0.0,
        RULE,
        _changes_by("exponential", "cosine", "linear"),
        0.0,
        2.0,
    ),
    Switch("same_readout_rate", "readout's rate η_v = η", True, RULE, _has_readout_rate),
    Number(
        "readout_eta",
        "readout's rate η_v",
        0.4,
        RULE,
        lambda state: _has_readout_rate(state) and not state["same_readout_rate"],
        high=5.0,
    ),
    Number("weight_decay", "weight decay κ", 0.0, RULE, _has_rule("SGD"), high=1.0),
    Number(
        "forgetting",
        "forgetting γ (memory 1/γ)",
        1.0,
        RULE,
        _has_rule("HeavyBall", "Nero"),
        0.05,
        10.0,
        0.05,
    ),
    Number("gain", "gain", 1.0, RULE, _has_rule("AGD"), 0.05, 5.0, 0.05),
    Whole("workers", "workers", 3, RULE, _has_rule("MajorityVote"), high=15),
    Whole("adversaries", "adversaries among them", 0, RULE, _has_rule("MajorityVote"), 0, 15),
    Choice("start", "start", RANDOM, START, options=STARTS),
    Whole("start_seed", "seed of the start", 0, START, _is("start", RANDOM, OVERLAPS), 0, 100),
    Number(
        "start_scale",
        "scale of w: Q_kk = scale²",
        0.5,
        START,
        lambda state: state["start"] in STARTS and not is_on_sphere(state),
        0.0,
        2.0,
    ),
    Number(
        "start_overlap",
        "largest |R_km| (or |m_ka|)",
        0.1,
        START,
        _is("start", OVERLAPS),
        0.0,
        1.0,
        0.001,
    ),
    Choice("start_size", "weights drawn at N", 1000, START, _is("start", RANDOM), SIZES),
    Number(
        "readout_scale",
        "scale of v",
        1.0,
        START,
        lambda state: state["train_readout"] and state["start"] in STARTS,
        0.0,
        2.0,
    ),
    Steps("stop", "last time t = updates / N", 300, START, options=STOPS),
    Choice("spacing", "time axis", "log", START, options=("log", "linear")),
)
DEFAULTS = {control.name: control.default for control in CONTROLS}
