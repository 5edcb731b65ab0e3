"""A good call of every public name, small enough to be made thousands of times, with the kind of
each argument.
"""

import contextlib
import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import teacherstudent as ts

TIMES = (0.0, 0.1)


@dataclass(frozen=True)
class Call:
    """How a public name is called well: the function, and for each argument its kind and a good
    value.
    """

    function: Callable[[], Callable]
    good: Callable[[], dict[str, Any]]
    kinds: dict[str, str]
    path: str | None = None  # the name of a file to write, if there is an argument `path`

    def arguments(self, folder: Path | None) -> dict[str, Any]:
        """Good values of the arguments."""
        given = dict(self.good())
        if self.path is not None and folder is not None:
            given["path"] = folder / self.path
        return given


@functools.cache
def problem() -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(1), ts.Student(1), ts.SGD(0.1))


@functools.cache
def classes() -> ts.Problem:
    return ts.Problem(spike(), ts.Student(1, "quadratic"), ts.SphericalSGD(0.1), loss="correlation")


@functools.cache
def spike() -> ts.SpikedCumulant:
    return ts.SpikedCumulant(1.0)


@functools.cache
def start() -> ts.OrderParameters:
    return ts.OrderParameters([[0.5]], [[0.1]])


@functools.cache
def class_start() -> ts.OrderParameters:
    return ts.OrderParameters([[1.0]], m=[[0.1]])


@functools.cache
def theory():
    return ts.integrate(problem(), start(), TIMES)


@functools.cache
def class_theory():
    return ts.integrate(classes(), class_start(), TIMES)


@functools.cache
def simulation():
    return ts.simulate(problem(), start(), TIMES, N=10, seeds=2, progress=False)


@functools.cache
def saved() -> Path:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "good.h5"
    ts.save(path, theory=theory(), simulation=simulation())
    return path


def prepare() -> None:
    """Make the results that calls begin from, so that no trial has to wait for them."""
    saved()
    class_theory()


@functools.cache
def warm(name: str) -> None:
    """Make a good call once, so that no trial has to wait for the programs that it compiles."""
    call = CALLS[name]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Exception):
        call.function()(**call.arguments(Path(folder)))


def _generator(c):
    return jnp.tanh(jnp.concatenate([c, c]))


def _named(name: str) -> Callable[[], Callable]:
    def function() -> Callable:
        value: Any = ts
        for part in name.split("."):
            value = getattr(value, part)
        return value

    return function


def _call(
    name: str, good: Callable[[], dict[str, Any]], kinds: str, path: str | None = None
) -> tuple[str, Call]:
    """`kinds` is written as "argument: kind, argument: kind"."""
    pairs = [entry.split(":") for entry in kinds.split(",")]
    return name, Call(_named(name), good, {key.strip(): kind.strip() for key, kind in pairs}, path)


TEACHER = "width: count, activation: activation, readout: reals, noise: reals"
RATES = "learning_rate: reals, readout_learning_rate: reals?"
ALL_RATES = f"{RATES}, bias_learning_rate: reals?"


def _rate() -> dict[str, Any]:
    return {"learning_rate": 0.1}


