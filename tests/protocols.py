"""Problems that follow each other, which several tests share."""

import numpy as np

import teacherstudent as ts
from tests.problems import random_overlaps

READOUTS = ([1.0, 0.0], [0.0, 1.0])  # of the first and the second teacher
K, M = 3, 2


def begin(seed: int = 0) -> ts.OrderParameters:
    """A start of three student units beside two teacher units."""
    return random_overlaps(K, M, seed, v=np.linspace(0.5, 0.9, K))


def on_teacher(number: int, rule=None, *, both_layers=False, **options) -> ts.Problem:
    """A problem on one of two teachers, which are the units of one."""
    rule = rule or ts.SGD(0.5)
    task = ts.TeacherStudent(M, readout=READOUTS[number], noise=0.1)
    return ts.Problem(task, ts.Student(K, train_readout=both_layers), rule, **options)


def two_classes(task=None, **options) -> ts.Problem:
    """A problem of two classes along one direction."""
    task = task or ts.SpikedCumulant(1.0, ("skewed", 0.2))
    student = ts.Student(2, "erf", train_readout=True, train_bias=True)
    return ts.Problem(task, student, ts.SGD(0.3), **options)


def begin_of_classes() -> ts.OrderParameters:
    return ts.OrderParameters(
        Q=[[0.8, 0.1], [0.1, 0.5]], m=[[0.4], [-0.2]], v=[0.7, -0.4], b=[0.1, 0.3]
    )


def manifold(number: int) -> ts.Problem:
    """A problem on one of two teachers that see the latents of a hidden manifold."""
    task = ts.HiddenManifold(M, nonlinearity="sign", latent_ratio=0.5, readout=READOUTS[number])
    return ts.Problem(task, ts.Student(2), ts.SGD(0.3))


def assert_same(ours, theirs, atol: float) -> None:
    """Two results have the same order parameters, with entries of order one."""
    for name in ("Q", "R", "m", "v", "b", "eps_g", "loss"):
        if name in theirs:
            expected = theirs[name]
            np.testing.assert_allclose(ours[name], expected, rtol=0, atol=atol, err_msg=name)


def assert_identical(ours, theirs, names=("Q", "R", "v", "eps_g")) -> None:
    """Two results are the same to the last bit."""
    for name in names:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
