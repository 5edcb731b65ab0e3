"""Results of every kind, each made once."""

from functools import cache

import numpy as np
import xarray as xr

import teacherstudent as ts
from teacherstudent.results.datasets import as_tree
from tests.problems import committee, random_overlaps

TIMES = ts.log_times(20.0, 20)


@cache
def beside_each_other(K: int, M: int) -> xr.DataTree:
    """A theory and three networks of a committee, both layers trained."""
    problem, start = committee(K, M, readout_learning_rate=0.1), random_overlaps(K, M)
    theory = ts.integrate(problem, start, TIMES, rtol=1e-6)
    networks = ts.simulate(
        problem, start, TIMES[::3], N=50, seeds=3, method="reduced", progress=False
    )
    return as_tree(theory=theory, simulation=networks)


@cache
def two_classes() -> xr.Dataset:
    """The theory of a mixture with an oracle."""
    problem = ts.Problem(ts.GaussianMixture.xor(), ts.Student(2, "linear"), ts.SGD(0.2))
    return ts.integrate(problem, ts.random_start(problem, 30), [0.0, 1.0, 5.0])


@cache
def of_updates() -> xr.Dataset:
    """A map whose time counts updates."""
    problem = ts.Problem(
        ts.TeacherStudent(2, "linear"),
        ts.Student(2, "linear"),
        ts.AGD(first_scale=2.0),
        batch_ratio=3.0,
    )
    return ts.integrate(problem, ts.random_start(problem, 30), [0, 1, 5])


@cache
def spectral() -> xr.Dataset:
    """A theory of two hundred eigenvalues, or of the nodes of a law."""
    problem = ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.5), ts.Student(2), ts.SGD(0.2))
    start = ts.OrderParameters(Q=np.eye(2), R=0.1 * np.eye(2))
    return ts.integrate(problem, start, TIMES, spectral=True, rtol=1e-6)


@cache
def protocol() -> xr.Dataset:
    """The theory of three phases."""
    student = ts.Student(2, "linear")
    first, second = [
        ts.Problem(ts.TeacherStudent(2, "linear", readout), student, ts.SGD(0.5))
        for readout in ([1.0, 0.0], [0.0, 1.0])
    ]
    phases = ts.Protocol((first, 2.0), (second, 3.0), (first, 4.0))
    start = ts.OrderParameters(Q=0.3 * np.eye(2), R=0.1 * np.eye(2))
    return ts.integrate(phases, start, np.linspace(0.0, 9.0, 10))


@cache
def swept(count: int) -> xr.Dataset:
    """The theory of so many learning rates."""
    rates = np.geomspace(0.1, 1.0, count).tolist()
    problem = ts.Problem(
        ts.TeacherStudent(1, "linear", noise=0.1), ts.Student(1, "linear"), ts.SGD(rates)
    )
    return ts.integrate(problem, ts.OrderParameters([[0.5]], [[0.1]]), TIMES)


@cache
def swept_twice() -> xr.Dataset:
    """The theory over a grid of a rate and a decay."""
    rule = ts.SGD(np.geomspace(0.1, 1.0, 4).tolist(), weight_decay=[0.0, 0.1, 0.2])
    problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), rule)
    return ts.integrate(problem, ts.OrderParameters([[0.5]], [[0.1]]), TIMES)


@cache
def swept_over_sizes() -> xr.DataTree:
    """Theory and networks over N and a rate."""
    problem = ts.Problem(ts.TeacherStudent(1, "erf"), ts.Student(1, "erf"), ts.SGD(0.1))
    start = ts.OrderParameters([[0.5]], [[0.1]])
    over = {"N": [10, 20], "rule.learning_rate": [0.1, 0.2]}
    return ts.sweep(problem, start, [0.0, 0.5, 1.0], over, seeds=2, progress=False)


@cache
def escape() -> xr.Dataset:
    """The steps of sixteen networks of two sizes."""
    task = ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0], [0.0]])
    problem = ts.Problem(task, ts.Student(1, "linear"), ts.SphericalSGD(0.5), loss="correlation")
    return ts.escape(problem, N=[8, 16], seeds=16, aligned=True, method="weights", progress=False)


def variants(**theories: xr.Dataset) -> xr.DataTree:
    """Several theories in one result."""
    return as_tree(variants={name: as_tree(theory=one) for name, one in theories.items()})
