"""Observables of one's own in both verbs, in files and in comparisons; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import description
from tests.problems import committee, random_overlaps
from tests.sims.interruption import interrupted_after

TIMES = [0.0, 0.4, 1.0]
N = 60  # beside K = 3 and M = 2


def gaps(state: ts.OrderParameters):
    """v_k Q_kk - sum_m R_km T_mm: every field of the overlaps takes part."""
    return state.v * jnp.diag(state.Q) - state.R @ jnp.diag(state.T) + state.b


GAPS = ts.Observable("gaps", ("student",), r"$g_k$", of=gaps, long_name="gaps", units="1")
TRACE = ts.Observable("trace", (), r"$\mathrm{tr}\,Q$", of=lambda o: jnp.trace(o.Q))
POWERS = ts.Observable(
    "powers",
    ("unit", "power"),
    r"$Q^p$",
    of=lambda o: jnp.diag(o.Q)[:, None] ** jnp.arange(1.0, 5.0)[None, :],
)
LARGEST = ts.Observable(
    "largest", ("student",), r"$\max_i |w_{ki}|$", of_weights=lambda n: jnp.abs(n.w).max(axis=1)
)
TEACHER = ts.Observable("w_0", ("teacher",), r"$w^*_{m0}$", of_weights=lambda n: n.w_star[:, 0])


def gaps_by_hand(data):
    """The same from the recorded Q, R, T, v, by NumPy, without the help of one state at a time."""
    diagonal = np.einsum("...kk->...k", data.Q.values)
    return data.v.values * diagonal - data.R.values @ np.diag(data["T"].values)


@pytest.fixture(scope="module")
def theory():
    problem = committee(readout_learning_rate=0.2)
    return ts.integrate(problem, random_overlaps(3, 2), TIMES, observables=[GAPS, TRACE, POWERS])


@pytest.fixture(scope="module")
def networks():
    problem = committee(readout_learning_rate=0.2)
    observables = [GAPS, TRACE, POWERS, LARGEST, TEACHER]
    return ts.simulate(problem, random_overlaps(3, 2), TIMES, N=N, seeds=6, observables=observables)


def test_the_theory_records_functions_of_its_overlaps(theory):
    assert theory.gaps.dims == ("time", "student")
    assert theory.gaps.attrs == {"long_name": "gaps", "symbol": r"$g_k$", "units": "1"}
    np.testing.assert_allclose(theory.gaps, gaps_by_hand(theory), rtol=1e-13)
    np.testing.assert_allclose(theory.trace, np.einsum("tkk->t", theory.Q), rtol=1e-13)
    assert dict(theory.powers.sizes) == {"time": 3, "unit": 3, "power": 4}
    assert all(theory[name].dtype == np.float64 for name in ("gaps", "trace", "powers"))


def test_networks_record_the_same_functions_of_their_own_overlaps(networks):
    assert networks.gaps.dims == ("seed", "time", "student")
    np.testing.assert_allclose(networks.gaps, gaps_by_hand(networks), rtol=1e-13)
    assert networks.trace.dims == ("seed", "time")
    assert networks.powers.shape == (6, 3, 3, 4)


def test_networks_record_functions_of_their_weights():
    rng = np.random.default_rng(0)
    w, w_star = rng.standard_normal((3, N)), rng.standard_normal((2, N))
    start = ts.start_from_weights(committee(), w, w_star=w_star)
    entries = ts.Observable("entries", ("student", "input"), r"$w_{ki}$", of_weights=lambda n: n.w)
    simulation = ts.simulate(
        committee(), start, TIMES, seeds=2, dtype="float64", observables=[entries, LARGEST, TEACHER]
    )
    assert simulation.entries.dims == ("seed", "time", "student", "input")
    np.testing.assert_array_equal(simulation.entries.isel(time=0, seed=1), w)
    Q = np.einsum("stki,stli->stkl", simulation.entries, simulation.entries) / N
    np.testing.assert_allclose(simulation.Q, Q, rtol=1e-12)
    np.testing.assert_array_equal(simulation.largest, abs(simulation.entries).max("input"))
    np.testing.assert_array_equal(simulation.w_0[1, 2], w_star[:, 0])


def test_the_reduced_chain_records_functions_of_overlaps():
    simulation = ts.simulate(
        committee(),
        random_overlaps(3, 2),
        TIMES,
        N=N,
        seeds=4,
        method="reduced",
        observables=[GAPS],
    )
    np.testing.assert_allclose(simulation.gaps, gaps_by_hand(simulation), rtol=1e-13)


def test_weights_decide_the_method():
    arguments = {"N": N, "seeds": 1, "observables": [LARGEST]}
    simulation = ts.simulate(committee(), random_overlaps(3, 2), [0.0], method="auto", **arguments)
    assert description(simulation)["report"]["method"] == "weights"
    with pytest.raises(ValueError, match="observable 'largest' is for whole inputs and weights"):
        ts.simulate(committee(), random_overlaps(3, 2), [0.0], method="reduced", **arguments)


def test_other_numbers_are_the_same_with_observables(networks):
    problem = committee(readout_learning_rate=0.2)
    without = ts.simulate(problem, random_overlaps(3, 2), TIMES, N=N, seeds=6)
    for name in without.data_vars:
        np.testing.assert_array_equal(without[name], networks[name])


def test_sweeps_and_batches_have_them_for_every_curve():
    starts = [random_overlaps(3, 2, seed=seed) for seed in (1, 2)]
    fields = {name: np.stack([getattr(one, name) for one in starts]) for name in ("Q", "R", "T")}
    problem = committee(learning_rate=[0.1, 0.2, 0.3, 0.4])
    swept = ts.integrate(problem, ts.OrderParameters(**fields), TIMES, observables=[GAPS])
    assert swept.gaps.dims == ("learning_rate", "start", "time", "student")
    for number in range(2):
        curve = swept.isel(start=number, learning_rate=2)
        np.testing.assert_allclose(curve.gaps, gaps_by_hand(curve), rtol=1e-13)


@pytest.mark.long
def test_they_are_nan_where_the_answer_is():
    problem = committee(2, 3, activation="quadratic", learning_rate=[0.01, 0.5])
    with pytest.warns(UserWarning, match="1 of 2 curves"):
        swept = ts.integrate(problem, random_overlaps(2, 3), [0.0, 20.0], observables=[TRACE])
    np.testing.assert_array_equal(np.isnan(swept.trace), np.isnan(swept.eps_g))
    assert np.isnan(swept.trace).any()


def test_what_came_before_a_divergence_has_them():
    problem = committee(2, 3, activation="quadratic", learning_rate=0.5)
    with pytest.raises(ts.DivergenceError) as failure:
        ts.integrate(problem, random_overlaps(2, 3), [0.0, 20.0], observables=[TRACE])
    assert failure.value.partial.trace.sizes == {"time": 1}
    faster = committee(2, 3, activation="quadratic", learning_rate=1.0)
    with pytest.raises(ts.DivergenceError) as failure:
        ts.simulate(
            faster, random_overlaps(2, 3), [0.0, 0.02, 5.0], N=100, seeds=3, observables=[TRACE]
        )
    assert failure.value.partial.trace.sizes == {"seed": 3, "time": 2}


def test_a_nan_of_ones_own_is_no_divergence():
    ratio = ts.Observable("ratio", (), "r", of=lambda o: 0.0 / (o.Q[0, 0] - o.Q[0, 0]))
    simulation = ts.simulate(
        committee(), random_overlaps(3, 2), TIMES, N=N, seeds=1, observables=[ratio]
    )
    assert np.isnan(simulation.ratio).all()


def test_errors_of_other_problems_are_observables():
    other = committee(activation="linear")
    error = ts.Observable(
        "other", (), r"$\epsilon'$", of=lambda o: ts.generalisation_error(other, o)
    )
    theory = ts.integrate(committee(), random_overlaps(3, 2), TIMES, observables=[error])
    for index in range(3):
        here = theory.isel(time=index)
        state = ts.OrderParameters(here.Q.values, here.R.values, here["T"].values)
        assert float(here.other) == pytest.approx(float(ts.generalisation_error(other, state)))


def test_alignment_is_a_cosine(theory):
    problem, start = committee(), random_overlaps(3, 2)
    found = ts.integrate(problem, start, TIMES, observables=[ts.alignment(problem.task)])
    lengths = np.sqrt(np.einsum("tkk->tk", found.Q))[:, :, None] * np.sqrt(np.diag(found["T"]))
    np.testing.assert_allclose(found.alignment, found.R / lengths, rtol=1e-13)
    assert (abs(found.alignment) <= 1).all()


@pytest.mark.long
def test_with_two_classes_there_are_directions_and_biases():
    task = ts.SpikedCumulant(latent="rademacher", beta=2.0)
    problem = ts.Problem(task, ts.Student(2, "erf", train_bias=True), ts.SGD(0.1))
    start = ts.OrderParameters(0.5 * np.eye(2), m=np.full((2, 1), 0.1), b=[0.1, 0.2])
    product = ts.Observable(
        "product", ("student", "direction"), r"$b_k m_{ka}$", of=lambda o: o.b[:, None] * o.m
    )
    both = [product, ts.alignment(task)]
    theory = ts.integrate(problem, start, TIMES, observables=both)
    networks = ts.simulate(problem, start, TIMES, N=N, seeds=2, observables=both)
    for data in (theory, networks):
        np.testing.assert_allclose(data.product, data.b * data.m, rtol=1e-13)
        assert data.alignment.dims[-1] == "direction"
    wrong = ts.Observable("R_0", ("teacher",), "$R_0$", of=lambda o: o.R[0])
    with pytest.raises(ValueError, match="dimension 'teacher', which is something else"):
        ts.integrate(problem, start, TIMES, observables=[wrong])


def test_files_and_figures_take_them(theory, networks, tmp_path):
    path = tmp_path / "run.h5"
    ts.save(path, theory=theory, simulation=networks)
    tree = ts.load(path)
    for group, data in (("theory", theory), ("simulation", networks)):
        for name in ("gaps", "trace", "powers"):
            np.testing.assert_array_equal(tree[group][name], data[name])
            assert tree[group][name].dims == data[name].dims
            assert tree[group][name].attrs == data[name].attrs
    ts.plot(tree, tmp_path / "run.png")


def test_comparisons_take_what_both_have(theory, networks):
    report = ts.compare(theory, networks)
    assert report.verdict.startswith(("AGREE", "UNDECIDED"))
    deviation = theory.gaps - networks.gaps.mean("seed").assign_coords(time=theory.time)
    np.testing.assert_allclose(report.gaps_deviation, deviation, atol=1e-12)
    assert "trace_z" in report and "largest_z" not in report
    wrong = networks.assign(gaps=networks.gaps + 10.0 * np.sin(1.0 + networks.time))
    assert ts.compare(theory, wrong).verdict.startswith(("DISAGREE", "INVALID"))


def test_comparisons_refuse_different_dimensions(theory, networks):
    with pytest.raises(ValueError, match="give both verbs the same observable"):
        ts.compare(theory, networks.assign(gaps=networks.trace))


def test_they_go_through_checkpoints(tmp_path):
    problem, start, path = committee(), random_overlaps(3, 2), str(tmp_path / "run.ckpt")
    both = [GAPS, LARGEST]
    straight = ts.simulate(problem, start, TIMES, N=300, seeds=2, observables=both)
    with interrupted_after(200):
        ts.simulate(problem, start, TIMES, N=300, seeds=2, observables=both, checkpoint=path)
    with pytest.raises(ValueError, match="test samples or observables"):
        ts.simulate(problem, start, TIMES, N=300, seeds=2, observables=[GAPS], checkpoint=path)
    resumed = ts.simulate(problem, start, TIMES, N=300, seeds=2, observables=both, checkpoint=path)
    for name in ("Q", "gaps", "largest"):
        np.testing.assert_array_equal(resumed[name], straight[name])


@pytest.mark.long
def test_groups_of_seeds_are_put_together(monkeypatch):
    problem, start = committee(), random_overlaps(3, 2)
    arguments = {"N": N, "seeds": 4, "observables": [GAPS, LARGEST]}
    together = ts.simulate(problem, start, TIMES, **arguments)
    monkeypatch.setattr(
        "sims.two_layer.groups_that_fit", lambda seeds, *rest: [seeds[:3], seeds[3:]]
    )
    apart = ts.simulate(problem, start, TIMES, **arguments)
    for name in ("gaps", "largest"):
        np.testing.assert_array_equal(apart[name], together[name])


def of_overlaps(name, dims, of):
    return ts.Observable(name, dims, "$x$", of=of)


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        (GAPS, r"observables is one Observable; give a list, \[gaps\]"),
        ("gaps", "observables is a str; give a list of ts.Observable"),
        ([gaps], r"observables\[0\] is a function; give a ts.Observable"),
        ([GAPS, GAPS], "observables has two of the name 'gaps'"),
        ([of_overlaps("Q", (), jnp.trace)], "observable 'Q': results have a Q of their own"),
        ([of_overlaps("time", (), jnp.trace)], "'time': results have a time of their own"),
        (
            [of_overlaps("x", ("seed",), lambda o: o.v)],
            "observable 'x' has the dimension 'seed', which is something else",
        ),
        (
            [of_overlaps("x", ("x",), lambda o: o.v)],
            "observable 'x' has the dimension 'x', which is something else",
        ),
        (
            [of_overlaps("x", (), lambda o: np.linalg.norm(o.Q))],
            "observable 'x' fails on one state .TracerArrayConversionError: .*with jax.numpy",
        ),
        (
            [of_overlaps("x", (), lambda o: o.overlap)],
            "observable 'x' fails on one state .AttributeError: .*overlap",
        ),
        ([of_overlaps("x", (), lambda o: None)], "observable 'x' answers nothing"),
        ([of_overlaps("x", (), lambda o: (o.Q, o.R))], "observable 'x' answers a tuple"),
        (
            [of_overlaps("x", (), lambda o: jax.lax.complex(o.v, o.v))],
            "observable 'x' answers numbers of the type complex128; .*real",
        ),
        (
            [of_overlaps("x", ("student",), lambda o: o.Q)],
            r"observable 'x' answers an array of shape \(3, 3\), but has dims = \('student',\)",
        ),
        (
            [of_overlaps("x", ("teacher",), lambda o: o.v)],
            r"shape \(3,\) for dims = \('teacher',\), but 'teacher' has the size 2",
        ),
        (
            [of_overlaps("x", ("a",), lambda o: o.v), of_overlaps("y", ("a",), lambda o: o.R[0])],
            r"observable 'y' answers .* but 'a' has the size 3",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["integrate", "simulate"])
def test_what_does_not_fit_is_refused_at_once(verb, observables, message):
    arguments = {"N": N} if verb == "simulate" else {}
    with pytest.raises(ValueError, match=message):
        getattr(ts, verb)(
            committee(), random_overlaps(3, 2), [1e6], observables=observables, **arguments
        )


def test_the_theory_has_no_weights():
    with pytest.raises(ValueError, match="'largest' is a function of a network's weights, which"):
        ts.integrate(committee(), random_overlaps(3, 2), TIMES, observables=[LARGEST])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "two words"}, "observable.name = 'two words'"),
        ({"dims": "student"}, r"dims = 'student'; give a tuple of names, \('student',\)"),
        ({"dims": 3}, "dims = 3; give a tuple of names"),
        ({"dims": ("student", "student")}, "'student' twice; name the second one 'student_'"),
        ({"symbol": 1}, "symbol = 1; give a string"),
        ({"of": None}, "observable 'x' has 0 functions; give either of="),
        ({"of_weights": gaps}, "observable 'x' has 2 functions"),
        ({"of": 3.0}, "observable 'x' has 3.0 for its function"),
    ],
)
def test_an_observable_says_what_it_needs(arguments, message):
    usual = {"name": "x", "dims": (), "symbol": "$x$", "of": gaps}
    with pytest.raises(ValueError, match=message):
        ts.Observable(**(usual | arguments))


def test_a_misspelt_argument_is_named():
    with pytest.raises(TypeError, match="Observable has no argument 'longname'; did you mean"):
        ts.Observable("x", (), "$x$", of=gaps, longname="x")
