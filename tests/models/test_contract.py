"""What every model has from its contract: starts, files, continuation, refusals."""

import numpy as np
import pytest

import teacherstudent as ts

MODEL = ts.ReinforcementPerceptron(3, ts.AllCorrect(1.0, 0.05), learning_rate=0.8)
START = ts.State(Q=[[0.8]], R=[[0.2]])
TIMES = [0.0, 1.0, 2.0, 4.0]


@pytest.fixture(scope="module")
def theory():
    return ts.integrate(MODEL, START, TIMES)


@pytest.fixture(scope="module")
def networks():
    return ts.simulate(MODEL, START, TIMES, N=100, seeds=4, method="reduced", progress=False)


def test_a_file_gives_back_model_start_and_numbers(theory, networks, tmp_path):
    path = tmp_path / "result.h5"
    ts.save(path, theory=theory, simulation=networks, comparison=ts.compare(theory, networks))
    tree = ts.load(path)
    again = ts.problem_of(tree["theory"].to_dataset())
    assert repr(again) == repr(MODEL)
    start = ts.start_of(tree["simulation"].to_dataset())
    repeated = ts.simulate(again, start, TIMES, N=100, seeds=4, method="reduced", progress=False)
    np.testing.assert_array_equal(repeated.Q, tree["simulation"].Q)
    ts.plot(tree, tmp_path / "result.png")
    assert (tmp_path / "result.png").stat().st_size > 10_000
    assert str(ts.validate(path)).count("OK") == 3


def test_a_theory_goes_on_from_its_end(theory):
    state = ts.last_state(theory.isel(time=slice(0, 4)))
    more = ts.integrate(MODEL, state, [4.0, 9.0])
    once = ts.integrate(MODEL, START, [0.0, 9.0])
    np.testing.assert_allclose(more.Q[-1], once.Q[-1], rtol=1e-6)


@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_networks_go_on_from_their_end(method):
    options = {"N": 60, "seeds": 3, "method": method, "progress": False}
    whole = ts.simulate(MODEL, START, [0.0, 1.0, 3.0], **options)
    first = ts.simulate(MODEL, START, [0.0, 1.0], keep="weights", **options)
    second = ts.simulate(MODEL, ts.last_state(first), [1.0, 3.0], progress=False)
    np.testing.assert_array_equal(second.R[:, -1], whole.R[:, -1])


def test_networks_that_were_not_kept_do_not_go_on():
    networks = ts.simulate(MODEL, START, [0.0, 1.0], N=60, seeds=2, progress=False)
    assert "chain_last" not in networks
    with pytest.raises(ValueError, match='keep="weights"'):
        ts.last_state(networks)


def test_networks_go_on_from_a_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.npz"
    options = {"N": 60, "seeds": 3, "method": "reduced", "progress": False}
    whole = ts.simulate(MODEL, START, TIMES, **options)

    class Enough(Exception):
        pass

    def stop(t, record):
        if t >= 2.0:
            raise Enough

    with pytest.raises(Enough):
        ts.simulate(MODEL, START, TIMES, checkpoint=path, callback=stop, **options)
    assert path.exists()
    again = ts.simulate(MODEL, START, TIMES, checkpoint=path, **options)
    np.testing.assert_array_equal(again.Q, whole.Q)
    assert not path.exists()


def test_numbers_do_not_depend_on_the_other_seeds(networks):
    options = {"N": 100, "method": "reduced", "progress": False}
    alone = ts.simulate(MODEL, START, TIMES, seeds=[2], **options)
    np.testing.assert_allclose(alone.R[0], networks.R[2], rtol=1e-12)


def test_a_schedule_drives_theory_and_networks_alike():
    model = ts.ReinforcementPerceptron(3, learning_rate=ts.piecewise([2.0, 0.2], [1.0]))
    theory = ts.integrate(model, START, TIMES)
    networks = ts.simulate(model, START, TIMES, N=300, seeds=16, method="reduced", progress=False)
    assert ts.compare(theory, networks).attrs["verdict"].startswith("AGREE")


def test_what_diverges_says_when_and_keeps_what_came_before():
    model = ts.ReinforcementPerceptron(2, ts.AllCorrect(1.0), learning_rate=2e3)
    with pytest.raises(ts.DivergenceError, match="the state diverges at t = ") as failure:
        ts.integrate(model, START, [0.0, 0.001, 1.0, 9.0])
    assert failure.value.partial.sizes["time"] >= 1


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (ts.OrderParameters([[1.0]], [[0.1]]), r"give ts.State\(Q=, R=\)"),
        (ts.State(Q=[[1.0]]), "start.R is missing"),
        (ts.State(Q=1.0, R=[[0.1]]), r"start.Q has the shape \(\)"),
        (ts.State(Q=[[1.0]], R=[[0.1]], S=1.0), "start.S is no part"),
        (ts.State(Q=[[1.0]], R=[[1.1]]), "start.R = 1.1"),
    ],
)
def test_bad_starts(start, says):
    for verb in (ts.integrate, ts.simulate):
        with pytest.raises(ValueError, match=says):
            verb(MODEL, start, TIMES)


@pytest.mark.parametrize(
    "options",
    [
        {"spectral": True},
        {"observables": ["alignment"]},
        {"solver": "kvaerno5"},
        {"checkpoint": "x.npz"},
    ],
)
def test_options_without_a_meaning_are_refused(options):
    with pytest.raises(ValueError, match=str(next(iter(options)))):
        ts.integrate(MODEL, START, TIMES, **options)


def test_a_model_without_a_theory_or_a_simulation_says_so():
    class Mine(ts.ReinforcementPerceptron):
        def observed(self, t, state):
            return super().observed(t, state)

    with pytest.raises(ValueError, match="a Mine has no theory: write class TheoryOfMine"):
        ts.integrate(Mine(3), START, TIMES)
    with pytest.raises(ValueError, match="a Mine has no simulation: write class SimulationOfMine"):
        ts.simulate(Mine(3), START, TIMES, N=50)


def test_a_value_that_was_selected_from_a_sweep_is_that_of_its_problem():
    model = ts.Autoencoder([1.0, 0.5], 0.1, width=2, encoder_rate=[0.5, 0.8])
    theory = ts.integrate(model, ts.State(w=0.1 * np.eye(2), beta=0.01 * np.eye(2)), [0.0, 1.0])
    assert ts.problem_of(theory.isel(encoder_rate=1)).encoder_rate == 0.8
    attack = ts.LabelAttack(2, strength=[0.1, 0.3])
    problem = ts.Problem(attack, ts.Student(2), ts.SGD(0.1))
    start = ts.OrderParameters(Q=0.5 * np.eye(2), R=np.zeros((2, 2)))
    swept = ts.integrate(problem, start, [0.0, 1.0])
    assert ts.problem_of(swept.isel(strength=1)).task.strength == 0.3


def test_a_curve_of_a_sweep_that_diverges_is_told():
    model = ts.ReinforcementPerceptron(2, learning_rate=[1.0, 2e3])
    with pytest.warns(UserWarning, match="1 of 2 curves did not reach t = 9"):
        theory = ts.integrate(model, START, [0.0, 1.0, 9.0])
    assert np.isfinite(theory.rho.isel(learning_rate=0)).all()
    assert np.isnan(theory.rho.isel(learning_rate=1, time=-1))
