"""Networks that go through the phases of a protocol, bit by bit those of runs that are joined."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long
from tests.processes import quick_compilation
from tests.protocols import (
    K,
    assert_identical,
    begin,
    begin_of_classes,
    manifold,
    on_teacher,
    two_classes,
)
from tests.sims.interruption import interrupted_after

N = 64
TIMES = [0.0, 0.5, 1.0, 1.5, 2.0]
BALL = on_teacher(0, ts.HeavyBall(0.4, gamma=1.5))


def run(problem, times=TIMES, start=None, **options):
    options = {"N": N, "seeds": 3, "progress": False} | options
    return ts.simulate(problem, start or begin(), times, **options)


def go_on(problem, before, times, **options):
    """The same networks, on another problem from their last time on."""
    return ts.simulate(problem, ts.last_state(before), times, progress=False, **options)


def later_than(data, t):
    return data.sel(time=data.time > t)


@pytest.mark.long
@pytest.mark.parametrize(
    ("problem", "method"),
    [(on_teacher(0), "weights"), (BALL, "weights"), (BALL, "reduced")],
    ids=["SGD", "momentum", "momentum of the chain"],
)
def test_one_problem_in_two_phases_is_one_run(problem, method):
    """Random streams and the memory of the rule go on, also at a time that is not recorded."""
    whole = run(problem, method=method)
    for duration in (1.0, 0.75):
        twice = run(ts.Protocol((problem, duration), (problem, 10.0)), method=method)
        assert_identical(twice, whole)
        assert twice.phase.values.tolist() == [[0, 0, 0 if duration == 1.0 else 1, 1, 1]] * 3
        np.testing.assert_array_equal(twice.switch_time, duration)


CHANGES = {
    # name: the two problems, their start, options
    "teacher": (on_teacher(0), on_teacher(1), None, {}),
    "rule": (on_teacher(0), BALL, None, {}),
    "rule that forgets": (BALL, on_teacher(1), None, {}),
    "trained layers": (on_teacher(0), on_teacher(0, both_layers=True), None, {}),
    "batch": (on_teacher(0), on_teacher(0, batch_size=4), None, {}),
    "chain": (on_teacher(0), on_teacher(1), None, {"method": "reduced"}),
    "loss": (two_classes(loss="correlation"), two_classes(), begin_of_classes(), {}),
    "float64": (on_teacher(0), on_teacher(1), None, {"dtype": "float64"}),
}


@pytest.mark.parametrize("change", mostly_long(CHANGES, ["teacher", "rule that forgets", "chain"]))
def test_a_protocol_is_its_runs_joined(change):
    first, second, start, options = CHANGES[change]
    names = ("Q", "m", "v", "b", "loss") if start is not None else ("Q", "R", "v", "eps_g")
    protocol = ts.Protocol((first, 1.0), (second, 10.0))
    whole = run(protocol, start=start, **options)
    kept = {} if options.get("method") == "reduced" else {"keep": "weights"}
    one = run(first, [0.0, 0.5, 1.0], start, **options, **kept)
    two = go_on(second, one, [1.0, 1.5, 2.0])
    assert_identical(whole.isel(time=slice(3)), one, names)
    assert_identical(later_than(whole, 1.0), later_than(two, 1.0), names)
    stays = run(first, start=start, **options)
    assert float(abs(whole.Q[:, -1] - stays.Q[:, -1]).max()) > 1e-3


def test_a_protocol_is_a_piecewise_schedule():
    rates = ts.piecewise([0.5, 0.1], [0.75])
    phases = ts.Protocol((on_teacher(0, ts.SGD(0.5)), 0.75), (on_teacher(0, ts.SGD(0.1)), 10.0))
    for method in ("weights", "reduced"):
        at_once = run(on_teacher(0, ts.SGD(rates)), method=method)
        assert_identical(run(phases, method=method), at_once)


def test_a_momentum_begins_anew_behind_another_rule():
    between = ts.Protocol((BALL, 0.5), (on_teacher(0), 0.5), (BALL, 10.0))
    whole = run(between, keep="weights")
    before = run(ts.Protocol((BALL, 0.5), (on_teacher(0), 0.5)), [0.0, 0.5, 1.0], keep="weights")
    more = go_on(BALL, before, [1.0, 1.5, 2.0], keep="weights")
    assert_identical(later_than(whole, 1.0), later_than(more, 1.0))
    # From the end of a protocol a run goes on, too.
    longer = run(between, [*TIMES, 2.5])
    assert_identical(longer.isel(time=[-1]), go_on(BALL, whole, [2.0, 2.5]).isel(time=[-1]))


# ---- thresholds ----

DENSE = np.arange(25) / 8  # whole numbers of updates
LEVEL = 0.24
UNTIL = ts.until("eps_g", below=LEVEL)


def first_below(data, level):
    """For each seed the first recorded time at which its error is below."""
    return data.time.values[(data.eps_g.values < level).argmax(axis=1)]


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["weights"]))
def test_each_seed_goes_on_at_the_first_recorded_time_beyond_its_threshold(method):
    """As a run of this seed alone, joined by hand at that time."""
    protocol = ts.Protocol((on_teacher(0), UNTIL), (on_teacher(1), 10.0))
    data = run(protocol, DENSE, method=method)
    alone = run(on_teacher(0), DENSE, method=method)
    switches = first_below(alone, LEVEL)
    np.testing.assert_array_equal(data.switch_time.values[:, 0], switches)
    assert len(set(switches)) > 1 and switches.max() < 3
    kept = {"keep": "weights"} if method == "weights" else {}
    for seed, switch in enumerate(switches):
        times = DENSE[switch >= DENSE]
        one = run(on_teacher(0), times, method=method, seeds=[seed], **kept)
        two = go_on(on_teacher(1), one, DENSE[switch <= DENSE])
        mine = data.isel(seed=[seed])
        assert_identical(mine.sel(time=data.time <= switch), one)
        assert_identical(later_than(mine, switch), later_than(two, switch))
        expected = (data.time.values > switch).astype(int)
        np.testing.assert_array_equal(mine.phase[0], expected)


def total(at):
    return (at.R**2).sum()


RANK = ts.until("effective_rank", below=2.55)
TOTAL = ts.until(ts.Observable("total", (), "$r^2$", of=total), above=0.2)


@pytest.mark.parametrize(
    "until",
    mostly_long([RANK, TOTAL], [RANK]),
)
def test_other_quantities_than_the_error(until):
    protocol = ts.Protocol((on_teacher(0), until), (on_teacher(1), 10.0))
    observables = [until.quantity]
    alone = run(on_teacher(0), DENSE, observables=observables)
    met = until.is_met(alone[until.name].values)
    assert met.any(axis=1).all()
    data = run(protocol, DENSE, observables=observables)
    np.testing.assert_array_equal(data.switch_time[:, 0], DENSE[met.argmax(axis=1)])
    unrecorded = run(protocol, DENSE)
    assert_identical(unrecorded, data)


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        ("velocity", "until.quantity = 'velocity' is a rate of .* which only the theory has"),
        ("alignment", "until.quantity = 'alignment' is not one number"),
        ("sparsity", "until.quantity = 'sparsity.*' is not one number"),
        ("epsg", "until.quantity = 'epsg' is none of the built-in observables"),
    ],
)
def test_quantities_that_networks_do_not_have_are_refused(quantity, message):
    with pytest.raises(ValueError, match=message):
        run(ts.Protocol((on_teacher(0), ts.until(quantity, below=0.1)), (on_teacher(1), 1.0)))


def test_a_phase_lasts_at_most_within_also_between_two_records():
    until = ts.until("eps_g", below=1e-9, within=0.75)
    data = run(ts.Protocol((on_teacher(0), until), (on_teacher(1), 10.0)))
    assert_identical(data, run(ts.Protocol((on_teacher(0), 0.75), (on_teacher(1), 10.0))))
    np.testing.assert_array_equal(data.switch_time, 0.75)


def test_thresholds_that_are_not_reached_are_told():
    protocol = ts.Protocol((on_teacher(0), ts.until("eps_g", below=0.01)), (on_teacher(1), 10.0))
    alone = run(on_teacher(0))
    assert float(alone.eps_g.min()) > 0.01
    with pytest.warns(
        UserWarning, match="3 of 3 seeds did not end phase 0 of the protocol"
    ) as seen:
        data = run(protocol)
    assert f"the smallest eps_g is {float(alone.eps_g.min()):.6g}" in str(seen[0].message)
    assert_identical(data, alone)
    assert np.isnan(data.switch_time).all() and (data.phase == 0).all()


def test_seeds_that_end_the_last_phase_before_others_are_nan_there():
    protocol = ts.Protocol((on_teacher(0), UNTIL))
    with pytest.warns(UserWarning, match="the protocol ends at t = .*before the last time t = 3"):
        data = run(protocol, DENSE, keep="weights")
    alone = run(on_teacher(0), DENSE)
    switches = first_below(alone, LEVEL)
    assert float(data.time[-1]) == switches.max()
    for seed, switch in enumerate(switches):
        inside = data.time.values <= switch
        assert np.isfinite(data.eps_g[seed, inside]).all()
        assert np.isnan(data.eps_g[seed, ~inside]).all()
    with pytest.raises(ValueError, match=r"ended the protocol before t = .* take state_at"):
        ts.last_state(data)
    assert ts.state_at(data, 0.5).Q.shape == (3, K, K)


# ---- long runs ----

MIXED = ts.Protocol((BALL, UNTIL), (on_teacher(1), 0.375), (BALL, 10.0))


@pytest.mark.parametrize("after", mostly_long([10, 115, 125, 138, 150, 170], [138]))
def test_an_interrupted_run_goes_on_in_the_phase_of_each_seed(after, tmp_path):
    whole = run(MIXED, DENSE, keep="weights")
    assert len({tuple(row) for row in whole.phase.values}) > 1
    path = tmp_path / "run.ckpt"
    with interrupted_after(after):
        run(MIXED, DENSE, keep="weights", checkpoint=path)
    again = run(MIXED, DENSE, keep="weights", checkpoint=path)
    assert_identical(again, whole, ("Q", "R", "v", "eps_g", "phase", "switch_time"))


class Own(Exception):
    """An exception of the user's own."""


