import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.activations.activation import Polynomial, as_activation, polynomial_of
from teacherstudent.averages import averages_for
from teacherstudent.averages.erf import ErfAverages
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.checking.contracts import changes, for_each_class, registered_parts
from teacherstudent.extensions.own_classes import changed_law
from teacherstudent.results.description import describe_problem, problem_from
from teacherstudent.rules.base import DescentRule
from teacherstudent.tasks import MixtureTask, StructuredTask, TeacherTask


class OtherStep(DescentRule):
    def steps(self, direction, first_rate, N):
        return super().steps(direction, 2 * first_rate, N)


class Behind(ts.SGD, OtherStep):
    """Changes a method that SGD takes from its own base."""


class Noted(ts.SGD):
    """A rule that changes nothing."""

    label: str = "mine"

    def __init__(self, rate):
        super().__init__(2 * rate)

    @property
    def note(self):
        return "two"


def test_changes_are_those_of_methods_properties_and_fields():
    class Rated(ts.SGD):
        @property
        def learning_rate(self):
            return 1.0

    assert changes(Rated, ts.SGD) == ["learning_rate"]
    assert changes(Behind, ts.SGD) == ["steps"]
    assert changes(ts.SGD, ts.SGD) == []
    assert [name for name in changes(Noted, ts.SGD) if name != "label"] == []


def test_what_is_abstract_is_no_change():
    class Own(StructuredTask):
        def latent_dimension(self, N):
            return N

        def modes(self, N):
            raise NotImplementedError

        def spectrum(self, nodes):
            raise NotImplementedError

    assert changes(Own, StructuredTask) == []


def test_a_part_is_not_for_a_class_that_changes_its_methods():
    class Base:
        def move(self):
            return 1

    class Same(Base):
        pass

    class Other(Base):
        def move(self):
            return 2

    @for_each_class(strict=True, remedy="give it a part")
    def answer(one):
        return "default"

    @answer.register
    def answer_of_base(one: Base):
        return "base"

    assert (answer(Base()), answer(Same()), answer(3)) == ("base", "base", "default")
    with pytest.raises(ValueError, match="^class Other changes Base.move; give it a part.$"):
        answer(Other())
    answer.register(Other, lambda one: "other")
    assert answer(Other()) == "other"
    assert registered_parts(Other, Base) == {"answer"}
    with pytest.raises(TypeError, match="does not say the class"):
        answer.register(lambda one: "nothing")


def test_laws_that_are_not_ours():
    class Silent(ts.TeacherStudent):
        @property
        def v_star(self):
            return jnp.zeros(self.width)

    class Labelled(ts.GaussianMixture):
        def label(self, fields, noise):
            return noise

    class Law(MixtureTask):
        directions = 1

        def components(self):
            return ts.GaussianMixture.xor().components()

    class Inputs(TeacherTask):
        def latent_dimension(self, N):
            return N

    assert changed_law(ts.TeacherStudent(1)) is None and changed_law(Law()) is None
    assert changed_law(Silent(1)) == "class Silent changes TeacherStudent.v_star"
    assert (
        changed_law(Labelled([1.0], [1], [[0.0]])) == "class Labelled changes GaussianMixture.label"
    )
    assert changed_law(Inputs(1)) == "class Inputs has a law of inputs of its own"


def test_closed_forms_are_those_of_functions_not_of_names():
    class Called(ts.Activation):
        def __call__(self, x):
            return 2 * x

    class More(Polynomial):
        def __call__(self, x):
            return super().__call__(x) + 1

    class Sloped(ts.Activation):
        def derivative(self, x):
            return jnp.ones_like(x)

    erf = as_activation("erf")
    assert isinstance(averages_for(erf, erf, 1, 1), ErfAverages)
    called = as_activation(Called("erf", erf.function))
    assert called(jnp.array(3.0)) == 6 and called.derivative(jnp.array(3.0)) == 2
    more = as_activation(ts.Activation("more", More((0.0, 1.0))))
    assert polynomial_of(more) is None and polynomial_of(as_activation("linear")) is not None
    for own in (called, more):
        assert isinstance(averages_for(own, own, 1, 1), QuadratureAverages)
    start = ts.OrderParameters([[0.5]], [[0.1]])
    sloped = Sloped("erf", erf.function)
    with pytest.raises(ValueError, match=r"class Sloped changes Activation.derivative"):
        ts.generalisation_error(
            ts.Problem(ts.TeacherStudent(1), ts.Student(1, sloped), ts.SGD(0.1)), start
        )
    described = describe_problem(
        ts.Problem(ts.TeacherStudent(1), ts.Student(1, sloped), ts.SGD(0.1))
    )
    assert described["student"]["activation"].startswith("function:")


def test_files_name_a_class_of_ones_own_in_full():
    class SGD(ts.SGD):
        pass

    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(1), SGD(0.1))
    described = describe_problem(problem)
    assert described["rule"]["type"].endswith("SGD") and described["rule"]["type"] != "SGD"
    with pytest.raises(ValueError, match="a class of one's own, of which files keep the name and"):
        problem_from(described)


def test_a_student_and_a_start_are_ours():
    class Wide(ts.Student):
        @property
        def width(self):
            return 3

    class Doubled(ts.OrderParameters):
        @property
        def C(self):
            return np.eye(2)

    wide = object.__new__(Wide)
    with pytest.raises(ValueError, match="class Wide changes Student.width; give a Student"):
        ts.Problem(ts.TeacherStudent(1), wide, ts.SGD(0.1))
    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(1), ts.SGD(0.1))
    with pytest.raises(ValueError, match=r"class Doubled changes OrderParameters.C"):
        problem.check_start(Doubled([[0.5]], [[0.1]]))
