"""Losses: ours, and those that a user writes."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.activations.activation import as_activation
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.fields import ClosedForms, field_averages_for
from teacherstudent.losses import LOSSES, SquareLoss, as_loss
from teacherstudent.results.description import describe_problem, problem_from


@dataclass(frozen=True)
class PseudoHuber(ts.Loss):
    """d^2 (sqrt(1 + ((phi - y) / d)^2) - 1), a square that becomes a straight line beyond d."""

    d: float = 1.0
    name = "pseudo-Huber"

    def value(self, output, label):
        return self.d**2 * (jnp.sqrt(1 + ((output - label) / self.d) ** 2) - 1)


class Weighted(ts.Loss):
    """A multiple of the square loss, with closed forms."""

    name = "weighted"

    def __init__(self, weight):
        self.weight = weight

    def value(self, output, label):
        return self.weight * SquareLoss().value(output, label)

    def averages(self, g, mean, C, v, y):
        once = SquareLoss().averages(g, mean, C, v, y)
        w = self.weight
        return once._replace(a=w * once.a, J=w * once.J, D=w**2 * once.D, b=w * once.b)._replace(
            loss=w * once.loss
        )


def problem(loss, K=1):
    return ts.Problem(ts.SpikedCumulant(2.0), ts.Student(K), ts.SGD(0.1), loss=loss)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=str)
def test_slopes_of_ours_are_derivatives(loss):
    output, label = jnp.array([-2.0, 0.3, 1.7]), jnp.array([1.0, -1.0, 1.0])
    np.testing.assert_allclose(
        loss.slope(output, label), ts.Loss.slope(loss, output, label), atol=1e-14
    )


def test_a_problem_keeps_the_name_of_ours():
    for given in ("square", SquareLoss(), LOSSES["square"]):
        assert problem(given).loss == "square"
        assert describe_problem(problem(given))["loss"] == "square"
    assert as_loss("logistic") is LOSSES["logistic"] and str(as_loss("logistic")) == "logistic"


def test_a_loss_of_ones_own_is_compared_by_content_and_cannot_be_read_back():
    assert problem(PseudoHuber(0.5)).loss == PseudoHuber(0.5) != PseudoHuber(0.6)
    assert Weighted(2.0) == Weighted(2.0) != Weighted(3.0)
    assert hash(Weighted(2.0)) == hash(Weighted(2.0))
    described = describe_problem(problem(Weighted(2.0)))
    assert described["loss"] == f"function:{__name__}.Weighted(weight=2.0)"
    with pytest.raises(
        ValueError, match=r"loss was .*Weighted\(weight=2.0\), a class of one's own"
    ):
        problem_from(described)
    with pytest.raises(ValueError, match='loss = "pseudo-Huber" is known for tasks with labels'):
        ts.Problem(ts.TeacherStudent(1), ts.Student(1), ts.SGD(0.1), loss=PseudoHuber())


@pytest.mark.long
def test_averages_of_ones_own_loss_by_another_quadrature():
    """One unit: Gauss-Hermite over its field."""
    loss, g = PseudoHuber(0.7), as_activation("erf")
    mean, variance, v, y = 0.4, 0.8, 1.3, -1.0
    rule = field_averages_for(g, loss, 1)
    assert isinstance(rule, FieldSpace)
    found = rule.averages(jnp.array([mean]), jnp.array([[variance]]), jnp.array([v]), jnp.array(y))
    x, weights = np.polynomial.hermite_e.hermegauss(150)
    weights = weights / weights.sum()
    lam = jnp.asarray(mean + np.sqrt(variance) * x)
    error = v * g(lam) - y
    slope = error / jnp.sqrt(1 + (error / 0.7) ** 2)
    delta = v * g.derivative(lam) * slope
    expected = {
        "a": weights @ delta,
        "J": weights @ (delta * x) / np.sqrt(variance),
        "D": weights @ delta**2,
        "b": weights @ (g(lam) * slope),
        "loss": weights @ (0.49 * (jnp.sqrt(1 + (error / 0.7) ** 2) - 1)),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(np.squeeze(getattr(found, name)), value, atol=1e-10)


@pytest.mark.long
def test_closed_forms_of_ones_own_loss_equal_quadrature():
    loss, g = Weighted(0.3), as_activation("erf")
    closed = field_averages_for(g, loss, 1)
    assert isinstance(closed, ClosedForms)
    given = jnp.array([0.4]), jnp.array([[0.8]]), jnp.array([1.3]), jnp.array(-1.0)
    expected = FieldSpace(g, loss, 1).averages(*given)
    for one, other in zip(closed.averages(*given), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_a_changed_loss_does_not_inherit_closed_forms():
    class Cubic(SquareLoss):
        name = "cubic"

        def value(self, output, label):
            return (output - label) ** 3

        def slope(self, output, label):
            return 3 * (output - label) ** 2

    class Renamed(SquareLoss):
        name = "renamed"

    assert isinstance(field_averages_for(as_activation("erf"), Cubic(), 1), FieldSpace)
    assert isinstance(field_averages_for(as_activation("erf"), Renamed(), 1), ClosedForms)


@pytest.mark.long
def test_theory_and_networks_descend_ones_own_loss():
    """A weight in front of the square loss is one in front of the learning rate."""
    start, times = ts.OrderParameters([[0.5]], m=[[0.3]]), [0.0, 0.5]
    ours = ts.Problem(ts.SpikedCumulant(2.0), ts.Student(1), ts.SGD(0.2))
    mine = ts.Problem(ts.SpikedCumulant(2.0), ts.Student(1), ts.SGD(0.1), loss=Weighted(2.0))
    runs = [
        (ts.integrate(one, start, times), ts.simulate(one, start, times, N=20, seeds=2))
        for one in (ours, mine)
    ]
    for first, second in zip(*runs, strict=True):
        np.testing.assert_allclose(first.m, second.m, rtol=1e-4)


def sum_of_all(output, label):
    return jnp.sum(output - label) + 0 * output


BROKEN = {
    "shape": (lambda o, l: jnp.sum(o - l), r"Broken.value answers with shape \(\) .* \(5,\)"),
    "numpy": (lambda o, l: np.abs(o - l), r"Broken.value cannot be traced by JAX \(Tracer"),
    "kind": (lambda o, l: (o, l), "Broken.value answers with type tuple"),
    "mixed": (sum_of_all, "Broken.value mixes samples"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_losses_are_named(case):
    value, message = BROKEN[case]
    broken = type("Broken", (ts.Loss,), {"name": "broken", "value": lambda self, *of: value(*of)})
    with pytest.raises(ValueError, match=f"loss: {message}"):
        problem(broken())


def test_other_wrong_losses():
    class Steep(PseudoHuber):
        def slope(self, output, label):
            return 2 * (output - label)

    class Square(ts.Loss):
        name = "square"

    class Nothing(ts.Loss):
        name = "nothing"

    class Nameless(ts.Loss):
        pass

    wrong = [
        (Steep(), r"Steep.slope\(-1.3, 1.0\) = -4.6, but the derivative of Steep.value"),
        (Square(), "class Square has the name 'square', which is one of ours"),
        (Nothing(), "class Nothing has no method value"),
        (Nameless(), 'class Nameless has no name; give it one, name = "nameless"'),
        (PseudoHuber, r"loss is the class PseudoHuber; give an object, PseudoHuber\(\)"),
        (Weighted([1.0]), "attributes of class Weighted must be hashable"),
        ("squared", "loss = 'squared' is not known; known are square, .* mean 'square'"),
        (3, "loss = 3 is no loss; known are square"),
    ]
    for loss, message in wrong:
        with pytest.raises(ValueError, match=message):
            as_loss(loss)
