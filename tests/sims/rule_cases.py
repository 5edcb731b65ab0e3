"""Update rules with a theory, set up for a comparison with networks of any size N; tests and
benchmarks share them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import teacherstudent as ts

Q, R, V = [[0.5, 0.1], [0.1, 0.3]], [[0.1, -0.05], [0.02, 0.15]], [1.0, 0.7]
TIMES = np.linspace(0.0, 6.0, 21)
NEAR = np.linspace(0.0, 2.0, 21)


class SetUp(NamedTuple):
    """A problem, where it starts, and when it is looked at."""

    problem: ts.Problem
    start: ts.OrderParameters
    times: np.ndarray


def committee(
    rule, activation="erf", noise=0.2, trained=False, v=V, unit=False, times=TIMES, **batch
) -> Callable:
    """K = M = 2 on isotropic inputs; `unit` starts from vectors of length 1."""

    def of(N: int) -> SetUp:
        problem = ts.Problem(
            ts.TeacherStudent(2, activation, noise=noise),
            ts.Student(2, activation, trained),
            rule,
            **batch,
        )
        lengths = np.sqrt(np.diagonal(Q)) if unit else np.ones(2)
        start = ts.OrderParameters(Q / lengths[:, None] / lengths, R=R / lengths[:, None], v=v)
        return SetUp(problem, start, times)

    return of


def literal_map(alpha: float) -> Callable:
    """AGD with the paper's own scale sqrt(K / N), batches of alpha N."""

    def of(N: int) -> SetUp:
        rule = ts.AGD(first_scale=math.sqrt(2 / N))
        return committee(rule, trained=True, times=np.arange(0.0, 41.0, 2), batch_ratio=alpha)(N)

    return of


def orthogonal(N: int) -> SetUp:
    """AGD from its own start; distinct readouts, since units with the same one stay alike."""
    problem = committee(ts.AGD())(N).problem
    start = ts.orthogonal_start(problem, N, seed=1)
    return SetUp(problem, ts.OrderParameters(start.Q, R=start.R, T=start.T, v=[0.6, 0.37]), TIMES)


def two_blocks(N: int) -> SetUp:
    """Inputs of two variances."""
    task = ts.GaussianEquivalent.anisotropic(np.repeat([0.4, 1.6], N // 2), width=2, noise=0.2)
    problem = ts.Problem(task, ts.Student(2), ts.SignSGD(0.3))
    return SetUp(problem, ts.random_start(problem, seed=1, scale=0.6), TIMES)


def linear_regression(B: int) -> Callable:
    """A linear unit on a covariance in a random basis, with variances that differ by a factor e."""

    def of(N: int) -> SetUp:
        rng = np.random.default_rng(0)
        basis = np.linalg.qr(rng.standard_normal((N, N)))[0]
        scale = np.exp(np.linspace(-0.5, 0.5, N) / 2)
        Omega = scale[:, None] * ((basis * np.linspace(0.2, 1.8, N)) @ basis.T) * scale
        values, vectors = np.linalg.eigh(Omega)
        Phi = (vectors * np.sqrt(values)) @ vectors.T
        task = ts.GaussianEquivalent(Omega, Phi, activation="linear", noise=0.3)
        problem = ts.Problem(task, ts.Student(1, "linear"), ts.SignSGD(0.5), batch_size=B)
        return SetUp(problem, ts.random_start(problem, seed=1, scale=0.5), TIMES)

    return of


CASES = {
    "sign, B = 1": committee(ts.SignSGD(0.3)),
    "sign, B = 1, v_2 < 0, no noise": committee(ts.SignSGD(0.3), noise=0.0, v=[1.0, -0.7]),
    "sign, B = 1, ReLU": committee(ts.SignSGD(0.3), "relu"),
    "sign, B = 1, v trained": committee(ts.SignSGD(0.3), trained=True),
    "sign, B = 4": committee(ts.SignSGD(0.3), batch_size=4),
    "sign, B = 4, v trained": committee(ts.SignSGD(0.3), trained=True, batch_size=4),
    "sign, B = 16": committee(ts.SignSGD(0.3), batch_size=16),
    "sign, B = 4, ReLU": committee(ts.SignSGD(0.3), "relu", batch_size=4),
    "vote, W = 3, B = 1": committee(ts.MajorityVote(0.3, workers=3)),
    "vote, W = 4, B = 2": committee(ts.MajorityVote(0.3, workers=4), batch_size=2),
    "vote, W = 3, ReLU": committee(ts.MajorityVote(0.3, workers=3), "relu"),
    "vote, W = 5, 1 adversary, v trained": committee(
        ts.MajorityVote(0.3, workers=5, adversaries=1), trained=True
    ),
    "Signum, beta = 0.8": committee(ts.Signum(0.3, beta=0.8), times=NEAR),
    "sign, two variances": two_blocks,
    "sign, linear, any covariance, B = 1": linear_regression(1),
    "sign, linear, any covariance, B = 4": linear_regression(4),
    "AGD, B = 1, v frozen": committee(ts.AGD()),
    "AGD, B = 4, v frozen": committee(ts.AGD(), batch_size=4),
    "AGD, B = 1, v with gain 1 / N": committee(ts.AGD(readout_gain=1.0), trained=True),
    "AGD from its orthogonal start": orthogonal,
    "AGD map, s_1 = sqrt K, alpha = 4": committee(
        ts.AGD(first_scale=math.sqrt(2)), trained=True, times=np.arange(21.0), batch_ratio=4.0
    ),
    "AGD map, literal s_1, alpha = 4": literal_map(4.0),
    "AGD map, literal s_1, alpha = 0.5": literal_map(0.5),
    "Fromage, B = 1": committee(ts.Fromage(0.6)),
    "Fromage, B = 4": committee(ts.Fromage(0.6), batch_size=4),
    "Fromage, B = 1, v trained": committee(ts.Fromage(0.6), trained=True),
    "Nero, B = 1": committee(ts.Nero(0.6, gamma=5.0), unit=True),
    "heavy ball, beta = 0.9": committee(ts.HeavyBall(0.05, beta=0.9)),
    "heavy ball, 1 - beta = 2 / N": committee(ts.HeavyBall(1.5, gamma=2.0)),
    "heavy ball, 1 - beta = 2 / N, v trained": committee(
        ts.HeavyBall(1.5, gamma=2.0), trained=True
    ),
}
