import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import as_tree
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


def classes():
    return ts.Problem(ts.GaussianMixture.xor(), ts.Student(2, "linear"), ts.SGD(0.2))


def batches():
    rule = ts.AGD(first_scale=2.0)
    return ts.Problem(
        ts.TeacherStudent(2, "linear"), ts.Student(2, "linear"), rule, batch_ratio=3.0
    )


def variants(**problems):
    made = {
        name: ts.integrate(one, ts.random_start(one, 30), [0, 1, 5])
        for name, one in problems.items()
    }
    (axes,) = ts.plot(
        as_tree(variants={name: as_tree(theory=one) for name, one in made.items()})
    ).axes
    return axes


def test_the_time_of_a_map_counts_updates():
    theory = ts.integrate(batches(), ts.random_start(batches(), 30), [0, 1, 5])
    assert {axes.get_xlabel() for axes in ts.plot(theory).axes} == {"time $t$ = updates"}
    online = ts.integrate(classes(), ts.random_start(classes(), 30), [0, 1, 5])
    assert {axes.get_xlabel() for axes in ts.plot(online).axes} == {"time $t$ = updates / $N$"}


def test_variants_name_what_they_are():
    axes = variants(one=classes(), other=classes())
    assert (
        axes.get_ylabel() == r"expected loss $E\ell$"
        and axes.get_xlabel() == "time $t$ = updates / $N$"
    )
    axes = variants(map=batches(), classes=classes())
    assert axes.get_ylabel() == r"generalisation error $\epsilon_g$ or expected loss $E\ell$"
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [r"map (t = updates, $\epsilon_g$)", r"classes (t = updates / N, $E\ell$)"]
    correlation = ts.Problem(
        ts.GaussianMixture.xor(), ts.Student(2, [0.0, 0.0, -1.0]), ts.SGD(0.05), "correlation"
    )
    assert variants(negative=correlation).get_yscale() == "linear"


def test_one_network_is_no_theory():
    problem = committee()
    found = ts.simulate(problem, random_overlaps(3, 2), TIMES[:5], N=20, seeds=2)
    error, Q, _ = ts.plot(found.isel(seed=0)).axes
    assert [text.get_text() for text in error.get_legend().get_texts()] == ["1 network, N = 20"]
    assert [text.get_text() for text in Q.get_legend().get_texts()][:2] == ["$Q_{11}$", "$Q_{12}$"]
    with pytest.raises(ValueError, match="results are of one time"):
        ts.plot(found.isel(time=-1))
    with pytest.raises(ValueError, match="nothing to plot in a comparison"):
        ts.plot(ts.compare(ts.integrate(problem, random_overlaps(3, 2), TIMES[:5]), found))


def test_a_title_says_the_selected_value_and_fits_the_figure():
    theory = ts.integrate(committee(learning_rate=[0.1, 0.2]), random_overlaps(3, 2), TIMES)
    title = ts.plot(theory.isel(learning_rate=1)).get_suptitle()
    assert "learning rate 0.2" in title
    narrow = ts.plot(theory)
    assert max(map(len, narrow.get_suptitle().split("\n"))) < 14 * narrow.get_figwidth()


def test_observables_of_ones_own_have_panels():
    """Also one that only networks have, and one that only the theory was asked for."""
    problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(2, "linear"), ts.SGD(0.1))
    start = ts.OrderParameters(Q=0.5 * np.eye(2), R=np.zeros((2, 1)))
    of_both = ts.Observable("total", (), r"$s$", of=lambda state: state.Q.sum())
    of_weights = ts.Observable("first", ("student",), r"$f_k$", of_weights=lambda n: n.w[:, 0])
    of_theory = ts.Observable("trace", (), r"$t$", of=lambda state: jnp.trace(state.Q))
    wide = ts.Observable("wide", ("many",), r"$x_i$", of=lambda state: jnp.ones(33))
    times = [0.0, 0.1, 0.2]
    theory = ts.integrate(problem, start, times, observables=[of_both, of_theory, wide])
    networks = ts.simulate(
        problem, start, times, N=20, seeds=2, observables=[of_both, of_weights], progress=False
    )
    figure = ts.plot(as_tree(theory=theory, simulation=networks))
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert {"total", "trace", "first"} < set(panels)
    assert "wide" not in panels  # too many lines to be told apart
    np.testing.assert_array_equal(panels["total"].lines[0].get_ydata(), theory.total)
    assert len(panels["first"].lines) == 2
