"""Strict settings for all tests: float64, no silent promotion of ranks or dtypes, no display."""

import atexit
import os
import shutil
import tempfile
from importlib import metadata

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # tests already run side by side

# Most of the time of these tests is compilation, a third of which goes into a way of writing loops that makes them no faster
# here.  Later versions know no other.
if metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"

import jax
import matplotlib
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
matplotlib.use("agg")

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="teacherstudent-tests-")  # of the commands that tests start
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def quick_compilation(request):
    """Only where many steps are run are programs worth optimising."""
    jax.config.update("jax_disable_most_optimizations", request.node.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True, scope="module")
def programs_of_one_file():
    """Forget the compiled programs of a test file at its end: thousands of them would fill the memory of a worker."""
    yield
    jax.clear_caches()
