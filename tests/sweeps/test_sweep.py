"""Sweeps: every point is what the verbs answer for its problem; nothing is computed twice, nothing
is lost.
"""

import json
import os
import re
import socket
import subprocess
import sys
import warnings

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.sweeps import jobs, sweep as sweep_module
from teacherstudent.sweeps.store import folder_of, is_in_use
from tests.long import mostly_long
from tests.sweeps.cases import OVER, TIMES, problem, start

THEORY = {"simulation": False, "workers": 1}
NETWORKS = {"theory": False, "N": 40, "seeds": 2, "workers": 1}
BOTH = {"N": 40, "seeds": 2, "workers": 1}


@pytest.fixture
def computed(monkeypatch):
    """How many points jobs compute, by kind."""
    counts = {"TheoryJob": 0, "SimulationJob": 0}
    run = jobs.Job.run

    def counted(self):
        counts[type(self).__name__] += len(self.keys)
        return run(self)

    monkeypatch.setattr(jobs.Job, "run", counted)
    return counts


def _single(eta: float, K: int) -> tuple[ts.Problem, ts.OrderParameters]:
    full = start()
    cut = ts.OrderParameters(Q=full.Q[:K, :K], R=full.R[:K])
    return problem(rule=ts.SGD(eta), student=ts.Student(K)), cut


def test_every_point_is_what_the_verbs_answer_for_its_problem():
    tree = ts.sweep(problem(), start(), TIMES, OVER, **BOTH)
    theory, networks = tree["theory"], tree["simulation"]
    assert dict(theory.Q.sizes) == {
        "learning_rate": 2,
        "width": 2,
        "time": 3,
        "student": 3,
        "student_": 3,
    }
    for eta in OVER["rule.learning_rate"]:
        for K in OVER["student.width"]:
            at = {"learning_rate": eta, "width": K}
            units = {"student": slice(K), "student_": slice(K)}
            single = ts.integrate(*_single(eta, K), TIMES)
            for name in ("Q", "R", "v", "eps_g"):
                here = {dim: units[dim] for dim in units if dim in single[name].dims}
                found = theory[name].sel(at).isel(here)
                np.testing.assert_allclose(found, single[name], rtol=1e-7, atol=1e-9)
            single = ts.simulate(*_single(eta, K), TIMES, N=40, seeds=2)
            np.testing.assert_array_equal(networks.eps_g.sel(at), single.eps_g)
            np.testing.assert_array_equal(networks.recorded_time.sel(at), single.time)
    assert (theory.error == "").all() and (networks.error == "").all()


def test_units_that_a_point_has_not_are_nan_and_masked():
    tree = ts.sweep(problem(), start(), TIMES, OVER, **THEORY)
    theory = tree["theory"]
    assert theory.has_student.dims == ("width", "student")
    np.testing.assert_array_equal(theory.has_student, [[True, True, False], [True, True, True]])
    narrow = theory.sel(width=2)
    assert np.isnan(narrow.R.isel(student=2)).all() and np.isfinite(narrow.R.isel(student=1)).all()


NUMBERS = {"task.noise": [0.0, 0.3], "rule.weight_decay": [0.0, 0.1]}
SWEPT = [
    NUMBERS,
    {"student.train_readout": [False, True]},
    {"rule": [ts.SGD(0.2), ts.HeavyBall(0.2, beta=0.5), ts.SphericalSGD(0.2)]},
    {"task": [ts.TeacherStudent(1, "linear"), ts.TeacherStudent(1, noise=0.2)]},
    {"rule.learning_rate": [0.1, ts.exponential(0.5, rate=0.3)]},
    {"batch_size": [1, 4]},
]


