"""Classes of one's own that break their contract: one sentence each, before any long work."""

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts

START = ts.OrderParameters(Q=[[0.6, 0.1], [0.1, 0.4]], R=[[0.3], [0.1]])
TIMES = [0.0, 1.0]
FEW = {"N": 30, "seeds": 2}


class Rule(ts.DescentRule):
    """A rule with an answer of its own."""

    def memory(self, layers):
        return {"m": jnp.zeros_like(layers["w"])}

    def update(self, layers, gradient, memory, N):
        moved = self.descend(layers, gradient, self.learning_rate, N)
        return self.answers(moved, memory)


class LayersAlone(Rule):
    def answers(self, moved, memory):
        return moved


class NoLayers(Rule):
    def answers(self, moved, memory):
        return {}, memory


class OneArray(Rule):
    def answers(self, moved, memory):
        return moved["w"], memory


class Transposed(Rule):
    def answers(self, moved, memory):
        return {"w": moved["w"].T}, memory


class Rounded(Rule):
    def answers(self, moved, memory):
        return {"w": moved["w"].astype(jnp.float16)}, memory


class Forgetful(Rule):
    def answers(self, moved, memory):
        return moved, ()


class OtherMemory(Rule):
    def answers(self, moved, memory):
        return moved, {"m": memory["m"].sum(0)}


class Failing(Rule):
    def answers(self, moved, memory):
        return moved["readout"], memory


RULES = {
    LayersAlone: r"N\) answers a dict of 1; it is to answer the pair \(layers, memory\)",
    NoLayers: r"N\) answers the layers ; give w",
    OneArray: r"N\) answers an array of shape \(2, 30\) for layers; give a dict of w",
    Transposed: r"N\) answers w of shape \(30, 2\); it is to be of shape \(2, 30\), as it",
    Rounded: r"N\) answers w of the type float16; it is to be float32",
    Forgetful: r"N\) answers a memory of the structure PyTreeDef\(\(\)\); .*Forgetful.memory\(la",
    OtherMemory: r"N\) answers a memory of shape \(30,\); it is to be of shape \(2, 30\)",
    Failing: r"N\) fails when it is traced by JAX \(KeyError: 'readout'\)",
}


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("method", ["weights", "auto"])
def test_updates(kind, method):
    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(2), kind(0.1))
    sentence = rf"^{kind.__name__}.update\(layers, gradient, memory, {RULES[kind]}"
    with pytest.raises(ValueError, match=sentence):
        ts.simulate(problem, START, TIMES, method=method, **FEW)


def test_fields_that_are_no_numbers():
    class Named(ts.SGD):
        label: str

        def __init__(self, learning_rate):
            super().__init__(learning_rate)
            self.label = "mine"

    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(2), Named(0.1))
    for ask in (ts.integrate, lambda *given: ts.simulate(*given, **FEW)):
        with pytest.raises(ValueError, match=r"^Named.label = 'mine' is no number; .*static=True"):
            ask(problem, START, TIMES)


def test_labels():
    class Pair(ts.TeacherStudent):
        def label(self, fields, noise):
            return noise, noise

    class PerField(ts.TeacherStudent):
        def label(self, fields, noise):
            return fields

    for kind, found in ((Pair, "a tuple of 2"), (PerField, r"an array of shape \(7, 1\)")):
        problem = ts.Problem(kind(1), ts.Student(2), ts.SGD(0.1))
        sentence = rf"^{kind.__name__}.label\(fields, noise\) answers {found}; it is to answer ts.L"
        with pytest.raises(ValueError, match=sentence):
            ts.simulate(problem, START, TIMES, **FEW)


def test_errors():
    class PerUnit(ts.TeacherStudent):
        def error(self, student, loss, Q, R, T, v, b):
            return v

    problem = ts.Problem(PerUnit(1, noise=[0.1, 0.2]), ts.Student(2), ts.SGD(0.1))
    with pytest.raises(
        ValueError, match=r"^PerUnit.error\(.*\) answers an array of shape \(2,\); i"
    ):
        ts.integrate(problem, START, TIMES)


def law(**changed):
    """The components of two classes, some of them changed."""
    parts = {
        "p": np.array([0.5, 0.5]),
        "y": np.array([1.0, -1.0]),
        "A": np.zeros((2, 1)),
        "S": np.ones((2, 1, 1)),
        "sigma2": np.ones(2),
    }
    return ts.Components(**{**parts, **changed})


class Classes(ts.MixtureTask):
    parts: object

    directions = 1

    def components(self):
        return self.parts


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (3, "answers an int; give ts.Components"),
        (
            law(A=np.zeros((1, 2))),
            r"answers A of shape \(1, 2\); with 2 components and 1 dir.*2, 1",
        ),
        (law(p=np.array([0.5, 0.4])), "answers probabilities p that sum to 0.9, the smallest"),
        (law(p=np.array([1.5, -0.5])), "answers .* sum to 1, the smallest of them -0.5; they are"),
        (law(y=np.array([1.0, 0.0])), r"answers labels y = \[1. 0.\]; they are"),
        (law(S=np.full((2, 1, 1), np.nan)), "answers S with an entry that is not finite"),
        (law(sigma2=-np.ones(2)), "answers a variance sigma2 = -1; it is not negative"),
    ],
)
def test_components(parts, sentence):
    problem = ts.Problem(Classes(parts=parts), ts.Student(2), ts.SGD(0.1))
    start = ts.OrderParameters(START.Q, m=START.R)
    for ask in (ts.integrate, lambda *given: ts.simulate(*given, **FEW)):
        with pytest.raises(ValueError, match=rf"^Classes.components\(\) {sentence}"):
            ask(problem, start, TIMES)


def test_velocities():
    class Mine(ts.SGD):
        def update(self, layers, gradient, memory, N):
            return super().update(layers, gradient, memory, N)

    class TheoryOfMine(ts.RuleTheory, rule=Mine):
        def velocity(self, rule, problem, fixed, state, replica):
            if rule.readout_learning_rate is None:
                return state.q, state.r
            return state._replace(q=state.q[..., 0])

    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(2), Mine(0.1))
    where = r"^TheoryOfMine.velocity\(rule, problem, fixed, state, replica\)"
    with pytest.raises(
        ValueError, match=f"{where} answers a tuple of 2; it is to answer a State, "
    ):
        ts.integrate(problem, START, TIMES)
    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(2, train_readout=True), Mine(0.1, 0.1))
    with pytest.raises(
        ValueError, match=rf"{where} answers State.q of shape \(2, 2\); it is to be"
    ):
        ts.solve(problem, START, TIMES)


def test_averages():
    class Task(ts.TeacherStudent):
        error = ts.TeacherStudent.error

        def label(self, fields, noise):
            return noise

    class AveragesOfTask(ts.AveragesWithTeacher, task=Task):
        def gradient(self, task, problem, fixed, state):
            return super().gradient(task, problem, fixed, state)._replace(v=0.0 * state.r)

    problem = ts.Problem(Task(1), ts.Student(2), ts.SGD(0.1))
    sentence = r"^AveragesOfTask.gradient\(.*\) answers Gradient.v of shape \(2, 1, 1\); it is to"
    with pytest.raises(ValueError, match=sentence):
        ts.integrate(problem, START, TIMES)
