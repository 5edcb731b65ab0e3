"""What defines the figures of every kind: what they show, that it can be told apart, and read."""

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation

import teacherstudent as ts
from teacherstudent.figures.drawing import COLOURS, SHADES, STYLES, moved_apart
from teacherstudent.figures.picture import wrapped
from teacherstudent.figures.sweep import edges_of
from teacherstudent.results.datasets import as_tree
from tests.figures import results
from tests.problems import committee, random_overlaps

LONG = "A title of words for which no figure is wide enough, with $\\epsilon_g$ in it too, " * 4
ALL = {
    "curves": lambda: results.beside_each_other(3, 2),
    "many units": lambda: results.beside_each_other(8, 4),
    "two classes": results.two_classes,
    "updates": results.of_updates,
    "protocol": results.protocol,
    "few rates": lambda: results.swept(3),
    "many rates": lambda: results.swept(64),
    "grid": results.swept_twice,
    "escape": results.escape,
    "variants": lambda: results.variants(one=results.two_classes(), other=results.of_updates()),
}
KINDS = [
    ("curves", "error"),
    ("curves", "overlaps"),
    ("curves", "heatmaps"),
    ("curves", "R"),
    ("many units", "overlaps"),
    ("many units", "Q"),
    ("many units", "v"),
    ("two classes", "accuracy"),
    *((name, None) for name in ALL),
]


def lines_of(axes) -> dict:
    """The lines of theories by their labels."""
    return {line.get_label(): line for line in axes.lines if line.get_linestyle() != "None"}


