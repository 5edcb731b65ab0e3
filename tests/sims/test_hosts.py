"""Two processes, as on two hosts."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import teacherstudent as ts
from tests.processes import quick_compilation

RUN = """
import json, sys
import jax
jax.distributed.initialize(f"localhost:{sys.argv[2]}", 2, int(sys.argv[1]))
import teacherstudent as ts
problem = ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(3), ts.SGD(0.5))
start = ts.random_start(problem, N=50, seed=0)
trace = ts.Observable("trace", (), "t", of=lambda o: o.Q.trace())
given = dict(N=60, seeds=[4, 7, 8, 9], checkpoint=sys.argv[3], observables=[trace])
for method in ("weights", "reduced"):
    networks = ts.simulate(problem, start, [0, 1], method=method, **given)
    arrays = (networks.seed, networks.Q, networks.trace)
    print(json.dumps([one.values.tolist() for one in arrays]))
import sims.running.groups
import sims.running.hosts
print("together", sims.running.hosts.processes_here())
def fails(self, *rest):
    raise OSError("disk full")
if sys.argv[1] == "1":
    sims.running.groups.Training.finish = fails
try:
    ts.simulate(problem, start, [0, 1], N=60, seeds=4, method="reduced")
except (OSError, RuntimeError) as error:
    print(type(error).__name__, error)
try:
    ts.simulate(problem, start, [0, 1], N=60, seeds=3)
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_two_processes_share_the_seeds(tmp_path):
    jax.config.update("jax_disable_most_optimizations", True)  # as in these processes
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    start = lambda index: subprocess.Popen(
        [sys.executable, "-c", RUN, index, port, str(tmp_path / "run.npz")],
        env=os.environ | quick_compilation(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = [one.communicate(timeout=300) for one in [start("0"), start("1")]]
    problem = ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(3), ts.SGD(0.5))
    begin = ts.random_start(problem, N=50, seed=0)
    failures = ["RuntimeError the simulation failed in process 1", "OSError disk full"]
    for (out, err), failure in zip(told, failures, strict=True):
        assert any(line.startswith(failure) for line in out.splitlines()), err
        lines = [line for line in out.splitlines() if line.startswith(("[[", "seeds"))]
        assert len(lines) == 3 and "together 2" in out, err
        for method, line in zip(("weights", "reduced"), lines, strict=False):
            alone = ts.simulate(problem, begin, [0, 1], N=60, seeds=[4, 7, 8, 9], method=method)
            seeds, Q, trace = json.loads(line)
            assert seeds == [4, 7, 8, 9]
            np.testing.assert_array_equal(Q, alone.Q)
            np.testing.assert_allclose(trace, np.einsum("...kk", alone.Q), rtol=1e-14)
        assert lines[2].startswith("seeds: 3 seeds cannot be shared out evenly over 2 processes")
    assert not list(tmp_path.iterdir())
