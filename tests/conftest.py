"""Strict settings for all tests: float64, no silent promotion of ranks or dtypes, no display."""

import atexit
import os
import shutil
import tempfile
from importlib import metadata

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # tests already run side by side

# Most of the time of these tests is compilation, a third of which goes into a way of writing loops
# that makes them no faster here.  Later versions know no other.
if metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
    )

import jax
import matplotlib
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_disable_most_optimizations", True)  # fixtures of a whole file come first
matplotlib.use("agg")


def folder_of_this_process() -> str:
    """A folder that is deleted when this process ends."""
    folder = tempfile.mkdtemp(prefix="teacherstudent-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


os.environ["XDG_CACHE_HOME"] = folder_of_this_process()  # of the commands that tests start

# Programs that one test has compiled another takes from here, also in another worker: these inherit
# the name of the folder.
COMPILED = "TEACHERSTUDENT_TESTS_COMPILED"
if COMPILED not in os.environ:
    os.environ[COMPILED] = folder_of_this_process()
jax.config.update("jax_compilation_cache_dir", os.environ[COMPILED])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.03)


@pytest.fixture(autouse=True)
def quick_compilation(request):
    """Only where many steps are run are programs worth optimising."""
    slow = request.node.get_closest_marker("slow") is not None
    jax.config.update("jax_disable_most_optimizations", not slow)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True)
def commands_keep_no_programs(monkeypatch):
    """A command that runs in this process leaves it as it was for the tests that follow."""
    from teacherstudent.command import process

    monkeypatch.setattr(process, "prepare_for_work", lambda: None)


@pytest.fixture(autouse=True, scope="module")
def programs_of_one_file():
    """Forget the compiled programs of a test file at its end: thousands of them would fill the
    memory of a worker.
    """
    yield
    jax.clear_caches()
