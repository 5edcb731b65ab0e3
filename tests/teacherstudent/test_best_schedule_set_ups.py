"""Set-ups of best schedules: what the tables of a file say, what a run answers, and its figure."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import teacherstudent as ts

TABLES = {
    "title": "a best schedule",
    "task": {"type": "TeacherStudent", "width": 1, "activation": "linear", "noise": 0.5},
    "student": {"width": 1, "activation": "linear"},
    "rule": {"type": "SGD", "learning_rate": 0.3},
    "start": {"Q": [[0.0]], "R": [[0.0]]},
    "times": {"values": [0.0, 5.0, 10.0]},
    "simulation": {"N": 100, "seeds": 4},
    "schedule": {"nodes": 3, "form": "piecewise"},
}


def experiment(**tables):
    return ts.Experiment.from_tables("best", TABLES | tables)


@pytest.fixture(scope="module")
def tree():
    return experiment().run(progress=False)


def test_theory_and_networks_follow_the_schedule_of_the_verb(tree):
    problem = ts.Problem(
        ts.TeacherStudent(1, "linear", noise=0.5), ts.Student(1, "linear"), ts.SGD(0.3)
    )
    start = ts.OrderParameters([[0.0]], [[0.0]])
    best = ts.optimal_schedule(problem, start, 10.0, nodes=3, form="piecewise")
    theory = tree["theory"].to_dataset()
    np.testing.assert_array_equal(theory.rate, best.rate)
    networks = tree["simulation"].to_dataset()
    assert ts.problem_of(networks) == ts.problem_of(theory)
    assert networks.time.values.tolist() == [0.0, 5.0, 10.0]


def test_the_figure_shows_the_rates_and_what_they_leave(tree):
    rates, errors = ts.plot(tree).axes
    theory = tree["theory"].to_dataset()
    drawn = [line.get_ydata() for line in rates.lines]
    np.testing.assert_array_equal(drawn[0], theory.rate)
    assert set(drawn[1]) == {float(theory.attrs["best_constant"])}
    np.testing.assert_array_equal(drawn[2], theory.rate_decay)
    names = ("eps_g", "eps_g_constant", "eps_g_decay")
    for line, name in zip(errors.lines, names, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), theory[name])
    plt.close("all")


@pytest.mark.long
def test_without_networks_it_is_the_theory_alone():
    found = experiment(schedule=True).run(progress=False, theory_only=True)
    assert set(found.children) == {"theory"}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"schedule": {"speed": 1}}, "unknown key schedule.speed"),
        ({"schedule": {"form": "round"}}, "schedule.form"),
        ({"theory": {"rtol": 1e-6}}, "and has no theory"),
    ],
)
def test_what_does_not_fit_gets_one_sentence(tables, message):
    with pytest.raises(ValueError, match=message):
        experiment(**tables)
