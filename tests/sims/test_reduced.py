"""The reduced chain: the same law as whole weights, the same numbers however it is run, and what it
refuses.
"""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import teacherstudent as ts
from sims.reduced import (
    chain as reduced,
    columns,
    draws as reduced_draws,
    kernel as reduced_kernel,
    lengths,
    training as reduced_training,
)
from sims.running.devices import Place, place
from sims.running.elementary import ElementaryErf
from sims.running.groups import FREE_PART, Bytes, groups_that_fit
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.processes import quick_compilation
from tests.sims.cuda import has_kernel, text_for_cuda
from tests.sims.interruption import interrupted_after

CPU = place("cpu:0")


def committee(rule, K=2, M=3, activation="erf", readout=False, **rest):
    student = ts.Student(K, activation, train_readout=readout)
    return ts.Problem(ts.TeacherStudent(M, activation, noise=0.2), student, rule, **rest)


def classes(task, rule=None, **rest):
    student = ts.Student(3, "erf", train_readout=True, train_bias=True)
    return ts.Problem(task, student, ts.SGD(0.8) if rule is None else rule, **rest)


def shifted(**rest):
    task = ts.ShiftedTeacherStudent(3, "erf", readout=[1.0, -0.5, 0.0], mean=[0.5, 0.0, 1.0])
    return ts.Problem(task, ts.Student(2, train_bias=True), ts.SGD(0.5), **rest)


LAWS = {
    "SGD, decay": committee(ts.SGD(0.8, weight_decay=0.3)),
    "SGD, both layers": committee(ts.SGD(0.8, 0.3), K=4, M=2, readout=True),
    "SGD, ReLU, batch above K": committee(ts.SGD(0.5), activation="relu", batch_size=3),
    "SGD, batch below K": committee(ts.SGD(1.0), K=3, M=2, batch_size=2),
    "SGD, quadratic": committee(ts.SGD(0.02), K=2, M=1, activation="quadratic"),
    "sphere": committee(ts.SphericalSGD(0.8)),
    "heavy ball, beta": committee(
        ts.HeavyBall(0.4, beta=0.6, readout_learning_rate=0.2), readout=True
    ),
    "heavy ball, gamma": committee(
        ts.HeavyBall(2.0, gamma=3.0, readout_learning_rate=2.0), readout=True
    ),
    "AGD": committee(ts.AGD(gain=0.5, readout_gain=0.5), readout=True, batch_size=2),
    "AGD, batches of N / 5": committee(ts.AGD(gain=0.5, first_scale=1.0), batch_ratio=0.2),
    "Fromage": committee(ts.Fromage(0.3, 0.2, p_bound=1.2), readout=True),
    "spike": classes(ts.SpikedCumulant(5)),
    "mixed cumulant": classes(ts.MixedCumulant(2, 5, coupling="sign")),
    "clusters, batch": classes(ts.GaussianMixture.xor(0.3), batch_size=2),
    "inputs with a mean, batch above K": shifted(batch_size=3),
    "box": classes(ts.BoxMixture([0.4, 0.6], [1, -1], [[[0.2, 1.0]], [[-1.0, 0.1]]]), ts.SGD(0.4)),
}


def start_of(problem, seed=3):
    start = ts.random_start(problem, N=30, seed=seed)
    if not isinstance(problem.rule, ts.SphericalSGD):
        return start
    norm = np.sqrt(np.diag(start.Q))
    return ts.OrderParameters(
        start.Q / np.outer(norm, norm), start.R / norm[:, None], start.T, start.v
    )


def both(problem, N, t, seeds, start=None, dtype="float32"):
    """The two methods from one start, seeds not shared."""
    start = start_of(problem) if start is None else start
    run = lambda method, numbers: ts.simulate(
        problem, start, [0, t], N=N, seeds=numbers, method=method, dtype=dtype
    )
    return run("weights", range(seeds)), run("reduced", range(seeds, 2 * seeds))


