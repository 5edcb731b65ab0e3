import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from odes.inputs.one_update import InputTheory, gradient
from sims.inputs.source import Source, normal_rows, set_up
from sims.inputs.teacher_student import StandardNormal
from teacherstudent.rules.base import DescentRule
from teacherstudent.tasks.base import Labels

START = ts.OrderParameters([[0.5]], [[0.1]])
TIMES = [0.0, 1.0]
FEW = {"N": 30, "seeds": 2, "dtype": "float64"}


class Double(ts.SGD):
    def update(self, layers, gradient, memory, N):
        twice = jax.tree.map(lambda g: 2 * g, dict(gradient))
        return super().update(layers, twice, memory, N)


class Opposite(ts.TeacherStudent):
    def label(self, fields, noise):
        return -self.activation(fields) @ self.v_star


def problem(task=None, rule=None) -> ts.Problem:
    return ts.Problem(
        ts.TeacherStudent(1) if task is None else task, ts.Student(1), rule or ts.SGD(0.1)
    )


def test_an_update_of_ones_own_has_no_theory_and_trains_networks():
    for ask in (ts.integrate, ts.solve):
        with pytest.raises(
            ValueError, match=r"class Double changes SGD.update, so that the theory of SGD does not"
        ):
            ask(problem(rule=Double(0.1)), START, TIMES)
    with pytest.raises(
        ValueError, match=r'method = "reduced": class Double changes SGD.update, and does not say'
    ):
        ts.simulate(problem(rule=Double(0.1)), START, TIMES, method="reduced", **FEW)
    found = ts.simulate(problem(rule=Double(0.1)), START, TIMES, method="auto", **FEW)
    expected = ts.simulate(problem(rule=ts.SGD(0.2)), START, TIMES, **FEW)
    np.testing.assert_allclose(found.Q, expected.Q, rtol=1e-12)
    np.testing.assert_allclose(found.eps_g, expected.eps_g, rtol=1e-12)


def test_labels_of_ones_own_train_networks_and_are_measured():
    with pytest.raises(
        ValueError,
        match=r"class Opposite changes TeacherStudent.label, and no theory is known of that",
    ):
        ts.integrate(problem(Opposite(1)), START, TIMES)
    found = ts.simulate(problem(Opposite(1)), START, TIMES, method="weights", **FEW)
    expected = ts.simulate(problem(ts.TeacherStudent(1, readout=-1.0)), START, TIMES, **FEW)
    np.testing.assert_allclose(found.R, expected.R, rtol=1e-12)
    np.testing.assert_array_equal(found.eps_g, found.test_error)
    gap = abs(found.eps_g - expected.eps_g)
    assert (gap < 5 * found.test_error_se).all() and (found.test_error_se > 0).all()


def test_labels_of_the_wrong_shape_are_told():
    class Wrong(ts.TeacherStudent):
        def label(self, fields, noise):
            return fields

    with pytest.raises(ValueError, match=r"Wrong.label\(fields, noise\) answers an array of shape"):
        ts.simulate(problem(Wrong(1)), START, TIMES, **FEW)


class Scaled(ts.TeacherStudent):
    """Labels times two, with the error that follows."""

    def label(self, fields, noise):
        clean, noisy = super().label(fields, noise)
        return Labels(2 * clean, 2 * noisy)

    def error(self, student, loss, Q, R, T, v, b):
        return self.twice.error(student, loss, Q, R, T, v, b)

    @property
    def twice(self):
        return ts.TeacherStudent(self.width, self.activation, 2 * self.readout, 2 * self.noise)


@pytest.mark.long
def test_averages_of_ones_own_make_a_task():
    with pytest.raises(ValueError, match=r"class Scaled changes TeacherStudent.label"):
        ts.integrate(problem(Scaled(1)), START, TIMES)

    class AveragesOfScaled(InputTheory, task=Scaled):
        def gradient(self, task, problem, fixed, state):
            other = ts.Problem(task.twice, problem.student, problem.rule)
            return gradient(other, fixed, state)

    theory = ts.integrate(problem(Scaled(1)), START, TIMES).eps_g
    expected = ts.integrate(problem(Scaled(1).twice), START, TIMES).eps_g
    np.testing.assert_allclose(theory, expected, rtol=1e-9)
    for method in ("weights", "reduced"):
        networks = ts.simulate(problem(Scaled(1)), START, TIMES, method=method, **FEW)
        of_twice = ts.simulate(problem(Scaled(1).twice), START, TIMES, method=method, **FEW)
        np.testing.assert_allclose(networks.eps_g, of_twice.eps_g, rtol=1e-9)


