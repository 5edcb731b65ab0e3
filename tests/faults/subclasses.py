"""Classes of one's own that change ours: none may be answered with the theory, closed form, label
or chain of ours.
"""

import dataclasses
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

import teacherstudent as ts
from sims.inputs.source import set_up
from teacherstudent.activations.activation import ACTIVATIONS, Polynomial
from teacherstudent.results.description import describe_problem
from teacherstudent.rules import RULES
from teacherstudent.tasks.base import Labels
from tests.faults.trial import Trial

RANDOM = 600  # at share 1
START = ts.OrderParameters([[0.5]], [[0.1]])
UNIT = ts.OrderParameters([[1.0]], [[0.1]])
TEACHER, CLASSES = ts.TeacherStudent(1), ts.GaussianMixture.two_clusters(0.5)
TASKS = {
    "TeacherStudent": (ts.TeacherStudent, (1,)),
    "HiddenManifold": (ts.HiddenManifold, (1, "erf", "sign", 0.5)),
    "GaussianEquivalent": (ts.GaussianEquivalent, (np.eye(6), np.eye(6))),
    "SpikedCumulant": (ts.SpikedCumulant, (2.0,)),
    "MixedCumulant": (ts.MixedCumulant, (1.0, 1.0)),
    "GaussianMixture": (ts.GaussianMixture, ([0.5, 0.5], [1, -1], [[1.0], [-1.0]], 0.5)),
    "BoxMixture": (ts.BoxMixture, ([0.5, 0.5], [1, -1], [[[0.0, 1.0]], [[-1.0, 0.0]]])),
}
OF_TEACHER = (
    "v_star",
    "noise",
    "activation",
    "latent_dimension",
    "label",
    "directions",
)
OF_INPUTS = {
    "TeacherStudent": (),
    "HiddenManifold": ("modes", "spectrum", "matrices", "coefficients", "shift"),
    "GaussianEquivalent": ("modes", "spectrum", "Omega"),
}
OF_RULE = (
    "update",
    "memory",
    "begin",
    "gradients",
    "check_start",
    "eta_v",
    "learning_rate",
    "steps",
    "descend",
)


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Systematic changes of every class, and random ones of several attributes at once."""
    yield from rules()
    yield from tasks()
    yield from activations()
    yield from files()
    yield from networks() if share >= 0.1 else ()  # they train networks
    rng = np.random.default_rng(seed)
    for number in range(max(4, round(share * RANDOM))):
        yield random_trial(rng, number)


def refuses(name: str, ask: Callable) -> Trial:
    """A trial in which any answer is wrong."""
    return Trial(name, lambda: ask() is None)


# Rules


def doubled(base: type, name: str = "Doubled") -> type:
    """A rule that takes twice the gradient."""

    def update(self, layers, gradient, memory, N):
        twice = jax.tree.map(lambda g: 2 * g, dict(gradient))
        return base.update(self, layers, twice, memory, N)

    return type(base)(name, (base,), {"update": update, "__module__": __name__})


def changed_rule(base: type, names: tuple[str, ...]) -> type:
    """A rule with other definitions of some attributes, that do what they did."""
    changes = {name: _copied(base, name) for name in names}
    return type(base)("Changed", (base,), changes | {"__module__": __name__})


def _copied(base: type, name: str):
    """Another definition of an attribute, as a method or a property that answers 1."""
    method = getattr(base, name, None)
    if callable(method):
        return lambda self, *given, **named: method(self, *given, **named)
    return property(lambda self: 1)


def rule_of(kind: type):
    """A rule without its constructor's checks, which a class with other attributes need not
    pass.
    """
    return kind(**({} if kind.__mro__[1].__name__ in ("AGD",) else {"learning_rate": 0.1}))


def problem_with(rule) -> tuple[ts.Problem, ts.OrderParameters]:
    unit = isinstance(rule, ts.SphericalSGD | ts.Nero)
    return ts.Problem(TEACHER, ts.Student(1), rule), UNIT if unit else START


def rules() -> Iterator[Trial]:
    for name, base in RULES.items():
        yield refuses(
            f"integrate, {name} with another update",
            lambda base=base: theory_of_rule(doubled(base)),
        )
    for attribute in OF_RULE:
        if hasattr(ts.SGD, attribute) and attribute != "learning_rate":
            kind = changed_rule(ts.SGD, (attribute,))
            yield refuses(
                f"integrate, SGD with another {attribute}", lambda kind=kind: theory_of_rule(kind)
            )
            yield refuses(
                f"chain, SGD with another {attribute}", lambda kind=kind: chain_of_rule(kind)
            )
    yield refuses("integrate, steps of a class behind SGD", lambda: theory_of_rule(_behind()))
    yield refuses("solve, SGD with another update", lambda: _solved(doubled(ts.SGD)))
    spherical = ts.Problem(CLASSES, ts.Student(1), doubled(ts.SphericalSGD)(0.1), "correlation")
    yield refuses(
        "velocity of one neuron",
        lambda: _module("odes.analysis.single_neuron").single_neuron_velocity(spherical, [0.1]),
    )
    yield Trial("integrate, a rule that changes nothing", _harmless_rule, may_refuse=False)


def theory_of_rule(kind: type):
    problem, start = problem_with(rule_of(kind))
    return ts.integrate(problem, start, [0, 1])


def chain_of_rule(kind: type):
    problem, start = problem_with(rule_of(kind))
    return ts.simulate(problem, start, [0, 1], N=20, seeds=1, method="reduced")


def _behind() -> type:
    """A class that changes SGD through the class that SGD takes its steps from."""
    from teacherstudent.rules.base import DescentRule

    class Steps(DescentRule):
        def steps(self, direction, first_rate, N):
            return super().steps(direction, 2 * first_rate, N)

        def update(self, layers, gradient, memory, N):
            return self.descend(layers, gradient, 1.0, N), memory

    return type(ts.SGD)("Behind", (ts.SGD, Steps), {"__module__": __name__})


def _solved(kind: type):
    problem, start = problem_with(kind(0.1))
    return ts.solve(problem, start, [0.0, 1.0])


def _harmless_rule() -> bool:
    class Annotated(ts.SGD):
        """SGD with a note."""

        @property
        def note(self):
            return "mine"

    found = ts.integrate(*problem_with(Annotated(0.1)), [0, 1])
    return bool(np.array_equal(found.eps_g, ts.integrate(*problem_with(ts.SGD(0.1)), [0, 1]).eps_g))


def _module(name: str):
    import importlib

    return importlib.import_module(name)


# Tasks


def changed_task(name: str, attributes: tuple[str, ...]):
    """One of our tasks, as a class that defines some of its attributes anew."""
    base, given = TASKS[name]
    changes = {attribute: _copied(base, attribute) for attribute in attributes}
    changes["__init__"] = lambda self: None  # fields that became properties cannot be set
    kind = type(base)("Changed", (base,), changes | {"__module__": __name__})
    task, ours = object.__new__(kind), base(*given)
    for field in dataclasses.fields(base):
        if field.name not in attributes:
            object.__setattr__(task, field.name, getattr(ours, field.name))
    return task


def registered_task(part, base: type, given: tuple):
    """One of our tasks, as a class that changes nothing but registers a part of its own."""
    kind = type(base)("Registered", (base,), {"__module__": __name__})
    part.register(kind, part.part(base))
    return kind(*given)


def overlaps_of(task) -> ts.OrderParameters:
    r = 2 if "MixedCumulant" in [kind.__name__ for kind in type(task).__mro__] else 1
    if any(kind.__name__ == "MixtureTask" for kind in type(task).__mro__):
        return ts.OrderParameters([[0.5]], m=np.full((1, r), 0.1))
    return START


def questions(task) -> dict[str, Callable]:
    """What theory and closed forms can be asked of a task."""
    start, student = overlaps_of(task), ts.Student(1)
    problem = lambda loss="square": ts.Problem(task, student, ts.SGD(0.1), loss)
    asked: dict[str, Callable] = {"integrate": lambda: ts.integrate(problem(), start, [0, 1])}
    if isinstance(task, ts.TeacherStudent | ts.HiddenManifold | ts.GaussianEquivalent):
        asked["generalisation_error"] = lambda: ts.generalisation_error(problem(), start)
    else:
        asked["expected_loss"] = lambda: ts.expected_loss(problem(), start)
        asked["accuracy"] = lambda: ts.accuracy(problem(), start)
        asked["information_exponent"] = lambda: ts.information_exponent(problem())
        asked["escape_scale"] = lambda: ts.escape_scale(
            ts.Problem(task, student, ts.SphericalSGD(0.1), "correlation")
        )
        asked["escape"] = lambda: ts.escape(problem(), [20], seeds=2, max_steps=10)
        asked["oracle_error"] = lambda: ts.oracle_error(task)
    if not isinstance(task, ts.HiddenManifold | ts.GaussianEquivalent):
        asked["chain"] = lambda: ts.simulate(
            problem(), start, [0, 1], N=20, seeds=1, method="reduced"
        )
    return asked


def of_theory(task) -> dict[str, Callable]:
    """The questions that no task with labels of its own can be asked; networks can."""
    asked = questions(task)
    return {name: ask for name, ask in asked.items() if name not in ("escape",)}


def tasks() -> Iterator[Trial]:
    for name, inputs in OF_INPUTS.items():
        for attribute in (*OF_TEACHER, *inputs):
            task = changed_task(name, (attribute,))
            yield refuses(
                f"integrate, {name} with another {attribute}", questions(task)["integrate"]
            )
        for question, ask in of_theory(changed_task(name, ("v_star",))).items():
            yield refuses(f"{question}, {name} with another v_star", ask)
    for name in TASKS:
        for attribute in ("label", "gradient"):
            for question, ask in of_theory(changed_task(name, (attribute,))).items():
                yield refuses(f"{question}, {name} with a {attribute} of its own", ask)
        for question, ask in questions(registered_task(set_up, *TASKS[name])).items():
            yield refuses(f"{question}, {name} that registers how its inputs are drawn", ask)
    yield refuses(
        "likelihood ratio of other components",
        lambda: ts.likelihood_ratio_norm(Spikier(2.0), [1.0], 20),
    )
    yield refuses("oracle of other components", lambda: ts.oracle_error(Spikier(2.0)))
    yield refuses(
        "FastICA of other components",
        lambda: ts.fast_ica(Spikier(2.0), N=10, samples=20, steps=1, seeds=1),
    )


class Spikier(ts.SpikedCumulant):
    """A spike that is more visible than its beta says."""

    def components(self):
        return ts.SpikedCumulant(2 * self.beta, self.latent, self.class_prior).components()


def _components_of_ones_own() -> bool:
    start = overlaps_of(CLASSES)
    found, expected = (
        ts.integrate(ts.Problem(task, ts.Student(1), ts.SGD(0.1)), start, [0, 1]).loss
        for task in (Spikier(2.0), ts.SpikedCumulant(4.0))
    )
    return bool(np.allclose(found, expected, rtol=1e-9))


# Activations


class Cubed(ts.Activation):
    """Another function than the one it holds."""

    def __call__(self, x):
        return x**3


class Straight(ts.Activation):
    """Another derivative than its function has."""

    def derivative(self, x):
        return jnp.ones_like(x)


class Shifted(Polynomial):
    """A polynomial with one added."""

    def __call__(self, x):
        return super().__call__(x) + 1


def activations() -> Iterator[Trial]:
    held = {
        "erf": ACTIVATIONS["erf"].function,
        "linear": ACTIVATIONS["linear"].function,
        "mine": jnp.tanh,
    }
    cube = ts.Activation("x^3", lambda x: x**3)
    for name, function in held.items():
        yield Trial(
            f"error, {name} that is called otherwise",
            lambda f=function, n=name: _errors_agree(Cubed(n, f), cube),
        )
        for question in ("integrate", "generalisation_error", "expected_loss"):
            ask = lambda q=question, f=function, n=name: asked_of_student(q, Straight(n, f))
            yield refuses(f"{question}, {name} with another derivative", ask)
    more = ts.Activation("1 + x", lambda x: 1 + x)
    yield Trial(
        "error, a polynomial that is called otherwise", lambda: _errors_agree(_shifted(), more)
    )
    yield Trial("error, a known name for another function", _other_function_by_name)
    yield refuses("a known name for another function", lambda: ts.Activation("erf", jnp.tanh))
    yield refuses(
        "a known name, replaced", lambda: dataclasses.replace(ACTIVATIONS["erf"], function=jnp.tanh)
    )


def _shifted() -> ts.Activation:
    return ts.Activation("shifted", Shifted((0.0, 1.0)))


def _error(activation, both: bool) -> float:
    task = ts.TeacherStudent(1, activation if both else "erf")
    return float(
        ts.generalisation_error(ts.Problem(task, ts.Student(1, activation), ts.SGD(0.1)), START)
    )


def _errors_agree(one, other) -> bool:
    return all(
        np.isclose(_error(one, both), _error(other, both), rtol=1e-9) for both in (True, False)
    )


def asked_of_student(question: str, activation):
    task = CLASSES if question == "expected_loss" else TEACHER
    problem = ts.Problem(task, ts.Student(1, activation), ts.SGD(0.1))
    if question == "integrate":
        return ts.integrate(problem, START, [0, 1])
    return getattr(ts, question)(problem, overlaps_of(task))


def _other_function_by_name() -> bool:
    """The table of names is changed under the closed forms."""
    erf = ACTIVATIONS.pop("erf")
    try:
        other = ts.Activation("erf", jnp.tanh)
        ACTIVATIONS["erf"] = other
        found = _error(other, both=True)
    finally:
        ACTIVATIONS["erf"] = erf
    return bool(np.isclose(found, _error("tanh", both=True), rtol=1e-9))


# Files


def files() -> Iterator[Trial]:
    for name, base in RULES.items():
        kind = doubled(base, name)
        yield Trial(
            f"file, a class of one's own called {name}",
            lambda kind=kind: _has_own_name(TEACHER, rule_of(kind)),
        )
    for name, (base, given) in TASKS.items():
        kind = type(base)(name, (base,), {"__module__": __name__})
        yield Trial(
            f"file, a class of one's own called {name}",
            lambda k=kind, g=given: _has_own_name(k(*g), ts.SGD(0.1)),
        )
    yield refuses("file, a rule of one's own read back", _read_back)


def _has_own_name(task, rule) -> bool:
    described = describe_problem(ts.Problem(task, ts.Student(1), rule))
    part = described["task"] if type(task).__module__ == __name__ else described["rule"]
    return part["type"].startswith(__name__)


def _read_back():
    class SGD(ts.SGD):
        """Ours, and called like ours."""

    return ts.problem_of(ts.integrate(*problem_with(SGD(0.1)), [0, 1]))


# Networks


def networks() -> Iterator[Trial]:
    yield Trial("integrate, components of one's own", _components_of_ones_own)
    yield Trial("networks, twice the gradient", _twice_the_gradient, may_refuse=False)
    yield Trial("networks, labels of one's own", _labels_of_ones_own, may_refuse=False)
    yield Trial("networks, components of one's own", _spikier_networks, may_refuse=False)


def _networks(problem, start, method: str = "auto"):
    return ts.simulate(problem, start, [0, 2], N=30, seeds=2, dtype="float64", method=method)


def _twice_the_gradient() -> bool:
    found = _networks(*problem_with(doubled(ts.SGD)(0.1)))
    expected = _networks(*problem_with(ts.SGD(0.2)), method="weights")
    return bool(np.allclose(found.eps_g, expected.eps_g, rtol=1e-9))


def _labels_of_ones_own() -> bool:
    class Opposite(ts.TeacherStudent):
        def label(self, fields, noise):
            clean = -self.activation(fields) @ self.v_star
            return Labels(clean, clean)

    found = _networks(ts.Problem(Opposite(1), ts.Student(1), ts.SGD(0.1)), START)
    expected = _networks(
        ts.Problem(ts.TeacherStudent(1, readout=-1.0), ts.Student(1), ts.SGD(0.1)), START, "weights"
    )
    same = np.allclose(found.Q, expected.Q, rtol=1e-9) and np.allclose(
        found.R, expected.R, rtol=1e-9
    )
    return bool(
        same and np.allclose(found.eps_g, expected.eps_g, rtol=0.2)
    )  # on 4000 held-out samples


def _spikier_networks() -> bool:
    start = ts.OrderParameters([[0.5]], m=[[0.4]])
    problem = lambda task: ts.Problem(task, ts.Student(1), ts.SGD(0.2))
    theory = ts.integrate(problem(ts.SpikedCumulant(8.0)), start, [0, 2])
    found = ts.simulate(problem(Spikier(4.0)), start, [0, 2], N=300, seeds=20, method="reduced")
    error = found.loss.std("seed") / 20**0.5
    return bool((abs(found.loss.mean("seed") - theory.loss) < 5 * error + 1e-6).all())


# Random ones


def random_trial(rng: np.random.Generator, number: int) -> Trial:
    """Several attributes of a random class, and a random question."""
    if rng.random() < 0.4:
        name = str(rng.choice([name for name in RULES if name not in ("Madam",)]))
        base = RULES[name]
        known = [
            one
            for one in (*OF_RULE, "step_by", "sgd")
            if hasattr(base, one) and one != "learning_rate"
        ]
        attributes = tuple(
            rng.choice(known, size=rng.integers(1, min(4, len(known)) + 1), replace=False).tolist()
        )
        ask = theory_of_rule if rng.random() < 0.6 else chain_of_rule
        return refuses(
            f"{number}: {name} with other {attributes}", lambda: ask(changed_rule(base, attributes))
        )
    name = str(rng.choice(list(TASKS)))
    known = [*OF_TEACHER, *OF_INPUTS[name]] if name in OF_INPUTS else ["label", "gradient"]
    attributes = tuple(
        rng.choice(known, size=rng.integers(1, min(3, len(known)) + 1), replace=False).tolist()
    )
    asked = questions(changed_task(name, attributes))
    question = str(rng.choice(list(asked)))
    return refuses(f"{number}: {question}, {name} with other {attributes}", asked[question])
