"""`simulate`: starts, seeds, times, checkpoints, precision, failures."""

import numpy as np
import pytest

import teacherstudent as ts
from sims.weights import training as weights_training
from sims.weights.steps import train_weights
from teacherstudent.results.datasets import description
from tests.problems import committee, random_overlaps
from tests.sims.interruption import interrupted_after

TIMES = [0.0, 0.4, 1.0, 2.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_have_exactly_the_prescribed_overlaps(dtype):
    start = random_overlaps(3, 2, v=[0.5, 1.0, 2.0])
    first = ts.simulate(committee(), start, [0.0], N=50, seeds=3, dtype=dtype).isel(time=0)
    for seed in range(3):
        for name in ("Q", "R", "v"):
            np.testing.assert_allclose(
                first[name].isel(seed=seed),
                getattr(start, name),
                atol=3e-7 if dtype == "float32" else 1e-13,
            )
    np.testing.assert_allclose(
        first.eps_g, float(ts.generalisation_error(committee(), start)), rtol=1e-5
    )


def test_a_degenerate_start_has_its_overlaps_too():
    # Student unit 1 is the teacher unit itself, student units 2 and 3 are the same vector.
    Q = [[1.0, 0.2, 0.2], [0.2, 0.5, 0.5], [0.2, 0.5, 0.5]]
    start = ts.OrderParameters(Q, [[1.0], [0.2], [0.2]])
    first = ts.simulate(committee(3, 1), start, [0.0], N=20, seeds=1, dtype="float64").isel(
        time=0, seed=0
    )
    np.testing.assert_allclose(first.Q, Q, atol=1e-12)
    np.testing.assert_allclose(first.R, start.R, atol=1e-12)


def test_a_seed_does_not_depend_on_what_runs_beside_it():
    problem, start = committee(batch_size=2), random_overlaps(3, 2)
    many = ts.simulate(problem, start, TIMES, N=60, seeds=9)
    for seeds in ([7], range(5, 8)):
        few = ts.simulate(problem, start, TIMES, N=60, seeds=seeds)
        for name in ("Q", "R", "eps_g"):
            np.testing.assert_array_equal(few[name].sel(seed=7), many[name].sel(seed=7))
    assert len(np.unique(many.eps_g.isel(time=-1))) == 9


def test_numbers_do_not_depend_on_the_block_or_on_recorded_times(monkeypatch):
    problem, start = committee(), random_overlaps(3, 2)
    usual = ts.simulate(problem, start, TIMES, N=60, seeds=2)
    more_times = ts.simulate(problem, start, np.linspace(0, 2, 11), N=60, seeds=2)
    monkeypatch.setattr(weights_training, "BLOCK_BYTES", {"cpu": 3 * 2 * 60 * 4})
    small_blocks = ts.simulate(problem, start, TIMES, N=60, seeds=2)
    np.testing.assert_array_equal(usual.Q, small_blocks.Q)
    np.testing.assert_array_equal(usual.Q.isel(time=-1), more_times.Q.isel(time=-1))


def test_weights_of_the_user_are_used_as_they_are():
    rng = np.random.default_rng(0)
    w, w_star = rng.standard_normal((3, 40)), rng.standard_normal((2, 40))
    problem = committee()
    start = ts.start_from_weights(problem, w, w_star=w_star)
    simulation = ts.simulate(problem, start, [0.0, 1.0], seeds=2)
    np.testing.assert_array_equal(simulation.w_start, w)
    np.testing.assert_allclose(simulation.Q.isel(time=0, seed=1), w @ w.T / 40, atol=1e-6)
    assert description(simulation)["report"]["N"] == 40
    with pytest.raises(ValueError, match="N = 50, but the start has weights with N = 40"):
        ts.simulate(problem, start, [0.0, 1.0], N=50)


def test_times_are_whole_numbers_of_updates():
    simulation = ts.simulate(
        committee(), random_overlaps(3, 2), [0.0, 0.01, 0.013, 1.0, 1.237], N=100, seeds=1
    )
    np.testing.assert_allclose(simulation.time, [0.0, 0.01, 1.0, 1.24], atol=1e-15)


@pytest.mark.long
def test_float32_and_float64_agree_within_the_scatter():
    problem, start = committee(), random_overlaps(3, 2)
    single, double = (
        ts.simulate(problem, start, [5.0], N=200, seeds=12, dtype=d).isel(time=0)
        for d in ("float32", "float64")
    )
    scatter = np.hypot(single.Q.std("seed", ddof=1), double.Q.std("seed", ddof=1)) / np.sqrt(12)
    assert float((abs(single.Q.mean("seed") - double.Q.mean("seed")) / scatter).max()) < 4.5


@pytest.mark.long
def test_held_out_error_agrees_with_the_closed_form():
    simulation = ts.simulate(
        committee(), random_overlaps(3, 2), [0.0, 3.0], N=100, seeds=4, test_samples=20_000
    )
    np.testing.assert_allclose(
        simulation.test_error, simulation.eps_g, rtol=5 * np.sqrt(2 / 20_000)
    )
    assert (simulation.test_error != simulation.eps_g).all()


def test_learning_rates_do_not_recompile():
    start = random_overlaps(3, 2)
    ts.simulate(committee(learning_rate=0.1), start, TIMES, N=64, seeds=2)
    before = train_weights._cache_size()
    ts.simulate(
        committee(learning_rate=0.2, noise=0.0, weight_decay=0.1), start, TIMES, N=64, seeds=[4, 9]
    )
    ts.simulate(
        committee(learning_rate=0.3), random_overlaps(3, 2, seed=8), [0.5, 3.0], N=64, seeds=2
    )
    assert train_weights._cache_size() == before


def test_divergence_is_reported_with_its_time_and_what_came_before():
    problem = committee(2, 2, activation="quadratic", learning_rate=1.0)
    with pytest.raises(ts.DivergenceError, match=r"seed \d diverges at t = 0\.\d+") as failure:
        ts.simulate(problem, random_overlaps(2, 2), [0.0, 0.02, 5.0], N=100, seeds=3)
    assert 0.02 < failure.value.time < 1
    assert failure.value.partial.sizes["time"] == 2 and np.isfinite(failure.value.partial.Q).all()


def test_an_interrupted_run_goes_on_from_its_checkpoint(tmp_path):
    problem, start, path = committee(), random_overlaps(3, 2), tmp_path / "run.ckpt"
    straight = ts.simulate(problem, start, TIMES, N=300, seeds=2)
    with interrupted_after(400):
        ts.simulate(problem, start, TIMES, N=300, seeds=2, checkpoint=str(path))
    assert path.exists()
    with pytest.raises(ValueError, match="belongs to a simulation with another problem"):
        ts.simulate(committee(noise=0.9), start, TIMES, N=300, seeds=2, checkpoint=str(path))
    resumed = ts.simulate(problem, start, TIMES, N=300, seeds=2, checkpoint=str(path))
    for name in ("Q", "R", "eps_g"):
        np.testing.assert_array_equal(resumed[name], straight[name])
    assert not path.exists() and not list(tmp_path.iterdir())


def test_a_foreign_checkpoint_is_refused(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("chapter one")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        ts.simulate(committee(), random_overlaps(3, 2), TIMES, N=30, seeds=1, checkpoint=str(path))
    assert path.read_text() == "chapter one"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"N": 4},
            r"N = 4 is too small: the overlaps of the start are those of 5 vectors \(K \+ M\)",
        ),
        ({"N": None}, "N is missing"),
        ({"seeds": 0}, "seeds = 0 is not allowed"),
        ({"seeds": [1, 1]}, "different integers"),
        ({"method": "magic"}, "method = 'magic' is not known; known are 'weights'"),
        ({"dtype": "float16"}, "known are 'float32', 'float64'"),
        ({"device": "abacus"}, "device = 'abacus' is not on this machine; here are: cpu"),
        ({"times": [3.0, 1.0]}, "must increase"),
        ({"times": [0.0, 1e9]}, "updates at N = 30; at most 4294967295 are possible"),
        ({"test_samples": -5}, "test_samples = -5"),
        ({"problem": committee(learning_rate=[0.1, 0.2])}, "a sequence for learning_rate"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message):
    arguments = {
        "problem": committee(),
        "start": random_overlaps(3, 2),
        "times": TIMES,
        "N": 30,
        "seeds": 1,
    } | change
    with pytest.raises(ValueError, match=message):
        ts.simulate(**arguments)
