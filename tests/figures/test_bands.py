"""Predicted bands are drawn where the linear theory holds, and beside what networks do."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import teacherstudent as ts


@pytest.fixture(scope="module")
def results():
    task, student = ts.TeacherStudent(1, "linear", noise=0.3), ts.Student(2, "linear")
    problem = ts.Problem(task, student, ts.SGD(0.3))
    start = ts.OrderParameters(Q=[[0.5, 0.1], [0.1, 0.4]], R=[[0.1], [0.2]])
    times = [0.0, 1.0, 2.0, 4.0]
    theory = ts.fluctuations(problem, start, times, bias=False, points=2**12)
    networks = [
        ts.simulate(problem, start, times, N=N, seeds=20, method="reduced") for N in (100, 400)
    ]
    return theory, networks


def test_the_band_is_one_standard_deviation_of_a_single_network(results, tmp_path):
    theory, networks = results
    tree = ts.save(tmp_path / "band.h5", theory=theory, simulation=networks)
    (axes,) = ts.plot(tree, kind="error").axes
    dotted = [line.get_ydata() for line in axes.lines if line.get_linestyle() == ":"]
    expected = []
    for N in (100, 400):
        width = theory.eps_g_std.values / np.sqrt(N)
        expected += [theory.eps_g.values - width, theory.eps_g.values + width]
    assert len(dotted) == len(expected)
    for found, wanted in zip(dotted, expected, strict=True):
        np.testing.assert_allclose(found, np.where(wanted > 0, wanted, np.nan))
    plt.close("all")


def test_measured_scatter_collapses_on_the_predicted_line(results, tmp_path):
    theory, networks = results
    tree = ts.save(tmp_path / "band.h5", theory=theory, simulation=networks)
    figure = ts.plot(tree, kind="fluctuations")
    assert [axes.get_title() for axes in figure.axes][:2] == [
        "generalisation error",
        "scatter of the generalisation error",
    ]
    panel = figure.axes[1]
    np.testing.assert_allclose(panel.lines[0].get_ydata(), theory.eps_g_std)
    measured = np.sqrt(400) * networks[1].eps_g.std("seed", ddof=1)
    drawn = [line.get_ydata() for line in panel.lines]
    assert any(len(one) == 4 and np.allclose(one, measured) for one in drawn)
    plt.close("all")


def test_without_a_band_there_is_no_such_figure(results):
    theory, networks = results
    bare = ts.integrate(ts.problem_of(theory), ts.start_of(theory), theory.time.values)
    with pytest.raises(ValueError, match="nothing that these results have"):
        ts.plot(bare, kind="fluctuations")
    assert len(ts.plot(theory).axes) == 3
    plt.close("all")


@pytest.mark.long
def test_a_set_up_may_ask_for_the_band():
    tables = {
        "title": "a band",
        "task": {"type": "TeacherStudent", "width": 1, "activation": "linear"},
        "student": {"width": 1, "activation": "linear"},
        "rule": {"type": "SGD", "learning_rate": 0.3},
        "start": {"Q": [[0.5]], "R": [[0.1]]},
        "times": {"values": [0.0, 1.0]},
        "theory": {"band": True},
        "simulation": {"N": 50, "seeds": 3},
    }
    tree = ts.Experiment.from_tables("band", tables).run(progress=False)
    assert "eps_g_std" in tree["theory"] and "comparison" in tree.children
    tables["theory"]["solver"] = "tsit5"
    with pytest.raises(ValueError, match="theory.band = true and theory.solver"):
        ts.Experiment.from_tables("band", tables)
