"""Workers: new processes that answer what this one would, whatever has run here before."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.sweeps import workers
from teacherstudent.sweeps.axes import axes_of
from teacherstudent.sweeps.jobs import SimulationJob, TheoryJob
from teacherstudent.sweeps.points import points_of
from teacherstudent.sweeps.workers import Packing, unpacked
from tests.processes import quick_compilation
from tests.sweeps.cases import problem, start

ROOT = Path(__file__).parents[2]
LIMIT = 300  # seconds that a script may take on a busy machine


class Halved(ts.SGD):
    """SGD at half its learning rate."""

    def update(self, layers, gradient, memory, N):
        half = {name: part / 2 for name, part in gradient.items()}
        return super().update(layers, half, memory, N)


def _jobs(base, options):
    points = points_of(base, start(2), 20, axes_of({"rule.learning_rate": [0.1, 0.3]}))
    keys = ["a", "b"]
    yield TheoryJob(keys, points, np.array([0.0, 1.0]), options)
    yield SimulationJob(keys[:1], points[1:], np.array([0.0, 1.0]), options | {"seeds": [0, 1]})


@pytest.mark.parametrize(
    "base",
    [
        pytest.param(problem(), id="erf"),
        pytest.param(problem(student=ts.Student(2, "relu")), id="relu", marks=pytest.mark.long),
        pytest.param(problem(rule=Halved(0.1)), id="own rule"),
    ],
)
def test_a_job_that_travelled_is_the_same(base):
    for job in _jobs(base, {"observables": ()}):
        packing = Packing()
        first, second = packing.of(job), packing.of(replace(job, checkpoint="/nowhere/x"))
        assert first.template is second.template  # read once in a worker
        there = unpacked(second)
        assert there.checkpoint is None  # a folder that is not there
        assert type(there.points[0].problem.rule) is type(base.rule)
        assert there.points[0].problem.student.activation == base.student.activation
        for name, one in job.run().values.items():
            np.testing.assert_array_equal(there.run().values[name].array, one.array)


def _script(text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | quick_compilation()
    return subprocess.run(
        [sys.executable, path, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


AFTER_JAX = """
    import os, threading
    import jax.numpy as jnp
    import numpy as np
    import teacherstudent as ts

    print("begins")
    jnp.ones(1000).sum().block_until_ready()  # threads of XLA run here now

    class Third(ts.SGD):  # of this script, which no worker can import
        def update(self, layers, gradient, memory, N):
            third = {name: part / 3 for name, part in gradient.items()}
            return super().update(layers, third, memory, N)

    class TheoryOfThird(ts.RuleTheory, rule=Third):
        def velocity(self, rule, problem, fixed, state, replica):
            from odes.rules.theory import theory_of
            return theory_of(ts.SGD(0.1)).velocity(
                ts.SGD(rule.learning_rate / 3), problem, fixed, state, replica)

    task, student = ts.TeacherStudent(1, "linear"), ts.Student(2, "linear")
    problem = ts.Problem(task, student, Third(0.3))
    start = ts.OrderParameters(Q=0.5 * np.eye(2), R=[[0.1], [0.2]])
    over = {"rule.learning_rate": [0.3, 0.6, 0.9, 1.2]}
    trees = []

    def swept(workers):
        trees.append(ts.sweep(problem, start, [0.0, 1.0], over, N=30, seeds=2, workers=workers))

    thread = threading.Thread(target=swept, args=(2,))  # not in the main thread either
    thread.start()
    thread.join()
    swept(1)
    for kind in ("theory", "simulation"):
        for name in ("Q", "R", "eps_g"):
            np.testing.assert_array_equal(trees[0][kind][name], trees[1][kind][name])
        assert (trees[0][kind].error == "").all(), trees[0][kind].error.values
    print("the same")
"""


@pytest.mark.slow
def test_workers_answer_the_same_after_jax_has_run_here_from_a_thread_and_a_bare_script(tmp_path):
    """No `if __name__ == "__main__"`: workers do not run the script again."""
    run = _script(AFTER_JAX, tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split("\n") == ["begins", "the same", ""]
    assert run.stderr == ""


WORKER_DIES = """
    import os, signal
    import numpy as np
    import psutil
    import teacherstudent as ts
    from teacherstudent.sweeps import store

    add, killed = store.Store.add, []

    def kill_one_worker(self, answers):
        add(self, answers)
        if not killed:
            everyone = psutil.Process().children(recursive=True)
            # A worker is the child of its nanny, which starts another one.
            leaves = [one for one in everyone if one.parent().pid != os.getpid()
                      and "resource_tracker" not in " ".join(one.cmdline())]
            leaves[0].send_signal(signal.SIGKILL)
            killed.append(leaves[0].pid)

    store.Store.add = kill_one_worker
    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SGD(0.3))
    start = ts.OrderParameters(Q=0.5 * np.eye(2), R=[[0.1], [0.2]])
    over = {"rule.learning_rate": np.linspace(0.1, 1.0, 10)}
    options = dict(N=300, seeds=4, theory=False)
    tree = ts.sweep(problem, start, [0.0, 20.0], over, workers=2, out="sweep.h5", **options)
    assert killed
    whole = ts.sweep(problem, start, [0.0, 20.0], over, workers=1, **options)
    assert (tree["simulation"].error == "").all(), tree["simulation"].error.values
    np.testing.assert_array_equal(tree["simulation"].Q, whole["simulation"].Q)
    print("survived")
"""


@pytest.mark.long
def test_a_worker_that_is_killed_is_replaced(tmp_path):
    run = _script(WORKER_DIES, tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout == "survived\n"


SWEEPING = """
    import numpy as np
    import teacherstudent as ts

    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SGD(0.3))
    start = ts.OrderParameters(Q=0.5 * np.eye(2), R=[[0.1], [0.2]])
    over = {"rule.learning_rate": np.linspace(0.1, 1.0, 200)}
    ts.sweep(problem, start, [0.0, 30.0], over, N=500, seeds=8, theory=False, workers=2,
             out="sweep.h5")
"""


@pytest.mark.long
def test_workers_end_with_a_sweep_that_is_killed(tmp_path):
    import time

    import psutil

    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SWEEPING))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, path], cwd=tmp_path, env=environment)
    waited = time.monotonic() + LIMIT
    while not list(tmp_path.glob("sweep.h5.points/*.npz")) and time.monotonic() < waited:
        time.sleep(0.2)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 4
    process.send_signal(signal.SIGKILL)
    process.wait()
    gone, alive = psutil.wait_procs(children, timeout=60)
    for one in alive:
        one.kill()
    assert alive == []


@pytest.mark.slow
def test_an_address_without_a_scheduler_gets_a_sentence(monkeypatch):
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    with pytest.raises(ConnectionError, match="'tcp://127.0.0.1:1' cannot be reached"):
        ts.sweep(
            problem(),
            start(2),
            [0.0, 1.0],
            {"task.noise": [0.0, 0.1]},
            simulation=False,
            scheduler="tcp://127.0.0.1:1",
        )
