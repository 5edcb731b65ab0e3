"""On a GPU, where there is one: the same laws, and the kernels that are used there.

The cases are looked at on every machine: each of them fits its kernel.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from sims.inputs.normals import normal_numbers
from sims.reduced import kernel as reduced_kernel, training as reduced_training
from sims.running.devices import place
from sims.weights import kernel as weights_kernel
from tests.sims.cuda import has_kernel
from tests.sims.test_reduced import LAWS, start_of, training as chain_training, two_samples
from tests.sims.test_weights_kernel import WEIGHTS, training

on_gpu = pytest.mark.skipif(jax.default_backend() == "cpu", reason="there is no GPU")
# Of each kind of step that the kernel has.
CHAINS = [
    "SGD, decay",
    "SGD, both layers",
    "sphere",
    "spike",
    "SGD, batch below K",
    "SGD, ReLU, batch above K",
]
# The rows of the chain are in float64, from the same random numbers.
CHAIN_AGREES = 1e-5
# Whole weights are in float32, added up in another order, with another erf (1.5e-7).
WEIGHTS_AGREE = 5e-5


def assert_close(ours, theirs, tolerance: float) -> None:
    for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        assert np.isfinite(np.asarray(one, np.float64)).all()
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_on_the_list_fits_the_kernel(name):
    one = chain_training(LAWS[name])
    assert reduced_kernel.fits(one.setting, one.law)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_on_the_list_fit_the_kernel(name):
    one = training(**WEIGHTS[name])
    assert weights_kernel.fits(one.problem, one.N, len(one.seeds))


@on_gpu
def test_the_random_numbers_are_those_of_the_cpu():
    draw = jax.jit(lambda key: normal_numbers(key, 10**6, "float32"))
    found = []
    for device in (jax.devices("cpu")[0], jax.devices()[0]):
        with jax.default_device(device):
            found.append(np.asarray(draw(jax.random.key(0, impl="threefry2x32"))))
    # A GPU has other square roots and multiply-adds; a small radius has few digits.
    np.testing.assert_allclose(*found, rtol=0, atol=4e-4)
    assert np.quantile(np.abs(found[0] - found[1]), 0.999) < 2e-6


@on_gpu
@has_kernel
@pytest.mark.parametrize("name", CHAINS)
def test_the_kernel_and_the_scan_agree(name):
    problem, ends = LAWS[name], []
    with jax.enable_x64(True):
        for fused in (True, False):
            one = reduced_training.ReducedTraining(
                problem, [start_of(problem)], 100, list(range(300)), [0, 40], "float32", place(None)
            )
            assert one.fused
            assert all(part.dtype == np.float64 for part in one.run.triangle)
            one.fused = fused
            ends.append(one.advanced(jnp.uint32(0), jnp.uint32(40)))
    assert_close(*ends, CHAIN_AGREES)


@on_gpu
@has_kernel
@pytest.mark.parametrize("name", WEIGHTS)
def test_the_kernel_and_the_loop_agree_on_whole_weights(name):
    ends = []
    with jax.enable_x64(True):
        for fused in (True, False):
            one = training(**WEIGHTS[name], place_=place(None))
            assert one.fused
            begin = np.array(one.run.student.w)
            one.fused = fused
            ends.append(one.advanced(jnp.uint32(0), jnp.uint32(40)))
    assert float(jnp.abs(ends[0].student.w - begin).max()) > 0.1
    assert_close(*ends, WEIGHTS_AGREE)


@on_gpu
@pytest.mark.parametrize(
    "method, name",
    [
        ("weights", "SGD, both layers"),
        ("reduced", "SGD, both layers"),
        ("reduced", "AGD"),  # without a kernel
        ("reduced", "spike"),
    ],
)
def test_the_law_is_that_of_the_cpu(method, name):
    problem = LAWS[name]
    run = lambda device, seeds: ts.simulate(
        problem, start_of(problem), [0, 4.0], N=50, seeds=seeds, method=method, device=device
    )
    p, z = two_samples(run("cpu", range(3000)), run("gpu", range(3000, 6000)))
    assert p > 1e-3 and z < 4


@on_gpu
@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_networks_on_the_gpu_follow_the_theory(method):
    problem = LAWS["SGD, both layers"]
    start, times = start_of(problem), [0, 1.0, 5.0]
    theory = ts.integrate(problem, start, times)
    networks = ts.simulate(problem, start, times, N=2000, seeds=64, method=method)
    report = ts.compare(theory, networks)
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]


@on_gpu
def test_a_seed_has_its_numbers_of_the_cpu():
    """A short run of whole weights, and one on a hidden manifold, up to rounding."""
    student = ts.Student(2, train_readout=True)
    for task in (ts.TeacherStudent(2, noise=0.1), ts.HiddenManifold(2, "erf", "erf", 0.5)):
        problem = ts.Problem(task, student, ts.SGD(0.3))
        start = ts.random_start(problem, N=200, seed=0)
        ours, theirs = (
            ts.simulate(problem, start, [0, 0.5], N=200, seeds=4, device=device)
            for device in ("gpu", "cpu")
        )
        for name in ("Q", "R", "v"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=5e-4)


@on_gpu
def test_a_sweep_of_the_theory_is_that_of_the_cpu():
    rates = np.linspace(0.05, 0.35, 64)
    problem = ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(4), ts.SGD(rates))
    start = ts.random_start(
        ts.Problem(problem.task, problem.student, ts.SGD(0.1)), N=1000, seed=1, T=np.eye(2)
    )
    found = []
    for device in (jax.devices("cpu")[0], jax.devices()[0]):
        with jax.default_device(device):
            found.append(ts.integrate(problem, start, [0.0, 1.0, 10.0], rtol=1e-8, atol=1e-10))
    for name in ("Q", "R", "eps_g"):
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=0, atol=1e-6)
