"""Overlaps that are finite numbers and yet no answer are refused or told, with seed and time."""

import warnings

import numpy as np
import pytest

import teacherstudent as ts
from sims.running.divergence import check_record
from tests.long import mostly_long
from tests.problems import committee, random_overlaps

TIMES = [0.0, 0.5, 1.0, 2.0]


@pytest.mark.parametrize("method", ["weights", "reduced"])
@pytest.mark.parametrize("learning_rate", mostly_long([3.0, 1e3], [3.0]))
def test_a_linear_learner_that_runs_away_is_no_answer(method, learning_rate):
    problem = committee(2, 2, activation="linear", learning_rate=learning_rate)
    with pytest.raises(
        ts.DivergenceError, match=r"the network of seed \d diverges at t = "
    ) as failure:
        ts.simulate(
            problem, random_overlaps(2, 2), TIMES, N=50, seeds=3, method=method, dtype="float64"
        )
    assert 0 < failure.value.time <= 2
    assert np.abs(failure.value.partial.eps_g).max() < 1e6


@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_large_weights_of_a_saturated_network_are_told(method):
    problem = committee(2, 2, learning_rate=1e6)
    with pytest.warns(
        UserWarning, match=r"seed \d has Q = .* it is finite, but beyond 1e\+06 the theory"
    ) as warned:
        networks = ts.simulate(problem, random_overlaps(2, 2), TIMES, N=50, seeds=3, method=method)
    assert len(warned) == 1  # not one for each recorded time
    assert networks.Q.max() > 1e6 and networks.eps_g.max() < 10


def test_a_large_start_is_no_divergence():
    problem = committee(2, 2, activation="linear", learning_rate=0.01)
    start = random_overlaps(2, 2)
    large = ts.OrderParameters(1e8 * start.Q, 1e4 * start.R, start.T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ts.simulate(problem, large, TIMES, N=50, seeds=2, method="reduced")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_the_seed_that_diverges_is_named(value):
    start = random_overlaps(2, 2)
    row = {name: np.stack([getattr(start, name)] * 3) for name in ("Q", "R", "v", "b")} | {
        "eps_g": np.ones(3)
    }
    row["eps_g"][1] = value
    with pytest.raises(
        ts.DivergenceError, match="the network of seed 7 diverges at t = 2: .*eps_g is"
    ):
        check_record(committee(2, 2), [5, 7, 9], np.stack([start.T] * 3), row, {}, 2.0)


def test_overlaps_of_no_weights_are_named():
    start = random_overlaps(2, 2)
    row = {name: np.stack([getattr(start, name)] * 3) for name in ("Q", "R", "v", "b")} | {
        "eps_g": np.ones(3)
    }
    row["R"][2] *= 10
    with pytest.raises(
        ts.DivergenceError, match="seed 9 diverges at t = 2: no weights have its overlaps"
    ):
        check_record(committee(2, 2), [5, 7, 9], np.stack([start.T] * 3), row, {}, 2.0)
