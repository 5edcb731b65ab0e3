"""A JAX whose Pallas has no Triton: simulations run as loops, and a warning says why and what it
costs.
"""

import subprocess
import sys

import jax
import pytest

import teacherstudent as ts
from sims.running import devices, triton
from sims.weights import training as weights_training
from teacherstudent.results.datasets import description
from tests.sims.cuda import has_kernel

PROBLEM = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.3))
START = ts.random_start(PROBLEM, N=50, seed=0)


@pytest.fixture
def kernels_on_cpu(monkeypatch):
    """A machine whose devices are said to have kernels, which are compiled anew."""
    monkeypatch.setattr(devices, "KERNELS_ON", ("cpu",))
    jax.clear_caches()
    weights_training.program.cache_clear()
    yield
    weights_training.program.cache_clear()


def run(method: str):
    return ts.simulate(
        PROBLEM, START, [0, 0.4], N=50, seeds=3, method=method, device="cpu:0", progress=False
    )


@pytest.mark.parametrize(
    "method, cost", [("weights", "more slowly"), ("reduced", "6 to 13 times as long")]
)
def test_without_triton_a_loop_runs_and_says_so(kernels_on_cpu, monkeypatch, method, cost):
    monkeypatch.setattr(devices, "KERNELS_ON", ())
    usual = run(method)
    monkeypatch.setattr(devices, "KERNELS_ON", ("cpu",))
    monkeypatch.setitem(sys.modules, triton.NAME, None)  # its import fails from now on
    told = f"JAX {jax.__version__} has no Triton in Pallas.*run as a loop.*{cost}"
    with pytest.warns(UserWarning, match=told) as warned:
        ours = run(method)
    assert len(warned) == 1
    assert description(ours)["report"]["program"] == "loop"
    assert ours.equals(usual)


def test_without_pallas_a_loop_runs_and_says_so(kernels_on_cpu, monkeypatch):
    for kernel in ("sims.weights.kernel", "sims.reduced.kernel"):
        monkeypatch.setitem(sys.modules, kernel, None)
    for method in ("weights", "reduced"):
        with pytest.warns(UserWarning, match="this JAX has no kernels for .*cpu.*run as a loop"):
            assert description(run(method))["report"]["program"] == "loop"


def test_what_a_kernel_does_not_take_needs_no_warning(kernels_on_cpu, monkeypatch):
    """As tanh: it runs as a loop with Triton, too."""
    monkeypatch.setitem(sys.modules, triton.NAME, None)
    problem = ts.Problem(ts.TeacherStudent(1, "tanh"), ts.Student(1, "tanh"), ts.SGD(0.3))
    start = ts.random_start(problem, N=20, seed=0)
    ts.simulate(problem, start, [0, 0.1], N=20, seeds=2, device="cpu:0", progress=False)


@has_kernel
def test_importing_the_kernels_warns_of_nothing():
    code = "import sims.reduced.kernel, sims.weights.kernel\n"
    code += "from sims.running.triton import triton_of_pallas; triton_of_pallas()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
