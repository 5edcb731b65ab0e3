"""Experiments on forgetting against the similarity of tasks."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.command.experiment import Experiment
from teacherstudent.command.forgetting import Forgetting
from teacherstudent.command.page import print_page
from teacherstudent.command.unfinished import Parts

TABLES = {
    "title": "forgetting",
    "model": {
        "type": "ContinualLearning",
        "width": 2,
        "teachers": [1, 1],
        "frequencies": [
            {"schedule": "piecewise", "values": [1.0, 0.0], "times": [4.0]},
            {"schedule": "piecewise", "values": [0.0, 1.0], "times": [4.0]},
        ],
    },
    "forgetting": {"similarity": [0.2, 0.9], "switch": 4.0, "N": 200, "seed": 3, "scale": 0.5},
    "times": {"stop": 8.0, "points": 5, "spacing": "linear"},
    "simulation": {"N": 40, "seeds": 3, "method": "reduced"},
}


def test_every_similarity_is_the_theory_of_its_own_start(tmp_path, capsys):
    """The file has what `forgetting` and `transfer` say, by hand, and a picture of it."""
    plan = Experiment.from_tables("test", TABLES).plan
    assert isinstance(plan, Forgetting) and plan.similarity == (0.2, 0.9)
    tree = plan.run(progress=False, device=None, theory_only=True, parts=Parts())
    ts.save(tmp_path / "one.h5", tree)
    theory = ts.load(tmp_path / "one.h5")["theory"].to_dataset()
    np.testing.assert_array_equal(theory.similarity, [0.2, 0.9])
    T = ts.teachers_of_similarity(0.9)
    start = ts.continual_start(plan.problem, N=200, seed=3, T=T, scale=0.5)
    alone = ts.integrate(plan.problem, start, [0.0, 4.0, 8.0], curve=False)
    eps = alone.eps.values
    np.testing.assert_allclose(theory.forgetting[1], eps[2, 0] - eps[1, 0], atol=1e-8)
    np.testing.assert_allclose(theory.transfer[1], eps[1, 1] - eps[2, 1], atol=1e-8)
    ts.plot(tree, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 10_000
    print_page(ts.load(tmp_path / "one.h5"), "one.h5")
    assert "model    ContinualLearning: width 2, teachers [1, 1]" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.slow
def test_networks_have_forgetting_of_each_seed():
    tree = Experiment.from_tables("test", TABLES).run(progress=False)
    networks = tree["simulation"].to_dataset()
    assert networks.forgetting.dims == ("start", "seed")
    eps = networks.eps.values
    np.testing.assert_allclose(networks.forgetting, eps[:, :, -1, 0] - eps[:, :, 2, 0])
    point = ts.point_of(tree, start=1)["theory"].to_dataset()
    np.testing.assert_allclose(point.T[0, 1], 0.9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forgetting.switch": 3.0}, "forgetting.switch = 3 is not among the times"),
        ({"forgetting.switch": 2.0}, "model.frequencies switch at t = 4; give one time to both"),
        ({"forgetting.similarity": [0.5]}, "give two values or more"),
        ({"forgetting.similarity": [0.5, 1.5]}, "similarity = 1.5 is not possible"),
        ({"forgetting.similarity": "many"}, "forgetting.similarity"),
        ({"forgetting.speed": 1}, "unknown key forgetting.speed"),
        (
            {"start": {"Q": [[1.0]]}},
            "makes the starts of all similarities itself, and has no start",
        ),
        ({"model.teachers": [1], "model.frequencies": 1.0}, "with two teachers or more"),
        ({"forgetting.N": 1}, "N = 1 is not allowed|N = 1 is too small"),
    ],
)
def test_mistakes_are_named_before_anything_runs(changes, message):
    with pytest.raises(ValueError, match=message):
        Experiment.from_tables("test", TABLES, changes)