def legend_of(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def names_beside(axes) -> list[str]:
    return [one.get_text() for one in axes.texts if isinstance(one, Annotation)]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_no_text_leaves_the_canvas(name, kind, monkeypatch):
    """However long the title is."""
    result = ALL[name]()
    monkeypatch.setattr("teacherstudent.figures.results.Results.title", LONG)
    figure = ts.plot(result, kind=kind)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    everything = figure.get_tightbbox(renderer)  # in inches
    width, height = figure.get_size_inches()
    assert everything.x0 > -0.01 and everything.y0 > -0.01
    assert everything.x1 < width + 0.01 and everything.y1 < height + 0.01
    lowest = height
    for text in figure.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        lowest = min(lowest, box.y0 / figure.dpi)
    tops = [axes.get_tightbbox(renderer).y1 / figure.dpi for axes in figure.axes]
    assert max(tops) < lowest + 0.02


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_entries_of_a_panel_differ_without_colour(name, kind):
    """Lines of one kind differ in lightness; the names of more stand at their ends."""
    for axes in ts.plot(ALL[name](), kind=kind).axes:
        seen = []
        for line in lines_of(axes).values():
            if str(line.get_label()).startswith("_"):
                continue
            red, green, blue = to_rgb(line.get_color())
            lightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
            for style, other in seen:
                assert style != line.get_linestyle() or abs(other - lightness) > 0.03
            seen.append((line.get_linestyle(), lightness))
            if len(seen) == len(SHADES) * len(STYLES):
                break


def test_maps_grow_lighter_from_end_to_end():
    colours = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 64))[:, :3]
    assert (np.diff(colours @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_every_entry_of_many_units_has_a_name():
    tree = results.beside_each_other(8, 4)
    (R,) = ts.plot(tree, kind="R").axes
    assert sorted(names_beside(R)) == sorted(
        f"$R_{{{k}{m}}}$" for k in range(1, 9) for m in range(1, 5)
    )
    panels = ts.plot(tree, kind="overlaps").axes
    assert [len(names_beside(one)) for one in panels] == 8 * [4] + 8 * [8]
    maps = [one for one in ts.plot(tree).axes if one.images]
    assert len(maps) == 16  # Q and R, theory and networks, at four times
    assert [label.get_text() for label in maps[0].get_yticklabels()] == list("12345678")
    assert [label.get_text() for label in maps[0].get_xticklabels()] == list("1234")


def test_names_do_not_lie_on_each_other():
    figure = ts.plot(results.beside_each_other(8, 4), kind="R")
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    names = [one for one in figure.axes[0].texts if isinstance(one, Annotation)]
    # Letters, not the line to where the name belongs.
    boxes = [matplotlib.text.Text.get_window_extent(one, renderer) for one in names]
    middles = np.sort([(box.y0 + box.y1) / 2 for box in boxes]) / figure.dpi * 72
    assert np.diff(middles).min() > 6.5  # points, of letters of 7


def test_names_stay_near_their_ends():
    ends = np.array([0.0, 0.5, 0.51, 0.52, 0.9])
    places = moved_apart(ends, 0.1)
    assert (np.diff(places) > 0.1 - 1e-12).all()
    np.testing.assert_allclose(places, [0.0, 0.41, 0.51, 0.61, 0.9])


def test_theory_is_a_smooth_line_through_its_solution():
    tree = results.beside_each_other(3, 2)
    theory = tree["theory"].to_dataset()
    problem, start = ts.problem_of(theory), ts.start_of(theory)
    for kind, label in (("error", "theory"), ("R", "$R_{21}$"), ("Q", "$Q_{12}$")):
        (axes,) = ts.plot(tree, kind=kind).axes
        x, y = lines_of(axes)[label].get_data()
        assert len(x) > 5 * theory.sizes["time"]
        again = ts.integrate(problem, start, x[::16][1:], rtol=1e-11, atol=1e-13, solver="dopri8")
        exact = {"error": again.eps_g, "R": again.R[:, 1, 0], "Q": again.Q[:, 0, 1]}[kind]
        np.testing.assert_allclose(y[::16][1:], exact, atol=2e-5)


def test_marks_are_means_of_networks_in_a_band_of_one_deviation():
    tree = results.beside_each_other(3, 2)
    networks = tree["simulation"].to_dataset()
    (axes,) = ts.plot(tree, kind="error").axes
    (marks,) = [line for line in axes.lines if line.get_linestyle() == "None"]
    np.testing.assert_array_equal(marks.get_ydata(), networks.eps_g.mean("seed"))
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices[:, 1]
    high = networks.eps_g.mean("seed") + networks.eps_g.std("seed", ddof=1)
    np.testing.assert_allclose(corners.max(), float(high.max()))
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "theory",
        "mean of 3 networks, N = 50",
        "one standard deviation of single networks",
    ]


def test_one_network_has_no_band():
    networks = results.beside_each_other(3, 2)["simulation"].to_dataset()
    (axes,) = ts.plot(networks.isel(seed=[0]), kind="error").axes
    assert not axes.collections


def test_an_observable_may_be_called_a_deviation():
    theory = results.beside_each_other(3, 2)["theory"].to_dataset()
    theory["R_std"] = xr.ones_like(theory.R)
    theory.R_std.attrs = {"symbol": "$d_{km}$", "long_name": "deviation"}
    assert "deviation" in [one.get_title() for one in ts.plot(theory).axes]


def test_results_without_a_curve_are_drawn_through_their_times():
    theory = results.beside_each_other(3, 2)["theory"].to_dataset()
    old = theory.drop_vars([name for name in theory.variables if str(name).startswith("curve_")])
    (axes,) = ts.plot(old, kind="error").axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), theory.time)


def test_axes_of_the_users_own_are_drawn_into_and_returned(tmp_path):
    tree = results.beside_each_other(3, 2)
    figure = Figure()
    axes = figure.subplots()
    assert ts.plot(tree, tmp_path / "R.pdf", kind="R", axes=axes) is axes
    assert len(names_beside(axes)) == 6 and (tmp_path / "R.pdf").stat().st_size > 2000
    assert legend_of(axes)[-1] == "one standard deviation of single networks"
    several = Figure().subplots(2, 2)
    assert ts.plot(tree, axes=several) is several
    assert [one.get_ylabel() for one in several.ravel()] == [
        r"$\epsilon_g$",
        "$v_k$",
        "$R_{km}$",
        "$Q_{kl}$",
    ]
    with pytest.raises(ValueError, match=r"axes has 4 .* but this kind of figure has 1 panels"):
        ts.plot(tree, kind="error", axes=several)
    with pytest.raises(ValueError, match="none of matplotlib's Axes"):
        ts.plot(tree, kind="error", axes="left")