@pytest.mark.long
@pytest.mark.parametrize("record", mostly_long([3, 17, 20], [17]))
def test_a_callback_that_fails_between_phases_leaves_a_checkpoint(record, tmp_path):
    whole = run(MIXED, DENSE, method="reduced")

    def fails(t, row):
        assert row["phase"].shape == (3,)
        if t >= DENSE[record]:
            raise Own

    path = tmp_path / "run.ckpt"
    with pytest.raises(Own):
        run(MIXED, DENSE, method="reduced", checkpoint=path, callback=fails)
    again = run(MIXED, DENSE, method="reduced", checkpoint=path)
    assert_identical(again, whole, ("Q", "R", "v", "eps_g", "phase", "switch_time"))


@pytest.mark.parametrize("after", mostly_long([31, 40], [31]))
def test_a_run_that_stood_at_the_end_of_a_phase_goes_on(after, tmp_path):
    """The first phase ends after 32 steps, at a time that is not recorded."""
    protocol = ts.Protocol((on_teacher(0), 0.5), (on_teacher(1), 10.0))
    times = [0.0, 1.0, 2.0]
    path = tmp_path / "run.ckpt"
    with interrupted_after(after):
        run(protocol, times, checkpoint=path)
    assert_identical(run(protocol, times, checkpoint=path), run(protocol, times))