CALLS: dict[str, Call] = dict(
    (
        # the parts of a problem
        _call("TeacherStudent", lambda: {"width": 1}, TEACHER),
        _call("ShiftedTeacherStudent", lambda: {"width": 1}, f"{TEACHER}, mean: reals"),
        _call(
            "Student",
            lambda: {"width": 1},
            ("width: count, activation: activation, train_readout: flag, train_bias: flag"),
        ),
        _call(
            "HiddenManifold",
            lambda: {"width": 1, "latent_ratio": 0.5},
            f"{TEACHER}, nonlinearity: activation, latent_ratio: real?, layers: reals, F: reals?, "
            "seed: count, centre: flag",
        ),
        _call(
            "GaussianEquivalent",
            lambda: {"Omega": np.eye(3), "Phi": np.eye(3)},
            f"{TEACHER}, Omega: reals?, Phi: reals?, mean: reals?, generator: callable?",
        ),
        _call(
            "GaussianEquivalent.from_generator",
            lambda: {"generator": _generator, "latent_dim": 1, "samples": 200},
            f"{TEACHER}, generator: callable, latent_dim: count, samples: count, key: key",
        ),
        _call(
            "GaussianEquivalent.anisotropic",
            lambda: {"eigenvalues": [1.0, 2.0]},
            (f"{TEACHER}, eigenvalues: reals"),
        ),
        _call(
            "GaussianEquivalent.from_file",
            lambda: {"path": saved(), "Omega": "Omega"},
            f"{TEACHER}, path: path, Omega: text, Phi: text, mean: text",
        ),
        _call(
            "SpikedCumulant",
            lambda: {"beta": 1.0},
            ("beta: real, latent: latent, class_prior: real"),
        ),
        _call(
            "MixedCumulant",
            lambda: {"beta_u": 1.0, "beta_v": 1.0},
            "beta_u: real, beta_v: real, latent: latent, coupling: text, class_prior: real",
        ),
        _call(
            "GaussianMixture",
            lambda: {"weights": [0.5, 0.5], "labels": [1, -1], "means": [[1.0], [0.0]]},
            "weights: reals, labels: reals, means: reals, variances: reals, covariances: reals?",
        ),
        _call("GaussianMixture.xor", dict, "variance: reals"),
        _call("GaussianMixture.two_clusters", dict, "variance: reals"),
        _call(
            "BoxMixture",
            lambda: {"weights": [0.5, 0.5], "labels": [1, -1], "boxes": [[[0, 1]], [[1, 2]]]},
            "weights: reals, labels: reals, boxes: reals, densities: pair?, nodes: count",
        ),
        _call("SGD", _rate, f"{ALL_RATES}, weight_decay: reals"),
        _call("SphericalSGD", _rate, ALL_RATES),
        _call(
            "HeavyBall",
            lambda: _rate() | {"beta": 0.5},
            (f"{ALL_RATES}, beta: reals?, gamma: reals?"),
        ),
        _call("SignSGD", _rate, ALL_RATES),
        _call("Signum", _rate, f"{ALL_RATES}, beta: reals"),
        _call("MajorityVote", lambda: _rate() | {"workers": 3}, f"{ALL_RATES}, workers: count"),
        _call("AGD", dict, "gain: reals, readout_gain: reals?, first_scale: reals?"),
        _call("Fromage", _rate, f"{RATES}, p_bound: reals?"),
        _call("Nero", _rate, f"{RATES}, beta: reals?, gamma: reals?, constraints: flag"),
        _call("Madam", _rate, f"{RATES}, p_scale: reals, g_bound: reals"),
        _call(
            "Activation",
            lambda: {"name": "mine", "function": jnp.tanh},
            "name: text, function: callable, kinks: reals",
        ),
        _call(
            "Problem",
            lambda: {"task": problem().task, "student": problem().student, "rule": problem().rule},
            "task: task, student: student, rule: rule, loss: text, batch_size: count, "
            "batch_ratio: ratio?",
        ),
        _call(
            "ica_problem",
            lambda: {"task": spike(), "learning_rate": 0.1},
            "task: spike, contrast: text, learning_rate: reals, sign: count?",
        ),
        _call("clone", lambda: {"task": spike()}, "task: task, moments: count"),
        # starts and times
        _call(
            "OrderParameters",
            lambda: {"Q": [[0.5]], "R": [[0.1]]},
            "Q: reals, R: reals?, T: reals?, v: reals?, m: reals?, b: reals?, weights: pair?",
        ),
        _call(
            "SpectralOverlaps",
            lambda: {
                "rho": [1.0],
                "weights": [1.0],
                "q": [[[0.5]]],
                "r": [[[0.1]]],
                "t": [[[1.0]]],
            },
            "rho: reals, weights: reals, q: reals, r: reals, t: reals, T: reals?, v: reals?, "
            "b: reals?, network: pair?",
        ),
        _call(
            "SpectralOverlaps.from_latent_modes",
            lambda: {
                "latent_ratio": 0.5,
                "b": 0.5,
                "zeta": 0.5,
                "rho": [1.0],
                "weights": [1.0],
                "sigma": [[[0.1]]],
                "r": [[[0.1]]],
                "t": [[[1.0]]],
                "W": [[0.5]],
            },
            "latent_ratio: real, b: real, zeta: real, rho: reals, weights: reals, sigma: reals, "
            "r: reals, t: reals, W: reals, T: reals?, v: reals?",
        ),
        _call(
            "random_start",
            lambda: {"problem": problem(), "N": 10},
            "problem: problem, N: count, seed: count, scale: real, T: reals?, readout_scale: real",
        ),
        _call(
            "orthogonal_start",
            lambda: {"problem": problem(), "N": 10},
            "problem: problem, N: count, seed: count, T: reals?",
        ),
        _call(
            "start_from_weights",
            lambda: {"problem": problem(), "w": np.ones((1, 4)), "w_star": np.eye(1, 4)},
            "problem: problem, w: reals, v: reals?, w_star: reals, b: reals?",
        ),
        _call(
            "spectral_start",
            lambda: {"problem": problem(), "start": start()},
            "problem: problem, start: start, nodes: count",
        ),
        _call(
            "Dataset",
            lambda: {"x": np.ones((3, 4))},
            "x: reals, c: reals?, y: reals?, noise: real?, order: text, seed: count",
        ),
        _call("log_times", lambda: {"stop": 10.0}, "stop: real, points: count, first: real"),
        _call("linear_times", lambda: {"stop": 10.0}, "stop: real, points: count"),
        _call("marchenko_pastur", lambda: {"ratio": 0.5}, "ratio: real, nodes: count"),
        _call("power_law", lambda: {"N": 4, "exponent": 1.0}, "N: count, exponent: real"),
        # the verbs
        _call(
            "integrate",
            lambda: {"problem": problem(), "start": start(), "times": TIMES},
            "problem: problem, start: start, times: reals, rtol: real, atol: real, solver: text, "
            "max_steps: count, spectral: flag, progress: flag?",
        ),
        _call(
            "solve",
            lambda: {"problem": problem(), "start": start(), "times": TIMES},
            "problem: problem, start: start, times: reals, rtol: real, atol: real, solver: text, "
            "max_steps: count",
        ),
        _call(
            "simulate",
            lambda: {"problem": problem(), "start": start(), "times": TIMES, "N": 10, "seeds": 2},
            "problem: problem, start: start, times: reals, N: count, seeds: counts, method: "
            "text, dtype: text, test_samples: count?, bank: pair?, data: training_set?, device: "
            "text?, checkpoint: path?, progress: flag?",
        ),
        _call(
            "escape",
            lambda: {"problem": classes(), "N": 10, "seeds": 2, "max_steps": 20},
            "problem: problem, N: counts, seeds: counts, threshold: real, max_steps: count, "
            "learning_rate_exponent: real, aligned: flag, enough: real, method: text, dtype: "
            "text, device: text?, progress: flag?",
        ),
        _call(
            "fast_ica",
            lambda: {"task": spike(), "N": 10, "samples": 20, "seeds": 2},
            "task: spike, N: count, samples: count, contrast: text, steps: count, fresh: flag, "
            "overlap: real?, seeds: counts, dtype: text, device: text?",
        ),
        _call(
            "with_clones",
            lambda: {"problem": classes(), "theory": class_theory(), "start": class_start()},
            "problem: problem, theory: dataset, start: start",
        ),
        # numbers
        _call(
            "accuracy",
            lambda: {"problem": classes(), "at": class_start()},
            ("problem: problem, at: start"),
        ),
        _call(
            "expected_loss",
            lambda: {"problem": classes(), "at": class_start()},
            ("problem: problem, at: start"),
        ),
        _call(
            "generalisation_error",
            lambda: {"problem": problem(), "at": start()},
            ("problem: problem, at: start"),
        ),
        _call("information_exponent", lambda: {"problem": classes()}, "problem: problem"),
        _call("escape_scale", lambda: {"problem": classes()}, "problem: problem"),
        _call(
            "likelihood_ratio_norm",
            lambda: {"problem": spike(), "n": 2, "N": 10},
            "problem: spike or problem, n: counts, N: count, prior: text",
        ),
        _call("oracle_error", lambda: {"task": spike()}, "task: task"),
        _call("oracle_loss", lambda: {"task": spike()}, "task: task"),
        # results
        _call(
            "compare",
            lambda: {"theory": theory(), "simulation": simulation()},
            ("theory: dataset, simulation: datasets"),
        ),
        _call(
            "plot",
            lambda: {"results": theory()},
            ("results: results, path: path?"),
            path="picture.png",
        ),
        _call(
            "save",
            lambda: {"theory": theory(), "force": True, "path": Path("never.h5")},
            "path: path, theory: dataset?, simulation: datasets?, comparison: dataset?, "
            "escape: dataset?, variants: trees?, force: flag",
            path="saved.h5",
        ),
        _call("load", lambda: {"path": saved()}, "path: path"),
        _call("problem_of", lambda: {"data": theory()}, "data: dataset"),
        _call("start_of", lambda: {"data": theory()}, "data: dataset"),
    )
)
