"""Sweeps of models: the numbers of single calls, what is kept, files, and what is refused."""

import copy
import pickle

import equinox as eqx
import numpy as np
import pytest
from matplotlib.text import Text

import teacherstudent as ts
from teacherstudent.command.experiment import Experiment
from teacherstudent.sweeps.axes import axes_of
from teacherstudent.sweeps.jobs import TheoryJob
from teacherstudent.sweeps.points import points_of
from teacherstudent.sweeps.workers import Packing, run_packed

MODEL = ts.ReinforcementPerceptron(3, ts.AllCorrect(1.0, 0.05), learning_rate=0.8)
START = ts.State(Q=[[0.8]], R=[[0.2]])
TIMES = [0.0, 1.0, 2.0]
OVER = {
    "model.learning_rate": [0.3, 0.8],
    "model.reward.penalty": [0.0, 0.05],
    "model.episode_length": [2, 3],
}
OPTIONS = {"N": 50, "seeds": 2, "workers": 1, "progress": False}


class Growth(ts.Model):
    """Some numbers that decay at rates of their own: a state whose shape an argument decides."""

    NUMBERS = ("rate",)
    STATE = {"x": ts.Quantity(("mode",), "size of a mode", "$x$")}
    RECORDED = {"total": ts.Quantity((), "sum of the modes", "$X$")}
    ERROR = "total"
    modes: int = eqx.field(static=True)
    rate: float

    def __init__(self, modes, rate=1.0):
        self.modes = modes
        self.rate = rate

    @property
    def shapes(self):
        return {"x": (self.modes,)}

    def observed(self, t, state):
        return {"total": state["x"].sum()}