def test_labels_of_ones_own_need_an_error_of_their_own_in_the_chain():
    with pytest.raises(ValueError, match="the chain of the overlaps has no samples to measure it"):
        ts.simulate(problem(Opposite(1)), START, TIMES, method="reduced", **FEW)


class Averaged(DescentRule):
    """SGD with a running mean of the gradients: a memory in the space of the weights."""

    rotation_invariant = True

    def memory(self, layers):
        return jax.tree.map(jnp.zeros_like, dict(layers))

    def update(self, layers, gradient, memory, N):
        memory = {name: 0.5 * memory[name] + 0.5 * gradient[name] for name in gradient}
        return self.descend(layers, memory, self.learning_rate, N), memory


def test_a_rule_of_ones_own_runs_in_the_chain():
    task, student = ts.TeacherStudent(2, noise=0.1), ts.Student(3, train_readout=True)
    start = ts.OrderParameters(np.eye(3), np.full((3, 2), 0.1), v=np.ones(3))
    ours = ts.Problem(task, student, ts.HeavyBall(0.1, beta=0.5))
    own = ts.Problem(task, student, Averaged(0.2))
    given = {"N": 30, "seeds": 3, "method": "reduced", "dtype": "float64"}
    found, expected = (
        ts.simulate(own, start, [2.0], **given),
        ts.simulate(ours, start, [2.0], **given),
    )
    np.testing.assert_allclose(found.Q, expected.Q, rtol=1e-9)
    np.testing.assert_allclose(found.v, expected.v, rtol=1e-9)


class OfTwo(Averaged):
    """A rule of two workers, whose gradients come with a leading axis."""

    rotation_invariant = True
    gradients = 2

    def update(self, layers, gradient, memory, N):
        mean = {name: slopes.mean(0) for name, slopes in gradient.items()}
        return super().update(layers, mean, memory, N)


def test_a_rule_of_several_gradients_is_not_for_the_chain():
    with pytest.raises(ValueError, match="OfTwo takes 2 gradients at each update"):
        ts.simulate(problem(rule=OfTwo(0.1)), START, TIMES, method="reduced", **FEW)


@pytest.mark.parametrize(
    "rule",
    [
        ts.SGD(0.2, 0.1, weight_decay=0.3),
        pytest.param(ts.SphericalSGD(0.2, 0.1), marks=pytest.mark.long),
    ],
    ids=["SGD", "SphericalSGD"],
)
def test_the_columns_of_a_rule_do_what_its_update_does(rule, monkeypatch):
    """SGD in the chain is written out for columns; without that its own `update` runs."""
    task, student = ts.TeacherStudent(2, noise=0.1), ts.Student(3, train_readout=True)
    start = ts.OrderParameters(np.eye(3), np.full((3, 2), 0.1), v=np.ones(3))
    given = {"N": 30, "seeds": 3, "method": "reduced", "dtype": "float64"}
    p = ts.Problem(task, student, rule)
    by_columns = ts.simulate(p, start, [2.0], **given)
    monkeypatch.setattr("sims.reduced.rules.BY_COLUMNS", {})
    jax.clear_caches()
    by_update = ts.simulate(p, start, [2.0], **given)
    monkeypatch.undo()
    jax.clear_caches()
    np.testing.assert_allclose(by_update.Q, by_columns.Q, rtol=1e-9)
    np.testing.assert_allclose(by_update.v, by_columns.v, rtol=1e-9)


def test_inputs_of_ones_own_are_drawn():
    class Wide(StandardNormal):
        def draw(self, keys):
            inputs = super().draw(keys)
            return inputs._replace(x=3 * inputs.x)

    class Wider(ts.TeacherStudent):
        """Inputs three times as long as those that the teacher sees."""

    standard = set_up.part(ts.TeacherStudent)

    def wide(task, start, N, seeds):
        made = standard(ts.TeacherStudent(task.width), start, N, seeds)
        return made._replace(source=Wide(np.zeros(N)), covariances=None)

    set_up.register(Wider, wide)
    with pytest.raises(ValueError, match=r"class Wider changes TeacherStudent.set_up"):
        ts.integrate(problem(Wider(1)), START, TIMES)
    found = ts.simulate(problem(Wider(1)), START, [0.0], **FEW)
    assert (abs(found.Q / 4.5 - 1) < 0.2).all()
    assert issubclass(Wide, Source) and normal_rows is not None


