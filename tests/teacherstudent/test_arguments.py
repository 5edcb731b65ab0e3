"""Calls with wrong names or types end in one sentence of our own, before any work."""

import decimal
import fractions

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.checking import checks

PROBLEM = ts.Problem(ts.TeacherStudent(1), ts.Student(1), ts.SGD(0.1))
START = ts.OrderParameters([[0.5]], [[0.1]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ts.SGD(lr=0.1), "SGD has no argument 'lr'; did you mean 'learning_rate'?"),
        (
            lambda: ts.SphericalSGD(learning_rat=0.1),
            ("SphericalSGD has no argument 'learning_rat'; did you mean 'learning_rate'"),
        ),
        (
            lambda: ts.SGD(),
            r"SGD\(learning_rate, .*\): missing a required argument: 'learning_rate'",
        ),
        (lambda: ts.Student(1, "erf", True, False, 3), "too many positional arguments"),
        (
            lambda: ts.Activation("mine", jnp.tanh, kink=(0.0,)),
            ("Activation has no argument 'kink'; did you mean 'kinks'?"),
        ),
        (
            lambda: ts.GaussianMixture.xor(varance=1.0),
            ("has no argument 'varance'; did you mean 'variance'?"),
        ),
        (
            lambda: ts.integrate(PROBLEM, START, [0, 1], rol=1e-5),
            ("integrate has no argument 'rol'; did you mean 'rtol'?"),
        ),
        (lambda: ts.integrate(PROBLEM, START), "missing a required argument: 'times'"),
    ],
)
def test_names_of_arguments_are_checked(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ts.integrate(START, PROBLEM, [0, 1]),
            ("problem is an OrderParameters; give a Problem"),
        ),
        (
            lambda: ts.simulate(PROBLEM, [0, 1], START, N=10),
            ("start is a list; give an OrderParameters or a SpectralOverlaps"),
        ),
        (
            lambda: ts.integrate(PROBLEM, START, [0, 1], spectral=1),
            ("spectral is 1; give True or False"),
        ),
        (
            lambda: ts.integrate(PROBLEM, START, [0, 1], progress="no"),
            ("progress is 'no'; give True or False or None"),
        ),
        (lambda: ts.Student(1, train_readout=1), "student.train_readout is 1; give True or False"),
        (lambda: ts.plot(3), "results is 3; give a DataTree or a Dataset"),
        (lambda: ts.load(3), "path is 3; give a string or a path"),
        (lambda: ts.save(b"x.h5"), "path is b'x.h5'; give a string or a path"),
        (lambda: ts.compare(3, 4), "theory is 3; give a Dataset"),
        (lambda: ts.clone("x"), "task is 'x'; give a Task"),
        (
            lambda: ts.TeacherStudent(2, readout=[[1.0, 2.0]]),
            r"readout has shape \(1, 2\); give one number .* one per unit",
        ),
        (
            lambda: ts.BoxMixture([1.0], [1], [[[0, 1]]], densities=3),
            ("task.densities = 3: give a list with a function"),
        ),
        (
            lambda: ts.BoxMixture([1.0], [1], [[[0, 1]] * 3], nodes=100),
            ("task.nodes = 100 a side are 1000000 components"),
        ),
        (lambda: ts.load("x" * 5000), "path = 'x.* cannot be the path of a file"),
        (
            lambda: ts.simulate(PROBLEM, START, [0, 1], N=10, device=3),
            ("device is 3; give a string or None"),
        ),
        (
            lambda: ts.simulate(PROBLEM, START, [0, 1], N=10, seeds=10**12),
            ("seeds = 1000000000000 is too large"),
        ),
        (
            lambda: ts.simulate(PROBLEM, START, [0, 1], N=10, seeds=iter(int, 1)),
            ("seeds = .* has more than 1000000 entries"),
        ),
        (
            lambda: ts.simulate(PROBLEM, START, [0, 1], N=10, seeds=b"12"),
            ("seeds = b'12' is not allowed"),
        ),
        (lambda: ts.random_start(PROBLEM, 10**12), "N = 1000000000000 needs .* GiB of memory"),
        (lambda: ts.power_law(10**12, 1.0), "N = 1000000000000 needs .* GiB of memory"),
        (lambda: ts.log_times(1.0, 10**12), "points = 1000000000000 needs .* GiB of memory"),
        (lambda: ts.linear_times(float("nan")), "stop = nan is not allowed"),
    ],
)
def test_types_and_sizes_of_arguments_are_checked_before_any_work(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_name_that_is_not_there_is_answered_with_the_nearest():
    with pytest.raises(
        AttributeError, match="has no attribute 'integrat'; did you mean 'integrate'?"
    ):
        ts.integrat  # noqa: B018


@pytest.mark.parametrize(
    "value",
    [
        "0.1",
        b"1",
        True,
        np.True_,
        1j,
        1 + 0j,
        [0.1, True],
        ["0.1"],
        [0.1, None],
        [[1], [1, 2]],
        {0.1},
        {},
        object(),
        np.timedelta64(1, "s"),
        np.datetime64("2020-01-01"),
        np.ma.array([1.0, 2.0], mask=[0, 1]),
        bytearray(b"1"),
        range(10**12),
        jnp.asarray(True),
        jnp.asarray(1j),
        jax.random.key(0),
        np.array([0.1], dtype=object),
        decimal.Decimal("nan"),
    ],
    ids=lambda value: str(type(value)),
)
def test_what_is_no_number_is_refused(value):
    assert checks.real_numbers(value) is None
    with pytest.raises(ValueError, match="rule.learning_rate = .* is not a number"):
        ts.SGD(value)
    with pytest.raises(ValueError, match="w = .* is not an array of real numbers"):
        checks.array("w", value)


@pytest.mark.parametrize(
    "value", [np.float32(0.5), np.float16(0.5), np.array(0.5), jnp.asarray(0.5), np.longdouble(0.5)]
)
def test_every_type_of_real_number_is_one(value):
    assert float(ts.SGD(value).learning_rate) == 0.5


def test_an_integer_is_no_time_and_no_fraction():
    for value in (np.timedelta64(1), fractions.Fraction(1), 1.0, True):
        with pytest.raises(
            ValueError, match="N = .* is not allowed; give an integer of at least 1"
        ):
            checks.integer("N", value)


def test_a_sentence_never_shows_a_whole_text_or_fails_to_show_a_value():
    class Hostile:
        def __repr__(self):
            raise RuntimeError

    assert checks.shortened(Hostile()) == "a Hostile"
    assert len(checks.shortened("x" * 10**6)) == 60
    assert "\n" not in checks.shortened(np.ones((3, 3)))