def test_a_notebook_shows_the_figure_once():
    figure = ts.plot(results.swept(3))
    assert figure._repr_png_()[:4] == b"\x89PNG"
    from matplotlib import pyplot

    assert not pyplot.get_fignums()  # so that nothing else shows it, too


def test_a_notebook_gets_one_picture():
    formatters = pytest.importorskip("IPython.core.formatters")
    shown, _ = formatters.DisplayFormatter().format(ts.plot(results.swept(3)))
    assert set(shown) == {"text/plain", "image/png"}


def test_an_unknown_kind_names_those_that_there_are():
    with pytest.raises(ValueError, match=r"kind = 'overlap' .* curves, error, .* did you mean"):
        ts.plot(results.two_classes(), kind="overlap")
    with pytest.raises(ValueError, match=r"give one of escape"):
        ts.plot(results.escape(), kind="curves")
    with pytest.raises(ValueError, match="kind = 'spectrum'"):
        ts.plot(results.two_classes(), kind="spectrum")


def test_few_values_have_names_and_many_have_colours():
    along, last = ts.plot(results.swept(3)).axes
    assert legend_of(along) == [r"$\eta$ = 0.1", r"$\eta$ = 0.3162", r"$\eta$ = 1"]
    np.testing.assert_array_equal(last.lines[0].get_ydata(), results.swept(3).eps_g[:, -1])
    along, last, bar = ts.plot(results.swept(64)).axes
    (family,) = along.collections
    assert len(family.get_segments()) == 40 and "40 of 64" in along.get_title()
    assert r"$\eta$" in bar.get_ylabel()


def test_a_grid_is_a_map_with_contours_and_a_bar():
    data = results.swept_twice()
    axes, bar = ts.plot(data).axes
    mesh, contours = axes.collections
    np.testing.assert_array_equal(mesh.get_array(), data.eps_g[..., -1].T)
    assert len(contours.levels) == 6 and "last time" in bar.get_ylabel()
    assert axes.get_xscale() == "log" and axes.get_yscale() == "linear"


def test_a_map_of_values_in_any_order_is_in_the_order_of_the_axes():
    data = results.swept_twice()
    shuffled = data.isel(learning_rate=[2, 0, 3, 1], weight_decay=[1, 2, 0])
    mesh, contours = ts.plot(shuffled).axes[0].collections
    ordered, expected = ts.plot(data).axes[0].collections
    np.testing.assert_array_equal(mesh.get_array(), ordered.get_array())
    np.testing.assert_array_equal(mesh.get_coordinates(), ordered.get_coordinates())
    np.testing.assert_allclose(contours.levels, expected.levels)


def test_cells_of_a_map_meet_in_the_middle_of_their_axis():
    edges = edges_of(np.array([1.0, 10.0, 1000.0]), logarithmic=True)
    np.testing.assert_allclose(np.log10(edges), [-0.5, 0.5, 2.0, 4.0])
    np.testing.assert_allclose(edges_of(np.array([0.0, 1.0, 3.0]), False), [-0.5, 0.5, 2.0, 4.0])
    mesh = ts.plot(results.swept_twice()).axes[0].collections[0]
    assert (mesh.get_coordinates()[..., 0] > 0).all()  # the axis is logarithmic


