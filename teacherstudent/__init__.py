"""Statistical physics of learning: order-parameter equations of online SGD beside finite networks.

>>> import teacherstudent as ts
>>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(learning_rate=0.3))
>>> start = ts.random_start(problem, N=1000, seed=0)
>>> theory = ts.integrate(problem, start, times=[0, 1, 10])
>>> networks = ts.simulate(problem, start, times=[0, 1, 10], N=1000, seeds=4)
>>> report = ts.compare(theory, networks)
"""

import importlib
from difflib import get_close_matches

__version__ = "0.1.0"

# name: module.  All names load on first use: `import teacherstudent` is quick, and theory and
# simulation can be used one without the other.
_NAMES = {
    "AGD": "teacherstudent.rules",
    "Activation": "teacherstudent.activations.activation",
    "BoxMixture": "teacherstudent.tasks",
    "DivergenceError": "teacherstudent.errors",
    "Fromage": "teacherstudent.rules",
    "GaussianEquivalent": "teacherstudent.tasks",
    "GaussianMixture": "teacherstudent.tasks",
    "HeavyBall": "teacherstudent.rules",
    "HiddenManifold": "teacherstudent.tasks",
    "Loss": "teacherstudent.losses",
    "Madam": "teacherstudent.rules",
    "MajorityVote": "teacherstudent.rules",
    "MixedCumulant": "teacherstudent.tasks",
    "Nero": "teacherstudent.rules",
    "OrderParameters": "teacherstudent.states.order_parameters",
    "Problem": "teacherstudent.problem",
    "SGD": "teacherstudent.rules",
    "SignSGD": "teacherstudent.rules",
    "Signum": "teacherstudent.rules",
    "SolverError": "teacherstudent.errors",
    "SpectralOverlaps": "teacherstudent.states.spectral_overlaps",
    "SphericalSGD": "teacherstudent.rules",
    "SpikedCumulant": "teacherstudent.tasks",
    "Student": "teacherstudent.problem",
    "TeacherStudent": "teacherstudent.tasks",
    "accuracy": "teacherstudent.observables.class_accuracy",
    "clone": "teacherstudent.tasks.clones",
    "compare": "teacherstudent.results.comparison",
    "escape": "sims.escape",
    "escape_scale": "odes.analysis.single_neuron",
    "expected_loss": "teacherstudent.observables.generalisation",
    "fast_ica": "sims.ica",
    "generalisation_error": "teacherstudent.observables.generalisation",
    "ica_problem": "teacherstudent.contrasts",
    "information_exponent": "odes.analysis.single_neuron",
    "integrate": "odes.integrate",
    "likelihood_ratio_norm": "teacherstudent.observables.likelihood_ratio",
    "linear_times": "teacherstudent.times",
    "load": "teacherstudent.results.files",
    "log_times": "teacherstudent.times",
    "marchenko_pastur": "teacherstudent.states.spectrum",
    "oracle_error": "teacherstudent.observables.oracle",
    "oracle_loss": "teacherstudent.observables.oracle",
    "orthogonal_start": "teacherstudent.starts",
    "plot": "teacherstudent.results.plots",
    "power_law": "teacherstudent.states.spectrum",
    "problem_of": "teacherstudent.results.selection",
    "random_start": "teacherstudent.starts",
    "save": "teacherstudent.results.files",
    "simulate": "sims.simulate",
    "solve": "odes.solving.solve",
    "spectral_start": "teacherstudent.starts",
    "start_from_weights": "teacherstudent.starts",
    "start_of": "teacherstudent.results.selection",
    "with_clones": "odes.analysis.clones",
}

__all__ = ["__version__", *_NAMES]


def __getattr__(name: str):
    if name not in _NAMES:
        near = get_close_matches(name, _NAMES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module 'teacherstudent' has no attribute {name!r}{hint}")
    value = getattr(_module(_NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_NAMES})


def _module(name: str):
    """Import a module; if a stranger's `odes` or `sims` stands in the way, say whose."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = name.split(".")[0]
        stranger = (
            importlib.import_module(top)
            if top in ("odes", "sims") and error.name in (name, top)
            else None
        )
        if stranger is None:
            raise
        raise ImportError(
            f"teacherstudent needs its own package {top!r}, but Python finds "
            f"{stranger.__file__ or stranger.__path__} first; rename that file or folder, or run "
            "from another one."
        ) from error
