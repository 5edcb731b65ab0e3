"""Workers of Dask on this machine, for one sweep.

The scheduler runs in this process.  Each worker is started as a program of its own, by the command
line of Dask, so that it neither inherits what JAX has running here nor runs the user's script once
more, as `multiprocessing` would.  One that dies is started again.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, Scheduler, SpecCluster
from distributed.deploy.subprocess import SubprocessWorker

# XLA and BLAS would start as many threads as there are cores in every worker.
ONE_CORE = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}
PRELOAD = ["teacherstudent.sweeps.end_with_parent"]
START_SECONDS = 120  # for a worker to start
TRIES = 3  # of a job whose worker dies


class OneCoreWorker(SubprocessWorker):
    """A worker on one core that can import what this process can, and says nothing."""

    async def _start(self) -> None:
        spec = json.dumps({"cls": self.worker_class, "opts": self.worker_kwargs})
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dask", "spec", self.scheduler, "--spec", spec),
            env={**os.environ, **self.environment()},
            start_new_session=True,  # Ctrl-C is for this process, which ends its workers
        )

    def environment(self) -> dict[str, str]:
        """What a worker has in its environment beside ours."""
        flags = " ".join(filter(None, [os.environ.get("XLA_FLAGS"), ONE_CORE["XLA_FLAGS"]]))
        path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
        return {**ONE_CORE, **QUIET, "XLA_FLAGS": flags, "PYTHONPATH": path}


@contextmanager
def local_client(workers: int) -> Iterator[Any]:
    """A client of so many new processes on this machine, which end with it."""
    options = {"nthreads": 1, "memory_limit": 0, "dashboard": False, "preload_nanny": PRELOAD}
    worker = {"cls": OneCoreWorker, "options": {"worker_kwargs": options}}
    address = {"host": "127.0.0.1", "port": 0}
    scheduler = {
        "cls": Scheduler,
        "options": {"dashboard": False, "dashboard_address": "127.0.0.1:0", **address},
    }
    quiet = {"logging.distributed": "critical", "distributed.scheduler.allowed-failures": TRIES}
    with (
        dask.config.set(quiet),
        SpecCluster(
            workers=dict.fromkeys(range(workers), worker),
            scheduler=scheduler,
            name="teacherstudent",
            silence_logs=50,
        ) as cluster,
        Client(cluster, timeout=START_SECONDS, set_as_default=False) as client,
    ):
        yield client
