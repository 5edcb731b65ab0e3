"""A sweep on the workers of a SLURM cluster; `one_node_slurm.sh` makes a machine one."""

import shutil
import subprocess

import numpy as np
import pytest

import teacherstudent as ts
from tests.sweeps.cases import OVER, TIMES, problem, start


def _why_not() -> str:
    """Why there is no cluster to be tried; "" if there is one."""
    if shutil.which("sbatch") is None:
        return "no SLURM on this machine (tests/sweeps/one_node_slurm.sh sets one up)"
    found = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True)
    if found.returncode or "idle" not in found.stdout:
        return "SLURM has no idle node"
    return ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of dask-jobqueue and what it imports
def test_workers_of_slurm_answer_the_same(tmp_path):
    jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    if _why_not():
        pytest.skip(_why_not())
    from distributed import Client

    here = ts.sweep(problem(), start(), TIMES, OVER, N=50, seeds=2, workers=1)
    with (
        jobqueue.SLURMCluster(
            cores=1, processes=1, memory="1GB", local_directory=tmp_path, log_directory=tmp_path
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        cluster.scale(jobs=1)
        out = tmp_path / "sweep.h5"
        there = ts.sweep(problem(), start(), TIMES, OVER, N=50, seeds=2, client=client, out=out)
    for kind in ("theory", "simulation"):
        for name in ("Q", "R", "eps_g"):
            # Theories are the same but for rounding: the tests compile with other settings.
            rtol = {"theory": 1e-12, "simulation": 0.0}[kind]
            np.testing.assert_allclose(there[kind][name], here[kind][name], rtol=rtol)
