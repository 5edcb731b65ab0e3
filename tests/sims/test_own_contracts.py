"""What a class of one's own says of itself is tried before networks are trained for it."""

import jax.numpy as jnp
import pytest

import teacherstudent as ts
from teacherstudent.extensions.contract_checks import broken_rotation
from teacherstudent.extensions.own_sources import own_sources

START = ts.OrderParameters(Q=[[0.6, 0.1], [0.1, 0.4]], R=[[0.3], [0.1]])


class SeesAxes(ts.DescentRule):
    rotation_invariant = True

    def update(self, layers, gradient, memory, N):
        return {"w": layers["w"] - 0.1 / N**0.5 * jnp.sign(gradient["w"])}, memory


class CountsColumns(ts.DescentRule):
    rotation_invariant = True

    def update(self, layers, gradient, memory, N):
        columns = layers["w"].shape[1]
        return {"w": layers["w"] * (1 - 1 / columns)}, memory


class Momentum(ts.DescentRule):
    rotation_invariant = True

    def memory(self, layers):
        return {name: jnp.zeros_like(layer) for name, layer in layers.items()}

    def update(self, layers, gradient, memory, N):
        memory = {name: 0.5 * memory[name] + gradient[name] for name in layers}
        return self.descend(layers, memory, self.learning_rate, N), memory


def problem(rule, task=None, readout=False):
    return ts.Problem(task or ts.TeacherStudent(1), ts.Student(2, train_readout=readout), rule)


def few_steps(problem, method="auto"):
    return ts.simulate(problem, START, [0.0, 0.1], N=50, method=method, progress=False)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (SeesAxes(0.1), "SeesAxes says rotation_invariant = True, but sees the coordinate axes"),
        (CountsColumns(0.1), "takes N from the length of a row"),
    ],
)
def test_a_rule_that_is_not_what_it_says_is_not_run_in_a_frame(rule, why):
    with pytest.raises(ValueError, match=why):
        few_steps(problem(rule), "reduced")


@pytest.mark.parametrize("readout", [False, True])
def test_a_rule_that_is_what_it_says_runs_there(readout):
    assert broken_rotation(problem(Momentum(0.1), readout=readout), 50) is None


class Misspelt(ts.TeacherStudent):
    def labels(self, fields, noise):
        return fields[:, 0]


class Mixing(ts.TeacherStudent):
    def label(self, fields, noise):
        return fields[:, 0] - fields[:, 0].mean()


class Listed(ts.TeacherStudent):
    p: float

    def __init__(self, width, p):
        super().__init__(width)
        self.p = p

    def label(self, fields, noise):
        return jnp.where(self.p < noise, fields[:, 0], 0.0)


def test_a_misspelt_method_is_told():
    with pytest.warns(UserWarning, match="has a method labels, which nothing.*mean label"):
        few_steps(problem(ts.SGD(0.1), Misspelt(1)))


def test_labels_do_not_mix_samples():
    with pytest.raises(ValueError, match="Mixing.label.* mixes samples"):
        few_steps(problem(ts.SGD(0.1), Mixing(1)))


def test_a_list_is_a_sweep_only_if_the_class_says_so():
    with pytest.raises(ValueError, match=r"Listed.p = \[0.1, 0.2\] is a list; name it in"):
        few_steps(problem(ts.SGD(0.1), Listed(1, [0.1, 0.2])))


class Unset(ts.DescentRule):
    kappa: float

    def update(self, layers, gradient, memory, N):
        return layers, memory


class Undeclared(ts.DescentRule):
    def __init__(self, learning_rate):
        super().__init__(learning_rate)
        self.kappa = 1.0

    def update(self, layers, gradient, memory, N):
        return layers, memory


class WithoutUpdate(ts.DescentRule):
    pass


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Unset(0.1), "Unset has a field kappa that nothing sets"),
        (lambda: Unset(0.1, kappa=1.0), "Unset has a field kappa, but the __init__ that it inher"),
        (lambda: Undeclared(0.1), "Undeclared sets kappa, which is no field of it; declare"),
        (lambda: WithoutUpdate(0.1), "WithoutUpdate has no update yet"),
        (lambda: problem(ts.SGD), "rule is the class SGD, not an object of it"),
    ],
)
def test_what_an_author_forgot_is_one_sentence(make, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        make()


def test_a_checkpoint_knows_the_source_of_ones_own_classes():
    own = own_sources(problem(Momentum(0.1), Mixing(1)))
    assert len(own) == 2
    assert "fields[:, 0].mean()" in own[0]
    assert own_sources(problem(ts.SGD(0.1))) == []


class Surrogate(ts.Activation):
    """tanh with a constant for its derivative."""

    def __init__(self, slope):
        super().__init__("surrogate", jnp.tanh)
        object.__setattr__(self, "slope", slope)

    def derivative(self, x):
        return self.slope * jnp.ones_like(x)


def test_two_objects_of_an_activations_subclass_are_two():
    assert Surrogate(1.0) != Surrogate(0.0)
    assert ts.Activation("sine", jnp.sin) == ts.Activation("sine", jnp.sin)


class Power(ts.Loss):
    name = "power"

    def __init__(self, scale):
        self.scale = scale

    def value(self, output, label):
        return self.scale * (output - label) ** 2


def test_a_problem_keeps_its_loss_as_it_was():
    loss = Power(1.0)
    own = ts.Problem(ts.SpikedCumulant(3.0), ts.Student(1), ts.SGD(0.1), loss=loss)
    loss.scale = 2.0
    assert own.loss.scale == 1.0