def test_sizes_are_drawn_beside_the_one_theory_of_all():
    """Along N the theory is the same; of two parameters each has its map."""
    tree = results.swept_over_sizes()
    along, last = ts.plot(tree.isel(learning_rate=0)).axes
    assert legend_of(along) == ["N = 10", "N = 20", "theory"]
    theory = tree["theory"].to_dataset().eps_g.isel(time=-1)
    lines = {line.get_label(): line for line in last.lines}
    np.testing.assert_array_equal(lines["theory"].get_ydata(), 2 * [theory[0]])
    theory_map, networks_map, _ = ts.plot(tree).axes
    np.testing.assert_array_equal(
        theory_map.collections[0].get_array(), np.stack(2 * [theory], axis=1)
    )
    assert networks_map.get_title() == "networks"
    last_only = ts.plot(tree.isel(learning_rate=0, time=-1)).axes
    assert [one.get_title() for one in last_only] == ["at t = 1"]
    selected = ts.plot(tree.isel(learning_rate=1, N=0))
    assert selected.legends[0].get_texts()[1].get_text() == "mean of 2 networks, N = 10"
    title = selected.texts[0].get_text()
    assert "learning rate 0.2" in title.replace("\n", " ")
    assert "learning rate 0.1" in ts.plot(tree.isel(learning_rate=0)).texts[0].get_text()


def test_a_curve_is_drawn_only_through_what_is_recorded():
    """Not beyond the selected times, and not where the recorded values were changed."""
    theory = results.beside_each_other(3, 2)["theory"].to_dataset()
    for part in (theory.isel(time=slice(8, 18)), theory.isel(time=[2, -2])):
        (axes,) = ts.plot(part, kind="error").axes
        times = lines_of(axes)["theory"].get_xdata()
        assert times.min() >= part.time[0] and times.max() <= part.time[-1]
        assert len(times) > part.sizes["time"]
    changed = theory.assign(eps_g=2 * theory.eps_g)
    (axes,) = ts.plot(changed, kind="error").axes
    np.testing.assert_array_equal(lines_of(axes)["theory"].get_ydata(), changed.eps_g)
    (axes,) = ts.plot(theory.isel(time=[4]), kind="error").axes
    assert axes.lines[0].get_marker() == "o"  # a line of one point could not be seen
    joined = xr.concat([theory.isel(time=[n]) for n in (1, 2, 3)], "time", data_vars="all")
    (axes,) = ts.plot(joined, kind="R").axes
    np.testing.assert_array_equal(lines_of(axes)["$R_{11}$"].get_xdata(), joined.time)


def test_panels_of_units_have_the_same_limits():
    panels = ts.plot(results.beside_each_other(3, 2), kind="overlaps").axes
    for row in (panels[:3], panels[3:]):
        assert len({one.get_ylim() for one in row}) == 1


def test_a_file_has_a_format_of_figures(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.weird, .* give one of .*\.pdf"):
        ts.plot(results.two_classes(), tmp_path / "figure.weird")


def test_variants_of_different_kinds_are_not_one_figure():
    mixed = results.variants(one=results.two_classes(), many=results.swept(3))
    with pytest.raises(ValueError, match="different kinds: many of one, many are sweeps"):
        ts.plot(mixed)
    at_zero = results.two_classes().isel(time=[0])
    (axes,) = ts.plot(results.variants(one=at_zero)).axes
    assert axes.get_xscale() == "linear"


def test_a_protocol_has_its_switches_and_phases():
    error, R, _ = ts.plot(results.protocol()).axes
    switches = [line for line in R.lines if list(line.get_ydata()) == [0, 1]]
    assert [line.get_xdata()[0] for line in switches] == [2.0, 5.0]
    assert len(R.patches) == 1
    assert [text.get_text() for text in error.texts] == ["phase 1", "phase 2", "phase 3"]
    x, y = lines_of(error)["theory"].get_data()
    assert np.abs(np.diff(y)).max() > 0.1  # the task changes
    assert (np.diff(x) > 0).all()


def test_escape_shows_exponents_and_single_networks():
    (axes,) = ts.plot(results.escape()).axes
    names = legend_of(axes)
    assert f"N^{{{float(results.escape().exponent[0]):.2f}" in names[-1]
    points = [line for line in axes.lines if line.get_marker() == "."]
    assert len(points[0].get_xdata()) == 32


def test_spectra_are_lines_over_eigenvalues():
    theory = results.spectral()
    axes = ts.plot(theory, kind="spectrum").axes
    assert len(axes) == 4
    assert len(legend_of(axes[0])) == 5
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), theory.r[0, :, 0, 0])