def two_samples(first, second):
    """The smallest p-value of Kolmogorov-Smirnov, and the largest z of the means, over all order
    parameters at the end.
    """
    p, z = [], []
    for name in ("Q", "R", "m", "v", "b"):
        if name not in first:
            continue
        columns_ = [
            one[name].values[:, -1].reshape(one.sizes["seed"], -1) for one in (first, second)
        ]
        for x, y in zip(columns_[0].T, columns_[1].T, strict=True):
            if x.std() > 1e-5:  # else it does not move
                p.append(stats.ks_2samp(x, y).pvalue)
                z.append(abs(x.mean() - y.mean()) / np.sqrt(x.var() / len(x) + y.var() / len(y)))
    return min(p), max(z)


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_long(LAWS, ["SGD, both layers"]))
def test_the_law_is_that_of_the_weights(name):
    first, second = both(LAWS[name], N=50, t=20.0 if LAWS[name].batch_ratio else 6.0, seeds=1500)
    for variable in set(first) & {"Q", "R", "m", "v", "b"}:
        np.testing.assert_allclose(second[variable][0, 0], first[variable][0, 0], atol=1e-5)
    p, z = two_samples(first, second)
    assert p > 1e-3 and z < 4


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("K, M, B", [(1, 1, 1), (2, 1, 3)])
def test_the_law_at_the_smallest_dimension(K, M, B):
    problem = committee(ts.SGD(0.6), K=K, M=M, batch_size=B)
    N = K + M + min(K, B)
    start = ts.random_start(problem, N=20, seed=1)
    p, z = two_samples(*both(problem, N, 40 / N, 4000, start))
    assert p > 1e-3 and z < 4


@pytest.mark.long
@pytest.mark.slow
def test_lengths_that_do_not_vary_are_found_out(monkeypatch):
    problem = committee(ts.SGD(0.8))
    whole, chain = both(problem, 50, 6.0, 8000)
    p, z = two_samples(whole, chain)
    assert p > 1e-3 and z < 4
    jax.clear_caches()
    monkeypatch.setattr(
        reduced_draws, "length", lambda z, terms, limit: jnp.full_like(z, 0.9 * np.sqrt(50 - 5))
    )
    wrong = ts.simulate(
        problem, start_of(problem), [0, 6.0], N=50, seeds=range(8000, 16000), method="reduced"
    )
    p, z = two_samples(whole, wrong)
    jax.clear_caches()
    assert p < 1e-6 and z > 8


