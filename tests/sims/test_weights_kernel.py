"""The kernel of whole weights: interpreted, it makes the steps of the loop; what it takes; what is
done where it fails.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from sims.inputs.source import set_up
from sims.running import devices
from sims.running.devices import place
from sims.weights import kernel as weights_kernel, steps as weights, training as weights_training
from sims.weights.training import WeightsTraining
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.sims.cuda import has_kernel, text_for_cuda
from tests.sims.interruption import interrupted_after

CPU = place("cpu:0")

WEIGHTS = {
    "erf": {"rule": ts.SGD(0.3)},
    "both layers, decay, own activations": {
        "rule": ts.SGD(0.3, 0.2, weight_decay=0.4),
        "activation": (0.3, 1.0, 0.2),
        "teacher": "relu",
        "readout": True,
    },
    "batch": {"rule": ts.SGD(0.3, 0.2), "readout": True, "batch_size": 3},
    "one unit, N a power of two": {"rule": ts.SGD(0.3), "K": 1, "M": 1, "N": 64},
}


def training(
    rule,
    K=3,
    M=2,
    N=100,
    activation="erf",
    teacher="erf",
    readout=False,
    place_=CPU,
    seeds=5,
    **rest,
):
    task = ts.TeacherStudent(M, activation=teacher, noise=0.1)
    problem = ts.Problem(task, ts.Student(K, activation, train_readout=readout), rule, **rest)
    numbers = list(range(seeds))
    networks = set_up(task, ts.random_start(problem, N=N, seed=0), N, numbers)
    return WeightsTraining(problem, networks, numbers, [0, 20], "float32", 0, place=place_)


def advanced(program, one, **options):
    """The networks after 20 steps, the first 13 of them in one call."""
    run = jax.tree.map(jnp.copy, one.run)
    for first, count in ((0, 13), (13, 7)):
        run = program(
            one.bare,
            one.source,
            one.w_star,
            one.keys,
            run,
            jnp.uint32(first),
            jnp.uint32(count),
            **options,
        )
    return run


@has_kernel
@pytest.mark.parametrize("name", mostly_long(WEIGHTS, ["both layers, decay, own activations"]))
def test_the_kernel_makes_the_same_steps(name):
    with jax.enable_x64(True):
        one = training(**WEIGHTS[name])
        assert weights_kernel.fits(one.problem, one.N, 5)
        plain = advanced(weights.train_weights, one, block=8, shared=True)
        ours = advanced(weights_kernel.train_weights_in_kernel, one, block=8, interpret=True)
        again = advanced(weights_kernel.train_weights_in_kernel, one, block=3, interpret=True)
    assert float(jnp.abs(ours.student.w - one.run.student.w).max()) > 0.1
    for a, b, c in zip(*map(jax.tree.leaves, (ours, plain, again)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-6)
        np.testing.assert_array_equal(a, c)


@pytest.fixture
def interpreted_kernel(monkeypatch):
    """Whole weights run in the kernel, interpreted on the CPU."""
    monkeypatch.setattr(devices, "KERNELS_ON", ("cpu",))
    monkeypatch.setattr(
        weights_kernel,
        "train_weights_in_kernel",
        partial(weights_kernel.train_weights_in_kernel, interpret=True),
    )
    weights_training.program.cache_clear()
    yield
    weights_training.program.cache_clear()


@pytest.mark.long
@has_kernel
@pytest.mark.slow
def test_a_whole_simulation_in_the_kernel(interpreted_kernel, monkeypatch, tmp_path):
    problem = ts.Problem(
        ts.TeacherStudent(2, noise=0.1), ts.Student(3, train_readout=True), ts.SGD(0.5)
    )
    start = ts.random_start(problem, N=60, seed=0)
    run = lambda **given: ts.simulate(
        problem, start, [0, 0.5, 2.0], N=60, seeds=3, device="cpu:0", **given
    )
    ours = run()
    with interrupted_after(20):
        run(checkpoint=tmp_path / "run.npz")
    np.testing.assert_array_equal(run(checkpoint=tmp_path / "run.npz").Q, ours.Q)
    monkeypatch.setattr(devices, "KERNELS_ON", ())
    usual = run()
    assert [description(one)["report"]["program"] for one in (ours, usual)] == ["kernel", "loop"]
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(ours[name], usual[name], rtol=0, atol=2e-5)
    assert float(abs(ours.Q[:, -1] - ours.Q[:, 0]).max()) > 0.05


@has_kernel
def test_the_kernel_says_when_a_network_diverges():
    with jax.enable_x64(True):
        one = training(ts.SGD(60.0), activation="quadratic")
        plain = advanced(weights.train_weights, one, block=8, shared=True)
        ours = advanced(weights_kernel.train_weights_in_kernel, one, block=8, interpret=True)
    assert (np.asarray(plain.diverged) < 20).all()
    np.testing.assert_array_equal(ours.diverged, plain.diverged)


@has_kernel
@pytest.mark.parametrize("name", WEIGHTS)
def test_the_kernel_is_written_for_cuda(name):
    with jax.enable_x64(True):
        one = training(**WEIGHTS[name])
        arguments = (
            one.bare,
            one.source,
            one.w_star,
            one.keys,
            one.run,
            jnp.uint32(0),
            jnp.uint32(20),
        )
        assert "triton" in text_for_cuda(
            partial(weights_kernel.train_weights_in_kernel, block=8), *arguments
        )


@has_kernel
def test_which_problems_the_kernel_takes():
    def fits(rule=None, N=1000, seeds=1, K=4, **student):
        problem = ts.Problem(ts.TeacherStudent(2), ts.Student(K, **student), rule or ts.SGD(0.1))
        return weights_kernel.fits(problem, N, seeds)

    assert fits() and fits(N=2048) and fits(activation="relu")
    assert not fits(ts.SphericalSGD(0.1)) and not fits(activation="tanh")
    assert not fits(N=4096) and not fits(K=16) and not fits(seeds=10**6)


def test_where_the_kernel_cannot_be_made_the_loop_runs(monkeypatch):
    usual = training(ts.SGD(0.3))
    assert not usual.fused
    monkeypatch.setattr(devices, "KERNELS_ON", ("cpu",))  # on which Pallas can only interpret
    with jax.enable_x64(True):
        with pytest.warns(UserWarning, match="kernel does not run on .*cpu.* run as a loop, more"):
            other = training(ts.SGD(0.3))
        assert not other.fused
        ends = [one.advanced(jnp.uint32(0), jnp.uint32(20)) for one in (usual, other)]
    for ours, theirs in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_array_equal(ours, theirs)
