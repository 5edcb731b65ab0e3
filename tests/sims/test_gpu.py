"""On a GPU, where there is one: the same laws, and the kernel that is used there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from sims.reduced import training as reduced_training
from sims.running.devices import place
from tests.sims.test_reduced import LAWS, start_of, two_samples
from tests.sims.test_weights_kernel import WEIGHTS, training

pytestmark = [
    pytest.mark.skipif(jax.default_backend() == "cpu", reason="there is no GPU"),
    pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning"),
]


@pytest.mark.parametrize(
    "name",
    ["SGD, decay", "heavy ball, beta", "AGD", "Fromage", "spike", "SGD, ReLU, batch above K"],
)
def test_the_kernel_and_the_scan_agree(name):
    problem, ends = LAWS[name], []
    with jax.enable_x64(True):
        for fused in (True, False):
            one = reduced_training.ReducedTraining(
                problem, [start_of(problem)], 100, list(range(300)), [0, 40], "float32", place(None)
            )
            assert one.fused
            one.fused = fused
            ends.append(one.advanced(jnp.uint32(0), jnp.uint32(40)))
    for ours, theirs in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-5)


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_kernel_and_the_loop_agree_on_whole_weights(name):
    ends = []
    with jax.enable_x64(True):
        for fused in (True, False):
            one = training(**WEIGHTS[name], place_=place(None))
            assert one.fused
            one.fused = fused
            ends.append(one.advanced(jnp.uint32(0), jnp.uint32(40)))
    for ours, theirs in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-5)


@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_the_law_is_that_of_the_cpu(method):
    problem = LAWS["SGD, both layers"]
    run = lambda device, seeds: ts.simulate(
        problem, start_of(problem), [0, 4.0], N=50, seeds=seeds, method=method, device=device
    )
    p, z = two_samples(run("cpu", range(1000)), run("gpu", range(1000, 2000)))
    assert p > 1e-3 and z < 4


def test_networks_on_the_gpu_follow_the_theory():
    problem = LAWS["SGD, both layers"]
    start, times = start_of(problem), [0, 1.0, 5.0]
    theory = ts.integrate(problem, start, times)
    for method in ("weights", "reduced"):
        report = ts.compare(
            theory, ts.simulate(problem, start, times, N=2000, seeds=64, method=method)
        )
        assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]
