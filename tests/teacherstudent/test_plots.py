import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results import as_tree
from tests.problems import committee, random_overlaps

TIMES = ts.log_times(20.0, 30)


def test_theory_lines_and_simulation_points_are_the_data(tmp_path):
    problem, start = committee(readout_learning_rate=0.1), random_overlaps(3, 2)
    theory = ts.integrate(problem, start, TIMES)
    simulation = ts.simulate(problem, start, TIMES, N=50, seeds=3)
    figure = ts.plot(as_tree(theory=theory, simulation=simulation), tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").stat().st_size > 5000
    error, Q, R, v = figure.axes
    assert error.get_yscale() == "log" and error.get_xscale() == "symlog"
    np.testing.assert_array_equal(error.lines[0].get_ydata(), theory.eps_g)
    assert set(error.lines[1].get_ydata()) <= set(simulation.eps_g.mean("seed").values)
    lines = [line for line in Q.lines if len(line.get_xdata()) == len(TIMES)]
    assert len(lines) == 6  # the upper triangle of a symmetric 3 x 3 matrix
    np.testing.assert_array_equal(lines[1].get_ydata(), theory.Q[:, 0, 1])
    assert len(R.collections) == 6 and len(v.collections) == 3  # a band for each curve
    styles = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(styles) == 6


def test_a_sweep_is_a_curve_for_each_value():
    theory = ts.integrate(committee(learning_rate=[0.1, 0.2, 0.4]), random_overlaps(3, 2), TIMES)
    (axes,) = ts.plot(theory).axes
    assert len(axes.lines) == 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        r"$\eta$ = 0.1",
        r"$\eta$ = 0.2",
        r"$\eta$ = 0.4",
    ]


def test_nothing_to_draw():
    import xarray as xr

    with pytest.raises(ValueError, match="nothing to plot"):
        ts.plot(xr.DataTree())


def test_test_errors_are_crosses_with_bars():
    problem = ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.5), ts.Student(2), ts.SGD(0.2))
    start = ts.random_start(problem, N=30)
    simulation = ts.simulate(problem, start, TIMES[:10], seeds=3, test_samples=1000)
    error = ts.plot(simulation).axes[0]
    (crosses,) = error.containers
    np.testing.assert_array_equal(crosses.lines[0].get_ydata(), simulation.test_error.mean("seed"))
    assert "delta$ = 0.5" in error.figure.get_suptitle()