@pytest.mark.parametrize("d", [1, 2, 5, 44, 10**6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lengths_of_gaussian_vectors(d, dtype):
    limit = lengths.LIMITS[dtype][0]
    z = np.linspace(-0.97 * limit, 0.97 * limit, 301)
    expected = np.where(
        z < 0, stats.chi.ppf(stats.norm.cdf(z), d), stats.chi.isf(stats.norm.sf(z), d)
    )
    terms = jnp.asarray(lengths.table([d], dtype)[0], dtype)
    found = lengths.length(jnp.asarray(z, dtype), terms, limit)
    assert found.dtype == dtype and 3 <= len(terms) < {1: 100, 2: 80}.get(d, 45)
    np.testing.assert_allclose(
        found, expected, rtol=0, atol={"float32": 5e-6, "float64": 1e-9}[dtype] * np.sqrt(d)
    )
    assert lengths.coefficients(0, dtype) == (0.0,)


@pytest.mark.parametrize("rows, count", [(3, 4), (4, 4), (1, 2), (3, 1), (2, 5)])
def test_triangular_keeps_all_products(rows, count):
    x = np.random.default_rng(0).standard_normal((count, rows, 7))
    x[:, -1, :2] = 0  # a row of zeros for some seeds
    dense = [jnp.asarray(column) for column in x]
    entries = [tuple(column[k : k + 1] for k in range(rows)) for column in dense]
    for given in (dense, entries):
        found = [columns.padded(column, rows) for column in columns.triangular(given)]
        full = jnp.stack(
            [jnp.concatenate(column) if isinstance(column, tuple) else column for column in found]
        )
        np.testing.assert_allclose(
            jnp.einsum("cis,cjs->ijs", full, full), np.einsum("cis,cjs->ijs", x, x), atol=1e-13
        )
        assert all(
            (np.asarray(full)[j, :j] == 0).all() and (np.asarray(full)[j, j] >= 0).all()
            for j in range(len(full))
        )


def training(problem, seeds=40, N=100, place_=CPU):
    start = start_of(problem)
    with jax.enable_x64(True):
        return reduced_training.ReducedTraining(
            problem, [start], N, list(range(seeds)), [0, 20], "float32", place_
        )


KERNELS = (
    "SGD, decay",
    "spike",
    "SGD, ReLU, batch above K",
    "inputs with a mean, batch above K",
)  # rules are written for it one by one


@has_kernel
@pytest.mark.slow
@pytest.mark.long  # the kernel of whole weights is always interpreted, in test_weights_kernel
@pytest.mark.parametrize("name", KERNELS)
def test_the_kernel_makes_the_same_steps(name):
    one = training(LAWS[name])
    arrays, count = (one.setting, one.law, one.keys), (jnp.uint32(0), jnp.uint32(20))
    other = jax.jit(partial(reduced_kernel.run_chain_in_kernel, block=8, interpret=True))(
        *arrays, one.run, *count
    )
    plain = jax.jit(partial(reduced.run_chain, block=8))(*arrays, one.run, *count)
    assert reduced_kernel.fits(one.setting, one.law)
    for ours, theirs in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-5)


@has_kernel
@pytest.mark.parametrize("name", KERNELS)
def test_the_kernel_is_written_for_cuda(name):
    one = training(LAWS[name])
    arguments = (one.setting, one.law, one.keys, one.run, jnp.uint32(0), jnp.uint32(20))
    assert "triton" in text_for_cuda(
        partial(reduced_kernel.run_chain_in_kernel, block=8), *arguments
    )


@has_kernel
def test_which_problems_the_kernel_takes():
    fits = lambda **given: reduced_kernel.fits(
        *(lambda one: (one.setting, one.law))(training(committee(ts.SGD(0.1), **given)))
    )
    assert fits(activation="linear") and fits(batch_size=4)
    heavy_ball = training(committee(ts.HeavyBall(0.1, beta=0.5)))
    assert not reduced_kernel.fits(heavy_ball.setting, heavy_ball.law)
    assert not fits(activation="tanh") and not fits(batch_size=5) and not fits(K=9, M=4)


def test_elementary_erf():
    x = np.linspace(-6, 6, 1001)
    erf = ElementaryErf()
    np.testing.assert_allclose(erf(jnp.asarray(x)), 2 * stats.norm.cdf(x) - 1, rtol=0, atol=2e-7)
    np.testing.assert_allclose(erf.derivative(jnp.asarray(x)), 2 * stats.norm.pdf(x), rtol=1e-12)


def reduced_run(**changes):
    given = {"N": 1000, "seeds": 4, "method": "reduced"} | changes
    problem = given.pop("problem", committee(ts.SGD(0.5)))
    return ts.simulate(
        problem, given.pop("start", start_of(committee(ts.SGD(0.5)))), [0, 0.1, 0.5], **given
    )


def test_numbers_depend_on_the_seed_alone(monkeypatch, tmp_path):
    usual = reduced_run(seeds=[3, 7, 9])
    monkeypatch.setattr(reduced_training, "BLOCK_BYTES", {"cpu": 2**10})
    np.testing.assert_array_equal(reduced_run(seeds=[3, 7, 9]).Q, usual.Q)
    give_memory_for(2, monkeypatch)
    np.testing.assert_array_equal(reduced_run(seeds=[3, 7, 9]).Q, usual.Q)


def give_memory_for(seeds, monkeypatch):
    """Of `reduced_run`."""
    needed = reduced_training.bytes_needed(committee(ts.SGD(0.5)), 1000, "float32", "cpu")
    free = (needed.shared + (seeds + 0.5) * needed.of_seed) / FREE_PART
    monkeypatch.setattr(Place, "free_bytes", lambda self: free)


def test_processes_on_one_host_share_its_memory(monkeypatch):
    monkeypatch.setattr(Place, "free_bytes", lambda self: 2000)
    groups = lambda sharing: groups_that_fit(
        list(range(12)), Bytes(shared=100, of_seed=100), cpu, 50, sharing
    )
    cpu = Place(tuple(jax.local_devices(backend="cpu")[:1]))
    assert [len(groups(sharing)[0]) for sharing in (1, 2, 4)] == [11, 5, 2]


def test_an_interrupted_run_goes_on(tmp_path):
    with interrupted_after(200):
        reduced_run(checkpoint=tmp_path / "run.npz")
    resumed = reduced_run(checkpoint=tmp_path / "run.npz")
    np.testing.assert_array_equal(resumed.Q, reduced_run().Q)
    assert not list(tmp_path.iterdir())


ON_DEVICES = """
import numpy as np
import teacherstudent as ts
problem = ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(3), ts.SGD(0.5))
start = ts.random_start(problem, N=50, seed=0)
run = lambda **given: ts.simulate(problem, start, [0, 1, 3], N=60, seeds=5, **given)
"""

IN_THE_LOOP = """
for method in ("weights", "reduced"):
    one, two = (run(method=method, device=device) for device in ("cpu:1", "cpu"))
    assert two.sizes["seed"] == 5
    for name in ("Q", "R", "eps_g"):
        np.testing.assert_array_equal(one[name], two[name])
try:
    ts.simulate(problem, start, [0, 1], N=60, device="cpu:2")
except ValueError as error:
    print(error)
"""

ON_A_MANIFOLD = """
manifold = ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.4), ts.Student(3), ts.SGD(0.3))
given = {"N": 40, "seeds": 3}
one, two = (ts.simulate(manifold, start, [0, 1], device=d, **given) for d in ("cpu:0", "cpu"))
# Every seed has its own F, and products round differently.
np.testing.assert_allclose(one.Q, two.Q, rtol=0, atol=1e-5)
"""

IN_THE_KERNEL = """
from functools import partial
from sims.running import devices
from sims.weights import kernel as weights_kernel
from sims.weights import training as weights_training
from teacherstudent.results.datasets import description
devices.KERNELS_ON = ("cpu",)
in_kernel = weights_kernel.train_weights_in_kernel
weights_kernel.train_weights_in_kernel = partial(in_kernel, interpret=True)
weights_training.program.cache_clear()
one, two = (run(device=device) for device in ("cpu:1", "cpu"))
assert [description(found)["report"]["program"] for found in (one, two)] == ["kernel", "kernel"]
np.testing.assert_array_equal(one.Q, two.Q)
"""


def printed_on_two_devices(script: str) -> str:
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES + script],
        env=environment | quick_compilation(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_two_devices_give_the_same_numbers():
    assert printed_on_two_devices(IN_THE_LOOP) == (
        "device = 'cpu:2' is not on this machine; here are: cpu:0, cpu:1.\n"
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "script", ["ON_A_MANIFOLD", pytest.param("IN_THE_KERNEL", marks=has_kernel)]
)
def test_two_devices_give_the_same_numbers_elsewhere_too(script):
    assert printed_on_two_devices(globals()[script]) == ""


def test_rates_and_dimensions_do_not_compile_anew():
    reduced_training.program.cache_clear()
    reduced_run(device="cpu:0")
    steps = reduced_training.program(CPU, training(committee(ts.SGD(0.5)), seeds=4).block, False)
    for changed in ({"problem": committee(ts.SGD(0.7))}, {"N": 1001}):
        reduced_run(device="cpu:0", **changed)
        assert steps._cache_size() == 1 and reduced_training.program.cache_info().currsize == 1


@pytest.mark.long
def test_a_million_inputs_follow_the_theory():
    problem, start = committee(ts.SGD(0.5)), start_of(committee(ts.SGD(0.5)))
    theory = ts.integrate(problem, start, [0, 0.02])
    networks = ts.simulate(
        problem, start, [0, 0.02], N=10**6, seeds=200, method="reduced", dtype="float64"
    )
    for name in ("Q", "R"):
        moved = (networks[name] - networks[name][:, 0]).values[:, 1]
        error = moved.std(axis=0) / np.sqrt(200)
        expected = (theory[name][1] - theory[name][0]).values
        assert (np.abs(moved.mean(axis=0) - expected) < 4.5 * error + 1e-7).all()


@pytest.mark.parametrize("N", mostly_long([2**17, 2**20], [2**20]))
def test_small_updates_are_not_lost(N):
    # the noise adds eta^2 E delta^2 / N to Q at each update, 3e-9 at N = 2^20: less than float32
    # can add to 1.3
    problem = ts.Problem(ts.TeacherStudent(1, noise=1.0), ts.Student(1), ts.SGD(0.1))
    start, times = ts.OrderParameters([[1.3]], [[0.1]]), [0, 0.02]
    networks = ts.simulate(problem, start, times, N=N, seeds=256, method="reduced")
    moved = (networks.Q[:, 1] - networks.Q[:, 0]).values.ravel()
    theory = ts.integrate(problem, start, times).Q.values.ravel()
    assert abs(moved.mean() - (theory[1] - theory[0])) < 4.5 * moved.std() / 16 + 1e-7


def test_a_checkpoint_of_other_groups_is_not_passed_over(monkeypatch, tmp_path):
    (tmp_path / "run.npz").write_bytes(b"of one group")
    give_memory_for(1, monkeypatch)
    with pytest.raises(
        ValueError, match="run whose seeds were in other groups, because there was more free memory"
    ):
        reduced_run(seeds=3, checkpoint=tmp_path / "run.npz")
    assert (tmp_path / "run.npz").read_bytes() == b"of one group"


def test_starts_on_the_edge():
    T = np.ones((3, 3))  # three equal teacher units
    same = ts.OrderParameters(np.ones((2, 2)), np.ones((2, 3)), T)
    first = reduced_run(start=same).isel(time=0)
    np.testing.assert_allclose(first.Q, 1.0, atol=1e-6)
    np.testing.assert_allclose(first.R, 1.0, atol=1e-6)
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.5))
    learnt = ts.OrderParameters(np.eye(2), np.eye(2))
    last = reduced_run(problem=problem, start=learnt).isel(time=-1)
    np.testing.assert_allclose(last.eps_g, 0, atol=1e-12)  # no error, no step


