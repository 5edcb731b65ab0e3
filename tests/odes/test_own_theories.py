"""A theory holds for the labels, inputs and rules that it was written for, and for nothing else."""

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from odes.inputs.one_update import gradient
from odes.rules.theory import RuleTheory

START = ts.OrderParameters(Q=[[0.6, 0.1], [0.1, 0.4]], R=[[0.3], [0.1]])
TIMES = [0.0, 0.5]


class Louder(ts.TeacherStudent):
    """Labels that are twice as large."""

    def gain(self):
        return 2.0

    def label(self, fields, noise):
        return self.gain() * (self.activation(fields) @ self.v_star)

    def error(self, student, loss, Q, R, T, v, b):
        return twice(self).error(student, loss, Q, R, T, v, b)


def twice(task):
    return ts.TeacherStudent(task.width, task.activation, readout=2 * task.readout)


class AveragesOfLouder(ts.InputTheory, task=Louder):
    def gradient(self, task, problem, fixed, state):
        return gradient(ts.Problem(twice(task), problem.student, problem.rule), fixed, state)


def problem(task, rule=None):
    return ts.Problem(task, ts.Student(2), rule or ts.SGD(0.5))


@pytest.mark.parametrize(
    "rule",
    [
        ts.SignSGD(0.1),
        ts.MajorityVote(0.1, workers=3),
        ts.Signum(0.1, beta=0.5),
        ts.AGD(),
        ts.Fromage(0.1),
        ts.HeavyBall(0.1, gamma=1.0),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_rules_with_other_averages_do_not_take_those_of_our_labels(rule):
    with pytest.raises(ValueError, match="Louder changes TeacherStudent.*takes other averages"):
        ts.integrate(problem(Louder(1), rule), START, TIMES)


@pytest.mark.long
def test_a_rule_of_the_gradient_alone_takes_the_averages_of_the_task():
    for rule in (ts.SGD(0.5), ts.HeavyBall(0.1, beta=0.5)):
        found = ts.integrate(problem(Louder(1), rule), START, TIMES)
        expected = ts.integrate(problem(twice(Louder(1)), rule), START, TIMES)
        np.testing.assert_allclose(found.R, expected.R, rtol=1e-9)
        assert "AveragesOfLouder" in found.attrs["teacherstudent"]


class OtherLabel(Louder):
    def label(self, fields, noise):
        return jnp.clip(super().label(fields, noise), -1, 1)


class OtherHelper(Louder):
    def gain(self):
        return 3.0


class SameLabels(Louder):
    """It changes nothing."""


@pytest.mark.parametrize("kind", [OtherLabel, OtherHelper])
def test_a_child_with_other_labels_inherits_no_theory_of_its_parent(kind):
    with pytest.raises(ValueError, match=f"TheoryOf{kind.__name__}.*a method {kind.__name__}.err"):
        ts.integrate(problem(kind(1)), START, TIMES)
    networks = ts.simulate(problem(kind(1)), START, [0.0, 0.1], N=30, progress=False)
    np.testing.assert_array_equal(networks.eps_g, networks.test_error)


def test_a_child_that_changes_nothing_has_the_theory_of_its_parent():
    found = ts.integrate(problem(SameLabels(1)), START, TIMES)
    np.testing.assert_array_equal(found.Q, ts.integrate(problem(Louder(1)), START, TIMES).Q)


def test_a_theory_that_is_written_again_is_the_one_that_answers(monkeypatch):
    """Also one for a rule of ours, whose programs were compiled with the first."""
    monkeypatch.setattr(RuleTheory, "registered", dict(RuleTheory.registered))
    linear = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.Madam(0.1))
    start = ts.OrderParameters(Q=[[1.0]], R=[[0.5]])

    def write(rate):
        class Shrinking(ts.RuleTheory, rule=ts.Madam):
            def velocity(self, rule, problem, fixed, state, replica):
                return state._replace(
                    q=-2 * rate * state.q, r=-rate * state.r, v=0 * state.v, b=0 * state.b
                )

    for rate in (1.0, 2.0):
        write(rate)
        theory = ts.integrate(linear, start, [0.0, 1.0])
        np.testing.assert_allclose(theory.R[-1, 0, 0], 0.5 * np.exp(-rate), rtol=1e-6)


class Transformed(ts.TeacherStudent):
    """Its constructor keeps another readout than it is given."""

    def __init__(self, width, activation="linear", readout=1.0, noise=0.0):
        super().__init__(width, activation, 2 * readout, noise)


def test_a_sweep_does_not_transform_arguments_twice():
    with pytest.raises(ValueError, match="__init__ keeps other numbers than it is given"):
        ts.integrate(problem(Transformed(1, noise=[0.1, 0.2])), START, TIMES)


class NoisyRule(ts.DescentRule):
    """It has a number of its own with the name of one of the task's."""

    noise: float

    def __init__(self, learning_rate, readout_learning_rate=None, noise=0.0):
        super().__init__(learning_rate, readout_learning_rate)
        self.noise = np.asarray(noise, float)

    def update(self, layers, gradient, memory, N):
        return self.descend(layers, gradient, self.noise, N), memory


class TheoryOfNoisyRule(ts.RuleTheory, rule=NoisyRule):
    def velocity(self, rule, problem, fixed, state, replica):
        r = -rule.noise * self.gradient(problem, fixed, state).r
        return state._replace(q=0 * state.q, r=r, v=0 * state.v, b=0 * state.b)


def test_a_number_of_the_rule_may_be_called_as_one_of_the_task():
    swept = ts.integrate(
        problem(ts.TeacherStudent(1), NoisyRule(0.1, noise=[0.0, 0.5])), START, [0.0, 0.1]
    )
    assert swept.R.dims[0] == "noise"
    np.testing.assert_array_equal(swept.R[0, 1], START.R)
    both = problem(ts.TeacherStudent(1, noise=[0.1, 0.2]), NoisyRule(0.1, noise=[0.0, 0.5]))
    with pytest.raises(ValueError, match="the task and the rule both have a sequence for noise"):
        ts.integrate(both, START, TIMES)


def test_a_theory_says_what_it_is_the_theory_of():
    with pytest.raises(ValueError, match="says of no rule that it is its theory"):

        class Lost(ts.RuleTheory):
            def velocity(self, rule, problem, fixed, state, replica):
                return state

    with pytest.raises(ValueError, match="has no argument 'tasks'"):

        class Misspelt(ts.InputTheory, tasks=Louder):
            pass

    with pytest.raises(ValueError, match="has no method velocity"):

        class Empty(ts.RuleTheory, rule=NoisyRule):
            pass


class Distance(ts.MixtureTask):
    """Two means, with an error of its own that reads a field: the squared distance."""

    distance: float

    @property
    def directions(self):
        return 1

    def components(self):
        means = self.distance * np.array([[0.5], [-0.5]])
        return ts.Components(
            np.array([0.5, 0.5]), np.array([1.0, -1.0]), means, np.ones((2, 1, 1)), np.ones(2)
        )

    def error(self, student, loss, Q, R, T, v, b):
        return self.distance**2 + 0 * Q[0, 0]


def test_an_error_of_two_classes_may_read_the_fields_of_its_class():
    own = ts.Problem(Distance(3.0), ts.Student(1, "linear"), ts.SGD(0.1))
    theory = ts.integrate(own, ts.OrderParameters(Q=[[1.0]], m=[[0.5]]), TIMES)
    np.testing.assert_allclose(theory.loss, 9.0)


def test_an_observable_that_is_not_finite_is_told():
    broken = ts.Observable("broken", (), r"$b$", of=lambda state: jnp.log(-state.Q[0, 0]))
    with pytest.warns(UserWarning, match="observable 'broken' is not finite at t = 0,"):
        ts.integrate(problem(ts.TeacherStudent(1)), START, TIMES, observables=[broken])
