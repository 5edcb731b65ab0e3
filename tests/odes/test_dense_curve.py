"""The dense curve that a theory keeps for drawing: from the same solve, seen by nothing else."""

import numpy as np
import pytest

import teacherstudent as ts
from odes.solving.curve import POINTS, times_between
from teacherstudent.results.dense_curves import CURVE_TIME, curve_of
from tests.problems import committee, random_overlaps

TIMES = np.array([0.0, 0.3, 2.0, 10.0])


def recorded(data):
    return data.drop_vars([name for name in data.variables if str(name).startswith("curve_")])


def protocol():
    first, second = committee(learning_rate=0.3), committee(learning_rate=0.6)
    return ts.Protocol((first, ts.until("eps_g", below=0.15)), (second, 3.0), (first, 50.0))


@pytest.mark.parametrize(
    ("problem", "options"),
    [
        pytest.param(committee(readout_learning_rate=0.1), {}, id="dopri8"),
        pytest.param(committee(), {"rtol": 1e-6}, id="tsit5"),
        pytest.param(
            committee(),
            {"observables": ["alignment", "drift_Q"]},
            id="observables",
            marks=pytest.mark.long,
        ),
        pytest.param(
            committee(), {"solver": "kvaerno5", "rtol": 1e-5}, id="kvaerno5", marks=pytest.mark.long
        ),
        pytest.param(protocol(), {}, id="protocol", marks=pytest.mark.long),
    ],
)
def test_no_other_number_changes(problem, options):
    """Bit by bit."""
    start = random_overlaps(3, 2)
    with_curve = ts.integrate(problem, start, TIMES, **options)
    without = ts.integrate(problem, start, TIMES, curve=False, **options)
    assert CURVE_TIME in with_curve.dims and CURVE_TIME not in without.dims
    assert set(recorded(with_curve).variables) == set(without.variables)
    for name in without.variables:
        np.testing.assert_array_equal(with_curve[name], without[name])


def test_it_is_the_solution_in_between():
    problem, start = committee(), random_overlaps(3, 2)
    curve = curve_of(ts.integrate(problem, start, TIMES, observables=["norms"]))
    assert POINTS - 5 < curve.sizes["time"] <= POINTS and "norms" in curve
    some = curve.isel(time=slice(5, None, 25))
    exact = ts.integrate(problem, start, some.time.values, rtol=1e-11, observables=["norms"])
    for name in ("Q", "R", "v", "eps_g", "norms"):
        np.testing.assert_allclose(some[name], exact[name], atol=1e-6)


def test_times_are_dense_after_the_first_and_everywhere():
    times = times_between(np.array([2.0, 2.1, 50.0, 102.0]), 256)
    assert len(times) == 256 and times[0] == 2.0 and times[-1] == 102.0
    assert (np.diff(times) >= 0).all() and np.diff(times).max() < 1.5
    assert ((times > 2.0) & (times < 2.1)).sum() > 20


def test_a_resumed_solve_has_the_same_curve(tmp_path):
    problem, start = committee(), random_overlaps(3, 2)
    whole = ts.integrate(problem, start, TIMES, rtol=1e-6)
    kept = ts.integrate(problem, start, TIMES, rtol=1e-6, checkpoint=tmp_path / "solve.ckpt")
    for name in whole.variables:
        np.testing.assert_array_equal(whole[name], kept[name])


def test_files_hold_it_and_nothing_looks_at_it(tmp_path):
    problem, start = committee(), random_overlaps(3, 2)
    theory = ts.integrate(problem, start, TIMES)
    networks = ts.simulate(problem, start, TIMES, N=60, seeds=6, progress=False)
    ts.save(tmp_path / "curve.h5", theory=theory, simulation=networks)
    assert ts.validate(tmp_path / "curve.h5").ok
    read = ts.load(tmp_path / "curve.h5")["theory"].to_dataset()
    np.testing.assert_array_equal(read.curve_Q, theory.curve_Q)
    lazy = ts.load(tmp_path / "curve.h5", lazy=True)
    np.testing.assert_array_equal(lazy["theory"].curve_R, theory.curve_R)
    lazy.close()
    with_curve, without = (ts.compare(one, networks) for one in (theory, recorded(theory)))
    assert with_curve.attrs["verdict"] == without.attrs["verdict"]
    assert set(with_curve.variables) == set(without.variables)
    states = [ts.last_state(one) for one in (read, recorded(theory))]
    np.testing.assert_array_equal(*(one.Q for one in states))
    assert ts.state_at(theory, 2.0).time == 2.0


def test_a_protocols_curve_jumps_at_its_switches():
    theory = ts.integrate(protocol(), random_overlaps(3, 2), TIMES)
    times = theory[CURVE_TIME].values
    assert (np.diff(times) >= 0).all()
    for switch in theory.switch_time.values:
        assert switch in times


def test_sweeps_batches_and_maps_have_none():
    start = random_overlaps(3, 2)
    assert CURVE_TIME not in ts.integrate(committee(learning_rate=[0.1, 0.2]), start, TIMES).dims
    batch = ts.OrderParameters(*(np.stack([one, one]) for one in (start.Q, start.R, start.T)))
    assert CURVE_TIME not in ts.integrate(committee(), batch, TIMES).dims
    over = {"student.width": [3]}
    tree = ts.sweep(committee(), start, TIMES, over, simulation=False, workers=1)
    assert CURVE_TIME not in tree["theory"].dims


def test_an_error_by_quadrature_is_not_computed_at_so_many_times():
    problem = ts.Problem(ts.TeacherStudent(1, "tanh"), ts.Student(1, "tanh"), ts.SGD(0.3))
    theory = ts.integrate(problem, ts.OrderParameters([[0.5]], [[0.1]]), TIMES, rtol=1e-5)
    assert "curve_R" in theory and "curve_eps_g" not in theory
    assert np.isfinite(theory.eps_g).all()


def test_curve_is_a_truth_value():
    with pytest.raises(ValueError, match="curve"):
        ts.integrate(committee(), random_overlaps(3, 2), TIMES, curve="yes")


@pytest.mark.long
def test_a_protocol_whose_phases_have_other_curves_keeps_what_they_share():
    first = committee()
    other = ts.Problem(ts.TeacherStudent(2, "tanh"), ts.Student(3), ts.SGD(0.3))
    protocol = ts.Protocol((first, 2.0), (other, 2.0))
    theory = ts.integrate(protocol, random_overlaps(3, 2), np.linspace(0, 4, 5), rtol=1e-4)
    assert "curve_Q" in theory and "curve_eps_g" not in theory


def test_an_observable_cannot_take_the_name_of_a_curve():
    norm = ts.Observable("curve_x", (), "$x$", of=lambda o: o.Q[0, 0])
    with pytest.raises(ValueError, match="names that begin with curve_"):
        ts.integrate(committee(), random_overlaps(3, 2), TIMES, observables=[norm])