@pytest.mark.parametrize("over", mostly_long(SWEPT, [NUMBERS]), ids=lambda over: " ".join(over))
def test_whatever_is_swept_is_in_its_place(over):
    begin = ts.OrderParameters(Q=np.eye(2), R=[[0.2], [0.1]])
    tree = ts.sweep(problem(), begin, TIMES, over, **THEORY)
    shape = [len(values) for values in over.values()]
    for place in np.ndindex(*shape):
        values = {path: along[i] for (path, along), i in zip(over.items(), place, strict=True)}
        parts = {name: getattr(problem(), name) for name in ("task", "student", "rule")}
        for path, value in values.items():
            part, _, name = path.partition(".")
            if not name:
                parts[part] = value
            elif part == "rule":
                rule = {"learning_rate": 0.1} | {name: value}
                before = parts["rule"]
                rule = {"learning_rate": before.learning_rate, name: value}
                parts["rule"] = ts.SGD(**rule)
            elif part == "task":
                parts["task"] = ts.TeacherStudent(1, **{name: value})
            else:
                parts["student"] = ts.Student(2, **{name: value})
        single = ts.integrate(ts.Problem(**parts), begin, TIMES)
        found = tree["theory"]["eps_g"]
        found = found.isel(dict(zip(found.dims, place, strict=False)))
        np.testing.assert_allclose(found, single.eps_g, rtol=1e-7, atol=1e-9)


@pytest.mark.long
def test_a_task_with_two_classes_and_observables():
    task = ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0, 0.0], [-1.0, 0.5]])
    base = ts.Problem(task, ts.Student(1), ts.SGD(0.1), loss="logistic")
    begin = ts.OrderParameters(Q=[[0.5]], m=[[0.1, 0.2]])
    norm = ts.Observable("norm", (), "q", of=lambda state: state.Q[0, 0])
    over = {"rule.learning_rate": [0.1, 0.5]}
    tree = ts.sweep(base, begin, TIMES, over, observables=[norm], **BOTH)
    made = ts.Problem(task, ts.Student(1), ts.SGD(0.5), loss="logistic")
    single = ts.integrate(made, begin, TIMES, observables=[norm])
    last = tree["theory"].isel(learning_rate=1)
    for name in ("Q", "m", "loss", "accuracy", "norm"):
        # The resolution of its averages is that of the whole job.
        np.testing.assert_allclose(last[name], single[name], rtol=1e-6, atol=1e-8)
    assert tree["simulation"].norm.dims == ("learning_rate", "seed", "time")


def test_times_of_records_may_differ_with_N():
    over = {"N": [3, 40]}
    begin = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    base = problem(task=ts.TeacherStudent(1, "linear"), student=ts.Student(1, "linear"))
    tree = ts.sweep(base, begin, [0.0, 0.1, 0.2, 1.0], over, seeds=2, workers=1)
    np.testing.assert_allclose(
        tree["simulation"].recorded_time, [[0.0, 0.0, 1 / 3, 1.0], [0.0, 0.1, 0.2, 1.0]]
    )
    assert "N" not in tree["theory"].dims  # which knows none
    point = ts.point_of(tree, N=3)
    np.testing.assert_allclose(point["simulation"].time, [0.0, 1 / 3, 1.0])


def test_a_point_that_diverges_keeps_its_numbers_before_and_stops_no_other():
    base = problem(task=ts.TeacherStudent(1, "linear"), student=ts.Student(1, "linear"))
    begin = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    over = {"rule.learning_rate": [0.1, 9.0]}
    tree = ts.sweep(base, begin, [0.0, 0.1, 50.0], over, N=30, seeds=2, workers=1)
    for kind in ("theory", "simulation"):
        data = tree[kind]
        assert data.error[0] == "" and "DivergenceError: " in str(data.error[1].values)
        assert np.isfinite(data.eps_g[0]).all()
        assert np.isfinite(data.eps_g[1, ..., :2]).all() and np.isnan(data.eps_g[1, ..., 2]).all()


def test_points_without_a_theory_say_why_and_stop_no_other():
    over = {"rule": [ts.SGD(0.1), ts.Madam(0.1)]}
    tree = ts.sweep(problem(), start(2), TIMES, over, **THEORY)
    assert tree["theory"].error[0] == ""
    assert "there is no theory for the rule Madam" in str(tree["theory"].error[1].values)
    with pytest.raises(ValueError, match="no theory for the rule Madam"):
        ts.sweep(problem(), start(2), TIMES, {"rule": [ts.Madam(0.1), ts.Madam(0.2)]}, **THEORY)


