import numpy as np
import pytest

import teacherstudent as ts

TIMES = [0.0, 1.0, 4.0]
STUDENT = ts.Student(2, "linear")
TASK = ts.TeacherStudent(2, "linear", noise=0.1)
START = ts.random_start(ts.Problem(TASK, STUDENT, ts.SGD(0.2)), 30)


def problem(rate=0.2, task=TASK) -> ts.Problem:
    return ts.Problem(task, STUDENT, ts.SGD(rate))


def test_one_time_is_the_state_at_it():
    theory = ts.integrate(problem(), START, TIMES)
    state = ts.start_of(theory.isel(time=-1))
    np.testing.assert_allclose(state.Q, theory.Q[-1], atol=1e-12)
    np.testing.assert_array_equal(state.R, theory.R[-1])
    np.testing.assert_array_equal(state.T, START.T)
    # a run in two parts is the run
    rest = ts.integrate(problem(), ts.start_of(theory.isel(time=1)), [0.0, 3.0])
    np.testing.assert_allclose(rest.Q[-1], theory.Q[-1], rtol=1e-6)
    np.testing.assert_array_equal(ts.start_of(theory).Q, START.Q)
    np.testing.assert_array_equal(ts.start_of(theory.isel(time=0)).Q, START.Q)


def test_times_without_the_first_have_no_start():
    theory = ts.integrate(problem(), START, TIMES)
    with pytest.raises(ValueError, match=r"begin at t = 1, and have no start in them"):
        ts.start_of(theory.isel(time=slice(1, None)))
    with pytest.raises(ValueError, match="have no time"):
        ts.start_of(theory.isel(time=1, drop=True))
    late = ts.integrate(problem(), START, TIMES[1:])  # asked at late times, but a whole run
    np.testing.assert_array_equal(ts.start_of(late).Q, START.Q)


def test_modes_are_needed_where_there_are_several():
    task = ts.GaussianEquivalent.anisotropic(
        np.linspace(0.5, 1.5, 10), width=2, activation="linear"
    )
    start = ts.random_start(problem(task=task))
    theory = ts.integrate(problem(task=task), start, TIMES, spectral=True)
    rest = ts.integrate(problem(task=task), ts.start_of(theory.isel(time=1)), [0.0, 3.0])
    np.testing.assert_allclose(rest.Q[-1], theory.Q[-1], rtol=1e-6)
    with pytest.raises(ValueError, match=r"no overlaps by mode at t = 4"):
        ts.start_of(theory.drop_vars(["q", "r"]).isel(time=-1))
    signs = ts.Problem(task, STUDENT, ts.SignSGD(0.1))
    theory = ts.integrate(signs, start, [0.0, 0.1], spectral=True)
    with pytest.raises(ValueError, match="modes of signs"):
        ts.start_of(theory.isel(time=-1))


def test_a_curve_of_a_sweep_is_the_problem_with_its_number():
    theory = ts.integrate(problem([0.1, 0.3]), START, TIMES)
    one = theory.isel(learning_rate=1)
    assert ts.problem_of(one).rule.learning_rate == 0.3
    assert ts.problem_of(theory).rule.learning_rate.tolist() == [0.1, 0.3]
    np.testing.assert_array_equal(ts.start_of(theory).Q, START.Q)
    with pytest.raises(ValueError, match=r"do not say of which learning_rate"):
        ts.problem_of(theory.isel(learning_rate=1, drop=True))
    with pytest.raises(
        ValueError, match=r"a state for each learning_rate; select one, isel\(learning_rate=0"
    ):
        ts.start_of(theory.isel(time=-1))


def test_a_start_of_a_batch_is_the_selected_one():
    other = ts.random_start(problem(), 30, seed=1)
    batch = ts.OrderParameters(
        *(np.stack([getattr(one, name) for one in (START, other)]) for name in "QRTv")
    )
    theory = ts.integrate(problem(), batch, TIMES)
    np.testing.assert_array_equal(ts.start_of(theory.isel(start=1)).Q, other.Q)
    np.testing.assert_array_equal(ts.start_of(theory.isel(start=1, time=-1)).T, other.T)
    np.testing.assert_array_equal(ts.start_of(theory).Q, batch.Q)
    with pytest.raises(ValueError, match="which start of the batch"):
        ts.start_of(theory.isel(start=1, drop=True))


def test_a_seed_at_a_time():
    found = ts.simulate(problem(), START, TIMES, N=20, seeds=[3, 7])
    state = ts.start_of(found.sel(seed=7).isel(time=-1))
    np.testing.assert_allclose(state.R, found.R.sel(seed=7).isel(time=-1))
    with pytest.raises(ValueError, match="a state for each seed"):
        ts.start_of(found.isel(time=-1))
    with pytest.raises(ValueError, match="which seed"):
        ts.start_of(found.isel(time=-1).mean("seed", keep_attrs=True))


def test_what_is_no_result():
    with pytest.raises(ValueError, match="do not say how they were made"):
        ts.start_of(ts.integrate(problem(), START, TIMES).drop_attrs())
    theory = ts.integrate(problem(), START, TIMES)
    found = ts.compare(theory, ts.simulate(problem(), START, TIMES, N=20, seeds=2))
    with pytest.raises(ValueError, match="the data are a comparison, which has no start"):
        ts.start_of(found)
    theory.Q[-1] = np.nan
    with pytest.raises(ValueError, match="did not reach t = 4"):
        ts.start_of(theory.isel(time=-1))