def test_inputs_that_are_changed_but_not_drawn_are_refused():
    class Deeper(ts.HiddenManifold):
        def modes(self, N):
            return super().modes(N)

    start = ts.random_start(problem(ts.HiddenManifold(1, "erf", "sign", 0.5)), 20)
    with pytest.raises(
        ValueError,
        match=r"class Deeper changes HiddenManifold.modes; register how its inputs are drawn",
    ):
        ts.simulate(problem(Deeper(1, "erf", "sign", 0.5)), start, TIMES, seeds=1)


@pytest.mark.long
def test_components_of_ones_own_are_drawn_and_integrated():
    class Spikier(ts.SpikedCumulant):
        def components(self):
            return ts.SpikedCumulant(2 * self.beta, self.latent).components()

    start = ts.OrderParameters([[0.5]], m=[[0.4]])
    theory, expected = (
        ts.integrate(problem(one), start, TIMES).loss
        for one in (Spikier(4.0), ts.SpikedCumulant(8.0))
    )
    np.testing.assert_allclose(theory, expected, rtol=1e-12)
    found = ts.simulate(
        problem(Spikier(4.0)), start, TIMES, N=200, seeds=20, method="reduced"
    ).m.mean("seed")
    of_ours = ts.simulate(
        problem(ts.SpikedCumulant(8.0)), start, TIMES, N=200, seeds=20, method="reduced"
    ).m
    assert (
        abs(found - of_ours.mean("seed")).max()
        < 5 * float(of_ours.std("seed").max()) * (2 / 20) ** 0.5
    )


def test_a_derivative_of_ones_own_trains_networks():
    class Straight(ts.Activation):
        def derivative(self, x):
            return jnp.ones_like(x)

    student = ts.Student(1, Straight("straight", jnp.tanh))
    own = ts.Problem(ts.TeacherStudent(1), student, ts.SGD(0.1))
    with pytest.raises(
        ValueError, match=r"student.activation: class Straight changes Activation.derivative"
    ):
        ts.integrate(own, START, TIMES)
    found = ts.simulate(own, START, TIMES, **FEW)
    expected = ts.simulate(
        ts.Problem(ts.TeacherStudent(1), ts.Student(1, "tanh"), ts.SGD(0.1)), START, TIMES, **FEW
    )
    assert abs(found.Q - expected.Q).isel(time=1).min() > 1e-3


@pytest.mark.long
def test_more_units_than_inputs():
    rng = np.random.default_rng(0)
    task = ts.TeacherStudent(2, "linear", readout=0.5, noise=1e-3**0.5)
    few = ts.Problem(task, ts.Student(10, "linear"), ts.SGD(0.05))
    start = ts.start_from_weights(
        few, rng.standard_normal((10, 3)), np.full(10, 0.1), rng.standard_normal((2, 3))
    )
    theory = ts.integrate(few, start, [0, 10, 100]).eps_g
    found = ts.simulate(few, start, [0, 10, 100], seeds=16).eps_g
    assert (abs(found.mean("seed") - theory) < 0.05 * theory).all()
    with pytest.raises(ValueError, match=r"N = 3 is less than 13"):
        ts.simulate(few, start, [0, 1], seeds=1, method="reduced")
    drawn = ts.random_start(few, 3)
    at_once = ts.simulate(few, drawn, [0], N=3, seeds=2, dtype="float64")
    np.testing.assert_allclose(at_once.Q[1, 0], drawn.Q, atol=1e-9)
    np.testing.assert_allclose(at_once.R[1, 0], drawn.R, atol=1e-9)
    with pytest.raises(
        ValueError, match=r"N = 3 is too small: .* 12 vectors \(K \+ M\) that span 12 dimensions"
    ):
        ts.simulate(few, ts.random_start(few, 100), [0, 1], N=3, seeds=1)