def test_a_sweep_repeated_computes_nothing_and_one_widened_only_what_is_new(tmp_path, computed):
    out = tmp_path / "sweep.h5"
    first = ts.sweep(problem(), start(), TIMES, OVER, out=out, **BOTH)
    assert computed == {"TheoryJob": 4, "SimulationJob": 4}
    again = ts.sweep(problem(), start(), TIMES, OVER, out=out, **BOTH)
    assert computed == {"TheoryJob": 4, "SimulationJob": 4}
    assert (
        again["simulation"]
        .to_dataset()
        .drop_attrs()
        .identical(first["simulation"].to_dataset().drop_attrs())
    )
    wider = {"rule.learning_rate": [0.4, 0.2, 0.1], "student.width": [2, 3], "task.noise": [0, 0.1]}
    tree = ts.sweep(problem(), start(), TIMES, wider, out=out, **BOTH)
    assert computed == {"TheoryJob": 12, "SimulationJob": 12}
    same = tree["simulation"].sel(noise=0, learning_rate=[0.1, 0.4]).eps_g
    np.testing.assert_array_equal(same, first["simulation"].eps_g)
    ts.sweep(problem(), start(), TIMES, OVER, out=out, seeds=3, N=40, workers=1)
    assert computed == {"TheoryJob": 12, "SimulationJob": 16}  # networks with other seeds are new