def test_a_checkpoint_belongs_to_its_protocol(tmp_path):
    path = tmp_path / "run.ckpt"
    with interrupted_after(30):
        run(MIXED, DENSE, checkpoint=path)
    other = ts.Protocol((BALL, UNTIL), (on_teacher(1), 0.5), (BALL, 10.0))
    with pytest.raises(ValueError, match="run.ckpt"):
        run(other, DENSE, checkpoint=path)


@pytest.mark.long
def test_groups_of_seeds_go_through_the_phases_as_all_together(monkeypatch):
    whole = run(MIXED, DENSE)
    monkeypatch.setattr(
        "sims.two_layer.groups_that_fit", lambda seeds, *rest: [seeds[:2], seeds[2:]]
    )
    names = ("Q", "R", "v", "eps_g", "phase", "switch_time")
    assert_identical(run(MIXED, DENSE), whole, names)


ON_TWO_DEVICES = """
import json, numpy as np, teacherstudent as ts
from tests.sims.test_protocols import DENSE, MIXED, run
data = run(MIXED, DENSE, method="METHOD")
print(json.dumps([data.eps_g.values.tolist(), data.switch_time.values.tolist()]))
"""


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], []))
def test_two_devices_give_the_same_numbers(method):
    environment = {
        **os.environ,
        **quick_compilation(),
        "JAX_ENABLE_X64": "1",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2",
    }
    code = ON_TWO_DEVICES.replace("METHOD", method)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    eps_g, switches = json.loads(done.stdout.splitlines()[-1])
    whole = run(MIXED, DENSE, method=method)
    np.testing.assert_allclose(eps_g, whole.eps_g, rtol=1e-6)
    np.testing.assert_array_equal(switches, whole.switch_time)