class TheoryOfGrowth(ts.ModelTheory, model=Growth):
    def velocity(self, model, t, state):
        return {"x": -model.rate * np.arange(1.0, model.modes + 1) * state["x"]}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep and the file in which it is kept."""
    path = tmp_path_factory.mktemp("sweep") / "sweep.h5"
    return ts.sweep(MODEL, START, TIMES, OVER, out=path, **OPTIONS), path


def test_theory_and_networks_are_those_of_single_calls(swept):
    tree, _ = swept
    model = ts.ReinforcementPerceptron(2, ts.AllCorrect(1.0, 0.0), learning_rate=0.3)
    theory = ts.integrate(model, START, TIMES)
    networks = ts.simulate(model, START, TIMES, N=50, seeds=2, progress=False)
    at = {"learning_rate": 0.3, "penalty": 0.0, "episode_length": 2}
    for name in ("Q", "R", "rho", "episode"):
        np.testing.assert_allclose(tree["theory"][name].sel(at), theory[name], rtol=1e-10)
        np.testing.assert_array_equal(tree["simulation"][name].sel(at), networks[name])
    ends = tree["theory"].error_rate.isel(time=-1).values
    assert len(np.unique(ends.round(9))) == 8  # no two points are the same
    assert tree["theory"].time.attrs["units"] == "episodes / N"


def test_a_point_is_an_ordinary_result(swept, tmp_path):
    tree, _ = swept
    point = ts.point_of(tree, learning_rate=0.3, penalty=0.0, episode_length=2)
    theory, networks = (point[kind].to_dataset() for kind in ("theory", "simulation"))
    model = ts.problem_of(theory)
    assert (model.learning_rate, model.reward.penalty, model.episode_length) == (0.3, 0.0, 2)
    assert pytest.approx(START.R) == ts.start_of(networks).R
    assert ts.compare(theory, networks).sizes["time"] == len(TIMES)
    ts.plot(point, tmp_path / "point.png")


def test_the_file_has_the_sweep_and_a_repeated_one_computes_nothing(swept, monkeypatch, tmp_path):
    tree, path = swept
    again = ts.load(path)
    np.testing.assert_array_equal(again["simulation"].rho, tree["simulation"].rho)
    monkeypatch.setattr("teacherstudent.sweeps.jobs.Job.run", None)  # nothing is left to do
    once_more = ts.sweep(MODEL, START, TIMES, OVER, out=path, **OPTIONS)
    np.testing.assert_array_equal(once_more["theory"].Q, tree["theory"].Q)
    figure = ts.plot(again, tmp_path / "sweep.png")
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "ReinforcementPerceptron" in texts and "episode_length = 2" in texts
    assert figure.axes[0].get_xlabel().startswith("learning rate $")


def test_an_interrupted_sweep_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "sweep.h5"
    given = {"over": {"model.learning_rate": [0.3, 0.8]}, "out": path, "simulation": False}
    options = {"workers": 1, "progress": False}
    monkeypatch.setattr("teacherstudent.sweeps.sweep.FIRST_BLOCK", 1)
    run, done = TheoryJob.run, []

    def stop_after_one(job):
        if done:
            raise KeyboardInterrupt
        done.append(job.keys)
        return run(job)

    monkeypatch.setattr(TheoryJob, "run", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        ts.sweep(MODEL, START, TIMES, **given, **options)
    assert len(done) == 1

    def count(job):
        done.append(job.keys)
        return run(job)

    monkeypatch.setattr(TheoryJob, "run", count)
    tree = ts.sweep(MODEL, START, TIMES, **given, **options)
    assert len(done) == 2 and done[0] != done[1]
    assert (tree["theory"].error == "").all()


def test_starts_may_be_functions_and_arguments_objects_that_change_together():
    rewards = [ts.Graded([0.0, 1.0]), ts.Graded([0.0, 0.3, 1.0])]
    over = [
        {"model.episode_length": T, "model.reward": reward}
        for T, reward in zip((1, 2), rewards, strict=True)
    ]

    def start(model):
        return ts.State(Q=[[1.0]], R=[[0.1 * model.episode_length]])

    tree = ts.sweep(MODEL, start, [1.0, 2.0], over, simulation=False, progress=False)
    for number, T in enumerate((1, 2)):
        model = ts.ReinforcementPerceptron(T, rewards[number], 0.8)
        expected = ts.integrate(model, start(model), [1.0, 2.0])
        np.testing.assert_allclose(tree["theory"].rho[number], expected.rho, rtol=1e-10)
        point = ts.point_of(tree["theory"].to_dataset(), point=number)
        np.testing.assert_array_equal(ts.problem_of(point).reward.values, rewards[number].values)
    np.testing.assert_allclose(tree["theory"].R_start.values.ravel(), [0.1, 0.2])


def test_models_and_states_travel_to_workers():
    for again in (copy.deepcopy(START), pickle.loads(pickle.dumps(START))):
        np.testing.assert_array_equal(again.R, START.R)
    points = points_of(Growth(2), ts.State(x=[1.0, 2.0]), None, _axes({"model.rate": [0.5, 1.0]}))
    job = TheoryJob(["one", "other"], points, np.array([0.0, 1.0]), {})
    answers = run_packed(Packing().of(job))
    assert answers.errors == ["", ""]
    exact = [np.exp(-rate) + 2 * np.exp(-2 * rate) for rate in (0.5, 1.0)]
    np.testing.assert_allclose(answers.values["total"].array[:, 1], exact, rtol=1e-7)


def _axes(over):
    return axes_of(over, Growth)


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"model.rate": [1.0]}, "ReinforcementPerceptron has no rate; its arguments are episode_"),
        ({"model.reward.rate": [1.0]}, "model.reward.rate, but AllCorrect has no rate"),
        ({"model.reward.": [1.0]}, "AllCorrect has no|ReinforcementPerceptron has no reward\\."),
        ({"model.reward.penalty.x": [1.0]}, "model.reward.penalty is 0.05, whose parameters are"),
        ({"learning_rate": [1.0]}, r"no place in a model \(did you mean model.learning_rate\?\)"),
        ({"rule.learning_rate": [1.0]}, "no place in a model; known are model, start, N"),
        ({"model.learning_rate": [0.1, -1.0]}, "model.learning_rate"),
        ({"model.episode_length": [0]}, "give an integer of at least 1"),
        ({"model": [Growth(2)]}, "in the place of the model, which is a ReinforcementPerceptron"),
    ],
)
def test_what_is_no_place_of_the_model_gets_a_sentence(over, sentence):
    with pytest.raises(ValueError, match=sentence):
        ts.sweep(MODEL, START, TIMES, over, **OPTIONS)


def test_what_no_sweep_of_a_model_has_gets_a_sentence():
    over = {"model.learning_rate": [0.1, 0.2]}
    with pytest.raises(ValueError, match=r"start.R is missing"):
        ts.sweep(MODEL, ts.State(Q=[[1.0]]), TIMES, over, **OPTIONS)
    with pytest.raises(ValueError, match="records rho, right, episode, error_rate: leave them"):
        ts.sweep(MODEL, START, TIMES, over, observables=["alignment"], **OPTIONS)
    several = ts.ReinforcementPerceptron(3, learning_rate=[0.1, 0.2])
    with pytest.raises(ValueError, match="has a sequence for learning_rate"):
        ts.sweep(several, START, TIMES, {"model.episode_length": [2]}, **OPTIONS)

    def start(model):
        return ts.State(x=np.ones(model.modes))

    with pytest.raises(ValueError, match=r"shape of x, which is \(2,\) at one point and \(3,\)"):
        ts.sweep(Growth(2), start, TIMES, {"model.modes": [2, 3]}, **OPTIONS)
    with pytest.raises(ValueError, match=r"a Growth has no simulation.*Give simulation=False"):
        ts.sweep(Growth(2), start, TIMES, {"model.rate": [1.0]}, **OPTIONS)


def test_a_protocol_has_no_sequences():
    swept = ts.ReinforcementPerceptron(2, learning_rate=[0.5, 1.0])
    with pytest.raises(
        ValueError, match="phase 1 of the protocol has a sequence for learning_rate"
    ):
        ts.Protocol((MODEL, 1.0), (swept, 1.0))


def test_a_set_up_may_sweep_a_model():
    tables = {
        "title": "test",
        "model": {"type": "ReinforcementPerceptron", "episode_length": 2},
        "start": {"Q": [[0.8]], "R": [[0.2]]},
        "times": {"values": [0.0, 1.0]},
        "simulation": {"N": 50, "seeds": 2},
        "sweep": {
            "theory_only": True,
            "over": {
                "model.learning_rate": "linspace(0.1, 0.3, 3)",
                "model.reward": [{"type": "AllCorrect", "penalty": 0.1}, {"type": "ReturnToGo"}],
            },
        },
    }
    tree = Experiment.from_tables("test", tables).run(progress=False)
    assert tree["theory"].reward.values.tolist() == ["AllCorrect", "ReturnToGo"]
    model = ts.ReinforcementPerceptron(2, ts.ReturnToGo(), learning_rate=0.2)
    expected = ts.integrate(model, START, [0.0, 1.0])
    np.testing.assert_allclose(tree["theory"].rho[1, 1], expected.rho, rtol=1e-10)