def test_a_file_of_a_sweep_is_a_result_like_any_other(tmp_path):
    out = tmp_path / "sweep.h5"
    tree = ts.sweep(problem(), start(), TIMES, OVER, out=out, **BOTH)
    loaded = ts.load(out)
    for kind in ("theory", "simulation"):
        assert loaded[kind].to_dataset().identical(tree[kind].to_dataset())
    ts.plot(loaded, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
    point = ts.point_of(loaded, learning_rate=0.4, width=2)
    theory, networks = point["theory"].to_dataset(), point["simulation"].to_dataset()
    assert ts.problem_of(theory).rule.learning_rate == 0.4
    assert ts.problem_of(networks).student.width == 2
    np.testing.assert_array_equal(ts.start_of(theory).Q, start().Q[:2, :2])
    repeated = ts.simulate(ts.problem_of(networks), ts.start_of(theory), TIMES, N=40, seeds=2)
    np.testing.assert_array_equal(repeated.eps_g, networks.eps_g)
    assert ts.compare(theory, networks).attrs["verdict"]


def test_an_interrupted_sweep_goes_on(tmp_path, computed, monkeypatch):
    out = tmp_path / "sweep.h5"
    run = jobs.Job.run

    def interrupted(self):
        if computed["SimulationJob"] == 3:
            raise KeyboardInterrupt
        return run(self)

    with monkeypatch.context() as patch:
        patch.setattr(jobs.Job, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ts.sweep(problem(), start(), TIMES, OVER, out=out, **NETWORKS)
    assert not out.exists() and not is_in_use(folder_of(out))
    tree = ts.sweep(problem(), start(), TIMES, OVER, out=out, **NETWORKS)
    assert computed["SimulationJob"] == 4
    whole = ts.sweep(problem(), start(), TIMES, OVER, **NETWORKS)
    np.testing.assert_array_equal(tree["simulation"].Q, whole["simulation"].Q)


def test_a_damaged_file_of_the_store_is_set_aside_and_computed_anew(tmp_path, computed):
    out = tmp_path / "sweep.h5"
    first = ts.sweep(problem(), start(), TIMES, OVER, out=out, **NETWORKS)
    one = next(folder_of(out).glob("*.npz"))
    content = bytearray(one.read_bytes())
    content[len(content) // 2] ^= 1
    one.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged: it is set aside"):
        tree = ts.sweep(problem(), start(), TIMES, OVER, out=out, **NETWORKS)
    assert computed["SimulationJob"] == 5
    np.testing.assert_array_equal(tree["simulation"].Q, first["simulation"].Q)
    assert len(list(folder_of(out).glob("*.damaged"))) == 1


def test_what_a_killed_sweep_has_left_half_written_is_swept_away(tmp_path):
    out = tmp_path / "sweep.h5"
    ts.sweep(problem(), start(), TIMES, OVER, out=out, **THEORY)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    name = f".abc.npz.{_host()}-{dead.pid}-x.tmp"
    (folder_of(out) / name).write_bytes(b"half")
    (folder_of(out) / name.replace(str(dead.pid), str(os.getpid()))).write_bytes(b"being written")
    ts.sweep(problem(), start(), TIMES, OVER, out=out, **THEORY)
    left = [path.name for path in folder_of(out).glob(".*.tmp")]
    assert left == [name.replace(str(dead.pid), str(os.getpid()))]


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", socket.gethostname())[:40]


def test_two_sweeps_do_not_write_to_one_place(tmp_path):
    from teacherstudent.sweeps.store import Store

    out = tmp_path / "sweep.h5"
    store = Store(folder_of(out))
    with pytest.raises(BlockingIOError, match=r"sweep.h5.points is in use by another sweep"):
        ts.sweep(problem(), start(), TIMES, OVER, out=out, **THEORY)
    store.close()
    ts.sweep(problem(), start(), TIMES, OVER, out=out, **THEORY)


def test_a_file_that_is_no_sweep_is_not_replaced(tmp_path):
    out = tmp_path / "sweep.h5"
    out.write_text("precious")
    with pytest.raises(FileExistsError):
        ts.sweep(problem(), start(), TIMES, OVER, out=out, **THEORY)
    assert out.read_text() == "precious"


def test_a_full_disk_loses_no_answer_that_was_kept(tmp_path, computed, monkeypatch):
    """The store keeps what it could; the sweep says which file could not be written."""
    out = tmp_path / "sweep.h5"
    write, written = sweep_module.Store.add, []

    def add(self, answers):
        if len(written) == 2:
            raise OSError(28, f"{self.folder} could not be written (No space left on device).")
        written.append(answers)
        write(self, answers)

    with monkeypatch.context() as patch:
        patch.setattr(sweep_module.Store, "add", add)
        with pytest.warns(UserWarning, match="No space left"):
            tree = ts.sweep(problem(), start(), TIMES, OVER, out=out, **NETWORKS)
    assert computed["SimulationJob"] == 4
    assert np.isfinite(tree["simulation"].eps_g).all()  # what could not be kept is still answered
    ts.sweep(problem(), start(), TIMES, OVER, out=out, **NETWORKS)
    assert computed["SimulationJob"] == 6


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"theory": False, "simulation": False}, "theory and simulation are both False"),
        ({"theory": {"rtoll": 1e-3}}, "theory has the option 'rtoll': did you mean 'rtol'?"),
        ({"theory": "yes"}, "theory = 'yes'; give True, False"),
        ({"workers": 2, "scheduler": "tcp://x"}, "workers and scheduler are given"),
        ({"workers": 0}, "workers = 0"),
        ({"seeds": 0}, "seeds = 0"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        ts.sweep(problem(), start(), TIMES, OVER, N=40, **options)


def test_what_all_points_have_wrong_is_raised():
    with pytest.raises(ValueError, match="N = 1 gives 1 dimensions|N = 1"):
        ts.sweep(problem(), start(), TIMES, OVER, N=1, theory=False, workers=1)


def test_N_is_1000_unless_something_says_another():
    over = {"rule.learning_rate": [0.1]}
    tree = ts.sweep(problem(), start(2), [0.0, 0.01], over, seeds=1, theory=False, workers=1)
    assert json.loads(tree["simulation"].attrs["teacherstudent"])["report"]["N"] == 1000
    begin = ts.start_from_weights(problem(), np.ones((2, 30)), None, np.ones((1, 30)))
    tree = ts.sweep(problem(), begin, [0.0, 0.1], over, seeds=1, theory=False, workers=1)
    assert json.loads(tree["simulation"].attrs["teacherstudent"])["report"]["N"] == 30


def test_what_there_is_so_far_can_be_read_meanwhile(tmp_path, monkeypatch):
    out = tmp_path / "sweep.h5"
    so_far = folder_of(out) / "so_far.h5"
    seen = []
    monkeypatch.setattr(sweep_module, "PREVIEW_SECONDS", 0.0)
    monkeypatch.setattr(sweep_module, "PREVIEW_SHARE", 1e9)
    run = jobs.Job.run

    def looked_at(self):
        if so_far.exists():
            seen.append(ts.load(so_far))
        return run(self)

    monkeypatch.setattr(jobs.Job, "run", looked_at)
    whole = ts.sweep(problem(), start(), TIMES, OVER, out=out, **NETWORKS)
    assert not so_far.exists()
    done = [int((tree["simulation"].error == "").sum()) for tree in seen]
    assert done == [1, 2, 3]
    there = seen[1]["simulation"]
    finished = (there.error == "").values
    expected = whole["simulation"].eps_g.values[finished]
    np.testing.assert_array_equal(there.eps_g.values[finished], expected)
    assert (there.error.values[~finished] == "not computed yet").all()


def test_one_program_serves_all_points_of_a_shape():
    """Changing numbers does not compile anew."""
    import jax

    over = {"rule.learning_rate": [0.11, 0.21, 0.31], "task.noise": [0.0, 0.1]}
    ts.sweep(problem(), start(2), TIMES, over, **BOTH)
    with jax.log_compiles(), warnings.catch_warnings():
        over = {"rule.learning_rate": [0.12, 0.22, 0.32], "task.noise": [0.2, 0.3]}
        import logging

        records = []
        handler = logging.Handler()
        handler.emit = records.append
        logging.getLogger("jax").addHandler(handler)
        try:
            ts.sweep(problem(), start(2), TIMES, over, **BOTH)
        finally:
            logging.getLogger("jax").removeHandler(handler)
    compiled = [one.getMessage() for one in records if "Compiling" in one.getMessage()]
    assert [one for one in compiled if "all_points" in one or "train" in one] == []


def test_the_description_holds_what_is_swept():
    tree = ts.sweep(problem(), start(), TIMES, OVER, **THEORY)
    facts = json.loads(tree["theory"].attrs["teacherstudent"])
    assert facts["report"]["sweep"]["width"] == {"student.width": [2, 3]}
    assert facts["report"]["averages"].startswith("closed forms")


def test_an_unknown_point_gets_a_sentence():
    tree = ts.sweep(problem(), start(), TIMES, OVER, **THEORY)
    with pytest.raises(ValueError, match="0.3 is not in the sweep; it has 0.1, 0.4"):
        ts.point_of(tree, learning_rate=0.3, width=2)
    with pytest.raises(ValueError, match="width is missing"):
        ts.point_of(tree, learning_rate=0.1)
    with pytest.raises(ValueError, match="eta is no swept dimension"):
        ts.point_of(tree, eta=0.1, width=2)


def test_validate_knows_sweeps(tmp_path):
    """Units that a point has not, and times that it did not reach, are no damage."""
    base = problem(task=ts.TeacherStudent(1, "linear"), student=ts.Student(2, "linear"))
    over = {"rule.learning_rate": [0.1, 9.0], "student.width": [1, 2]}
    out = tmp_path / "sweep.h5"
    tree = ts.sweep(base, start(2), [0.0, 0.1, 50.0], over, out=out, **THEORY)
    assert ts.validate(out).ok
    broken = tree["theory"].to_dataset()
    broken["Q"] = broken["Q"].where(broken["Q"].learning_rate != 0.1)
    ts.save(tmp_path / "broken.h5", theory=broken)
    assert "Q that is not finite" in str(ts.validate(tmp_path / "broken.h5"))