def test_networks_on_a_hidden_manifold_change_their_teacher():
    start = ts.random_start(manifold(0), N=60, seed=0)
    protocol = ts.Protocol((manifold(0), 1.0), (manifold(1), 10.0))
    options = {"N": None, "seeds": 2}
    whole = run(protocol, start=start, **options)
    one = run(manifold(0), [0.0, 0.5, 1.0], start, keep="weights", **options)
    two = go_on(manifold(1), one, [1.0, 1.5, 2.0])
    assert_identical(later_than(whole, 1.0), later_than(two, 1.0))


def test_observables_are_those_of_the_phase():
    """The error on the present teacher before and after the switch, and on the first always."""
    protocol = ts.Protocol((on_teacher(0), 1.0), (on_teacher(1), 10.0))
    data = run(protocol, observables=["norms", ts.error_on(on_teacher(0).task)], method="reduced")
    np.testing.assert_allclose(data.eps_g_other[:, :3], data.eps_g[:, :3], atol=1e-9)
    apart = abs(data.eps_g_other[:, 3:] - data.eps_g[:, 3:])
    assert float(apart.min()) > 1e-6 and float(apart.mean()) > 1e-2
    squares = np.diagonal(data.Q, axis1=-2, axis2=-1)
    assert data.norms.dims == ("seed", "time", "student") and (squares > 0).all()


# ---- theory ----

AGAINST = {
    "durations": (10.0, "reduced", 24),
    "threshold": (ts.until("eps_g", below=0.1), "reduced", 48),
    "weights": (10.0, "weights", 24),
}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("case", mostly_long(AGAINST, ["durations"]))
def test_networks_follow_the_theory_through_the_switch_of_the_teacher(case):
    """At N = 1000, z < 4 at times that are far from each other."""
    end, method, seeds = AGAINST[case]
    protocol = ts.Protocol(
        (on_teacher(0, both_layers=True), end), (on_teacher(1, both_layers=True), 100.0)
    )
    times = np.linspace(0.0, 20.0, 21)
    if case == "threshold":
        times = np.linspace(0.0, 40.0, 401)
    theory = ts.integrate(protocol, begin(), times)
    networks = run(protocol, times, N=1000, seeds=seeds, method=method)
    report = ts.compare(theory, networks)
    verdict = report.attrs["verdict"]
    if case == "threshold":  # around the switch some are in different phases
        assert "NOTE: phases end at thresholds" in verdict
    else:
        assert verdict.startswith("AGREE"), verdict
    some = theory.time.values > 0
    some &= np.arange(len(times)) % (len(times) // 8) == 0
    if case == "threshold":
        switch = float(theory.switch_time[0])
        some &= abs(theory.time.values - switch) > 5.0
    assert float(abs(report.eps_g_z[some]).max()) < 4
    assert float(abs(report.R_z[some]).max()) < 4.5
    assert float(abs(theory.R[-1] - theory.R[len(times) // 2]).max()) > 0.05