def test_auto_takes_the_chain_where_it_is_exact():
    method = lambda **changes: description(reduced_run(method="auto", **changes))["report"][
        "method"
    ]
    assert method() == "reduced"
    assert method(problem=committee(ts.SignSGD(0.01)), N=40) == "weights"
    assert method(test_samples=1000, N=40) == "weights"


def test_what_the_chain_refuses():
    with pytest.raises(
        ValueError,
        match="SignSGD depends on the coordinate axes, so that their overlaps are no Markov chain",
    ):
        reduced_run(problem=committee(ts.SignSGD(0.1)))
    with pytest.raises(ValueError, match="N = 5 is less than 6"):
        reduced_run(N=5)
    with pytest.raises(ValueError, match="test_samples is for whole inputs"):
        reduced_run(test_samples=1000)
    problem = ts.Problem(ts.HiddenManifold(2, "erf", "tanh", 0.5), ts.Student(2), ts.SGD(0.1))
    with pytest.raises(
        ValueError, match="inputs of HiddenManifold are not isotropic outside the span"
    ):
        ts.simulate(problem, ts.random_start(problem, N=40), [0, 1], method="reduced")


@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_a_seed_that_does_not_fit_the_memory(method, monkeypatch):
    monkeypatch.setattr(Place, "free_bytes", lambda self: 100)
    with pytest.raises(
        ValueError, match="one seed needs about .* GiB, but .* has .* GiB free, .*; use a smaller N"
    ):
        reduced_run(method=method)


def test_divergence_has_a_time():
    problem = committee(ts.SGD(40.0), activation="quadratic")
    with pytest.raises(ts.DivergenceError, match="the network of seed . diverges at t = 0"):
        reduced_run(problem=problem)