def test_a_title_is_that_of_the_experiment():
    experiment = ts.Experiment.read("linear-noisy", changes={"times.points": 5})
    tree = experiment.run(progress=False, theory_only=True)
    headline, parameters = (text.get_text() for text in ts.plot(tree).texts)
    assert headline.replace("\n", " ") == experiment.title
    assert "learning rate" in parameters


def test_lines_of_a_title_fit_and_keep_all_words():
    lines = wrapped(LONG, 40.0, len)
    assert " ".join(lines) == LONG.strip()
    assert 30 < max(map(len, lines)) <= 40


def test_a_title_says_the_selected_value():
    theory = results.swept(3).isel(learning_rate=2)
    assert "learning rate 1" in ts.plot(theory).texts[0].get_text()


def test_the_time_of_a_map_counts_updates():
    assert {axes.get_xlabel() for axes in ts.plot(results.of_updates()).axes} == {
        "time $t$ = updates"
    }
    assert {axes.get_xlabel() for axes in ts.plot(results.two_classes()).axes} == {
        "time $t$ = updates / $N$"
    }


def test_variants_name_what_they_are():
    classes = results.two_classes()
    (axes,) = ts.plot(results.variants(one=classes, other=classes)).axes
    assert axes.get_ylabel() == r"expected loss $E\ell$"
    (axes,) = ts.plot(results.variants(map=results.of_updates(), classes=classes)).axes
    assert axes.get_ylabel() == r"generalisation error $\epsilon_g$ or expected loss $E\ell$"
    assert legend_of(axes) == [
        r"map (t = updates, $\epsilon_g$)",
        r"classes (t = updates / N, $E\ell$)",
    ]
    correlation = ts.Problem(
        ts.GaussianMixture.xor(), ts.Student(2, [0.0, 0.0, -1.0]), ts.SGD(0.05), "correlation"
    )
    negative = ts.integrate(correlation, ts.random_start(correlation, 30), [0, 1, 5])
    (axes,) = ts.plot(results.variants(negative=negative)).axes
    assert axes.get_yscale() == "linear"


def test_measured_errors_are_crosses_with_bars():
    problem = ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.5), ts.Student(2), ts.SGD(0.2))
    start = ts.random_start(problem, N=30)
    simulation = ts.simulate(
        problem, start, results.TIMES[:10], seeds=3, test_samples=1000, progress=False
    )
    error = ts.plot(simulation).axes[0]
    (crosses,) = error.containers
    np.testing.assert_array_equal(crosses.lines[0].get_ydata(), simulation.test_error.mean("seed"))
    assert "delta$ = 0.5" in error.figure.texts[0].get_text()


def test_one_network_is_no_theory():
    networks = results.beside_each_other(3, 2)["simulation"].to_dataset()
    figure = ts.plot(networks.isel(seed=0))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1 network, N = 50"]
    assert len(names_beside(figure.axes[2])) == 6
    with pytest.raises(ValueError, match="results are of one time"):
        ts.plot(networks.isel(time=-1))
    theory = results.beside_each_other(3, 2)["theory"].to_dataset()
    with pytest.raises(ValueError, match="nothing to plot in a comparison"):
        ts.plot(ts.compare(theory.sel(time=networks.time, method="nearest"), networks))


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="nothing to plot"):
        ts.plot(xr.DataTree())


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
    panels = {
        one.get_title(): one for one in ts.plot(as_tree(theory=theory, simulation=networks)).axes
    }
    assert {"total", "trace", "first"} < set(panels)
    assert "wide" not in panels  # too many lines to be told apart
    assert len(panels["total"].lines[0].get_xdata()) < len(panels["total"].lines[1].get_xdata())
    assert len(panels["first"].lines) == 2


def test_a_committee_by_default_is_drawn_unit_by_unit():
    theory = ts.integrate(committee(5, 3), random_overlaps(5, 3), [0.0, 1.0, 5.0], rtol=1e-6)
    titles = [one.get_title() for one in ts.plot(theory).axes]
    assert titles[1:] == 2 * [f"student {k}" for k in range(1, 6)]
