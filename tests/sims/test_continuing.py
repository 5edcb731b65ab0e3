"""Simulations that go on from a state of another run: all numbers are those of one run."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import description
from tests.long import marked_as_long, mostly_long
from tests.problems import committee, random_overlaps
from tests.processes import quick_compilation

K, M, N = 3, 2, 60
FIRST, SECOND = [0.0, 0.5, 1.2], [1.2, 2.0, 2.5]
ALL = sorted({*FIRST, *SECOND})
V = [0.5, 1.0, -0.7]
DTYPES = ("float32", "float64")


def isotropic(rule, **options) -> ts.Problem:
    return ts.Problem(
        ts.TeacherStudent(M, readout=[1.0, -0.5], noise=0.2),
        ts.Student(K, train_readout=True),
        rule,
        **options,
    )


def manifold(rule=None) -> ts.Problem:
    task = ts.HiddenManifold(M, latent_ratio=0.4, noise=0.1)
    return ts.Problem(task, ts.Student(K, train_readout=True), rule or ts.SGD(0.3))


def spiked() -> ts.Problem:
    task = ts.SpikedCumulant(beta=3.0, latent="rademacher")
    student = ts.Student(K, train_readout=True, train_bias=True)
    return ts.Problem(task, student, ts.SGD(0.3), loss="logistic")


def begin(seed: int = 0) -> ts.OrderParameters:
    """Rows of length 1, from which every rule can begin."""
    start = random_overlaps(K, M, seed=seed)
    lengths = np.sqrt(np.diagonal(start.Q))
    Q = start.Q / np.outer(lengths, lengths)
    return ts.OrderParameters((Q + Q.T) / 2, start.R / lengths[:, None], start.T, V)


def begin_spiked() -> ts.OrderParameters:
    return ts.OrderParameters(0.5 * np.eye(K), m=[[0.1], [-0.2], [0.3]], v=V, b=[0.1, 0.0, -0.1])


def batch_of(*starts) -> ts.OrderParameters:
    return ts.OrderParameters(
        *(np.stack([getattr(one, name) for one in starts]) for name in ("Q", "R", "T", "v"))
    )


def run(problem, start, times, **options):
    options = {"N": N, "seeds": 3, "keep": "weights", "progress": False} | options
    if options.get("method") == "reduced":
        del options["keep"]
    return ts.simulate(problem, start, times, **options)


def go_on(problem, data, times, **options):
    """From the last state, with the settings that the run had."""
    if description(data)["report"]["method"] == "weights":
        options = {"keep": "weights"} | options
    return ts.simulate(problem, ts.last_state(data), times, progress=False, **options)


def assert_ends(part, whole):
    """The dataset has the last times of another one, and what is kept, to the last bit."""
    assert set(part.data_vars) == set(whole.data_vars)
    for name in part.data_vars:
        expected = whole[name]
        if "time" in expected.dims:
            expected = expected.isel(time=slice(-part.sizes["time"], None))
        np.testing.assert_array_equal(part[name], expected, err_msg=name)
    np.testing.assert_array_equal(part.seed, whole.seed)


def assert_continues(problem, start, **options):
    whole = run(problem, start, ALL, **options)
    first = run(problem, start, FIRST, **options)
    second = go_on(problem, first, SECOND)
    assert_ends(second, whole)
    assert abs(whole.Q.isel(time=-1) - whole.Q.isel(time=2)).max() > 1e-3
    report = description(second)["report"]
    assert report["continued_at"] == first.time[-1] and report["last_step"] == 2.5 * N
    return whole, first, second


# ---------------------------------------------------------------- rules

REMEMBER = {
    "heavy ball": ts.HeavyBall(0.5, gamma=2.0),
    "heavy ball, beta": ts.HeavyBall(0.05, beta=0.9),
    "Nero": ts.Nero(0.3, gamma=5.0),
    "Signum": ts.Signum(0.3, beta=0.8),
    "votes": ts.MajorityVote(0.3, workers=3, beta=0.5),
    "Madam": ts.Madam(0.3),
    "Fromage with a bound": ts.Fromage(0.3, p_bound=1.1),
}
FORGET = {
    "SGD": ts.SGD(0.5),
    "sphere": ts.SphericalSGD(0.3),
    "sign": ts.SignSGD(0.3),
    "AGD": ts.AGD(readout_gain=1.0),
}
RULES = REMEMBER | FORGET
CHAINS = ("heavy ball", "heavy ball, beta", "Fromage with a bound", "SGD", "sphere", "AGD")


@pytest.mark.parametrize(
    ("name", "dtype"),
    mostly_long(
        [(name, dtype) for name in RULES for dtype in DTYPES],
        [("heavy ball", "float32"), ("Nero", "float64")],
    ),
)
def test_weights_go_on_bit_by_bit(name, dtype):
    _, _, second = assert_continues(isotropic(RULES[name]), begin(), dtype=dtype)
    assert ("memory_last" in second) == (name in REMEMBER)
    assert second.w_last.dtype == dtype


@pytest.mark.parametrize(
    ("name", "dtype"),
    mostly_long(
        [(name, dtype) for name in CHAINS for dtype in DTYPES],
        [("heavy ball", "float64"), ("SGD", "float32")],
    ),
)
def test_chains_go_on_bit_by_bit(name, dtype):
    assert_continues(isotropic(RULES[name]), begin(), dtype=dtype, method="reduced")


def test_what_a_rule_remembers_is_needed():
    """Weights without their momentum go elsewhere: what the tests above would find."""
    problem = isotropic(RULES["heavy ball"])
    whole, first = (run(problem, begin(), times) for times in (ALL, FIRST))
    second = go_on(problem, first.drop_vars("memory_last"), SECOND)
    np.testing.assert_array_equal(second.Q[:, 0], whole.Q[:, 2])
    assert abs(second.Q[:, -1] - whole.Q[:, -1]).max() > 1e-3


def test_another_rule_begins_with_nothing_remembered():
    first = run(isotropic(RULES["heavy ball"]), begin(), FIRST, dtype="float64")
    other = go_on(isotropic(ts.SGD(0.3)), first, SECOND)
    again = go_on(isotropic(ts.SGD(0.3)), first.drop_vars("memory_last"), SECOND)
    assert "memory_last" not in other
    np.testing.assert_array_equal(other.Q[:, 0], first.Q[:, -1])
    np.testing.assert_array_equal(other.Q, again.Q)


# ---------------------------------------------------------------- inputs and starts


@pytest.mark.parametrize("dtype", mostly_long(DTYPES, ["float32"]))
def test_each_seed_keeps_its_manifold(dtype):
    whole, first, _ = assert_continues(manifold(), begin(), seeds=[2, 5, 9], dtype=dtype)
    some = [2, 0]
    second = go_on(manifold(), first.isel(seed=some), SECOND)
    np.testing.assert_array_equal(second.Q, whole.Q.isel(seed=some, time=slice(2, 5)))


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_spikes_go_on(method, dtype):
    _, _, second = assert_continues(spiked(), begin_spiked(), method=method, dtype=dtype)
    assert float(abs(second.b - [0.1, 0.0, -0.1]).max()) > 1e-3


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", [isotropic(ts.SGD(0.5)), manifold()], ids=["plain", "manifold"])
def test_given_weights_go_on(problem, dtype):
    start = ts.random_start(problem, N=N, seed=4)
    if not problem.task.HAS_MODES:
        rng = np.random.default_rng(0)
        w, w_star = rng.standard_normal((K, N)), rng.standard_normal((M, N))
        start = ts.start_from_weights(problem, w, V, w_star)
    whole, first, _ = assert_continues(problem, start, dtype=dtype)
    assert "w_start" in whole
    np.testing.assert_array_equal(first.w_star_last[1], start.network.w_star.astype(dtype))


@pytest.mark.parametrize(
    ("method", "dtype"),
    mostly_long(
        [(method, dtype) for method in ("weights", "reduced") for dtype in DTYPES],
        [("weights", "float32")],
    ),
)
def test_a_batch_of_starts_goes_on(method, dtype):
    """All seeds, and some of them, each with its own teacher."""
    starts = [begin(seed) for seed in range(4)]
    batch = batch_of(*starts)
    if method == "reduced":
        R = 0.1 * batch.R
        batch = ts.OrderParameters(batch.Q, R, np.broadcast_to(np.eye(M), (4, M, M)), batch.v)
    options = {"seeds": [7, 3, 4, 1], "method": method, "dtype": dtype}
    problem = isotropic(ts.SGD(0.5))
    whole, first, _ = assert_continues(problem, batch, **options)
    some = [3, 1]
    second = go_on(problem, first.isel(seed=some), SECOND)
    assert_ends(second, whole.isel(seed=some))
    later = go_on(problem, second.isel(seed=[1]), [3.0])
    np.testing.assert_array_equal(later.seed, [3])


def test_each_seed_begins_from_its_own_start():
    starts = [begin(seed) for seed in range(3)]
    seeds = [7, 3, 4]
    together = run(isotropic(ts.SGD(0.5)), batch_of(*starts), FIRST, seeds=seeds, dtype="float64")
    assert together.T.dims == ("seed", "teacher", "teacher_")
    for index, start in enumerate(starts):
        one = together.isel(seed=index)
        np.testing.assert_allclose(one.Q[0], start.Q, rtol=0, atol=1e-12)
        np.testing.assert_allclose(one.R[0], start.R, rtol=0, atol=1e-12)
        np.testing.assert_allclose(one["T"], start.T, rtol=0, atol=1e-12)
        single = run(
            isotropic(ts.SGD(0.5)), start, FIRST, seeds=seeds[index : index + 1], dtype="float64"
        )
        np.testing.assert_array_equal(one.Q, single.Q[0])
        np.testing.assert_array_equal(one.eps_g, single.eps_g[0])


def test_a_batch_gives_the_number_of_seeds():
    data = ts.simulate(committee(), batch_of(begin(1), begin(2)), [0.0], N=N)
    np.testing.assert_array_equal(data.seed, [0, 1])


# ---------------------------------------------------------------- how a run is cut


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["weights"]))
def test_it_goes_on_through_a_file_twice_in_a_row_and_with_observables(method, tmp_path):
    problem = isotropic(RULES["heavy ball"])
    observables = ["alignment", "norms"]
    options = {"method": method, "observables": observables, "seeds": [5, 2]}
    whole = run(problem, begin(), ALL, **options)
    data = run(problem, begin(), [0.0, 0.5], **options)
    for times in ([0.5, 1.2], [2.0], [2.0], [2.5]):
        ts.save(tmp_path / "run.h5", simulation=data, force=True)
        data = ts.load(tmp_path / "run.h5")["simulation"].dataset
        data = go_on(problem, data, times, observables=observables)
        found = data.drop_vars(["w_last", "memory_last", "chain_last"], errors="ignore")
        np.testing.assert_array_equal(found.time, times)
        for name in found.data_vars:
            expected = whole[name]
            if "time" in expected.dims:
                expected = expected.sel(time=times)
            np.testing.assert_array_equal(found[name], expected, err_msg=name)
    for name in ("w_last", "memory_last", "chain_last"):
        if name in whole:
            np.testing.assert_array_equal(data[name], whole[name])


def test_it_goes_on_in_the_middle_of_a_block():
    """After numbers of updates that no block of random numbers ends with."""
    problem, start = isotropic(ts.SGD(0.5)), begin()
    whole = run(problem, start, [0.0, 101 / N, 200 / N])
    data = run(problem, start, [0.0, 7 / N])
    for step in (8, 65, 101, 200):
        data = go_on(problem, data, [step / N])
    assert_ends(data, whole)


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], []))
def test_groups_of_seeds_go_on(method, monkeypatch):
    problem = isotropic(RULES["heavy ball"])
    whole = run(problem, begin(), ALL, method=method)
    first = run(problem, begin(), FIRST, method=method)
    monkeypatch.setattr(
        "sims.two_layer.groups_that_fit", lambda seeds, *rest: [seeds[:2], seeds[2:]]
    )
    assert_ends(go_on(problem, first, SECOND), whole)
    assert_ends(go_on(problem, run(problem, begin(), FIRST, method=method), SECOND), whole)


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], []))
def test_a_stopped_run_and_a_checkpoint_go_on(method, tmp_path):
    """A run that a callback has stopped has a state; one that goes on has checkpoints."""
    problem = isotropic(RULES["heavy ball"])
    whole = run(problem, begin(), ALL, method=method)
    stopped = run(problem, begin(), ALL, method=method, callback=lambda t, record: t >= 1.2)
    assert stopped.sizes["time"] == 3
    assert_ends(go_on(problem, stopped, SECOND), whole)
    path = tmp_path / "run.ckpt"
    half = go_on(problem, stopped, SECOND, checkpoint=path, callback=lambda t, record: t >= 2.0)
    assert half.sizes["time"] == 2 and path.exists()
    assert_ends(go_on(problem, stopped, SECOND, checkpoint=path), whole)
    half = go_on(problem, stopped, SECOND, checkpoint=path, callback=lambda t, record: t >= 2.0)
    other = run(problem, begin(seed=1), FIRST, method=method)
    with pytest.raises(ValueError, match="checkpoint"):
        go_on(problem, other, SECOND, checkpoint=path)


ON_DEVICES = """
import numpy as np
import teacherstudent as ts
heavy = ts.HeavyBall(0.5, gamma=2.0)
# The chain of a rule that remembers rows rounds differently on two devices, also of one run.
cases = (("weights", heavy, 0), ("reduced", ts.SGD(0.5), 0), ("reduced", heavy, 1e-12))
for method, rule, allowed in cases:
    problem = ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(3), rule)
    start = ts.random_start(problem, N=50, seed=0)
    keep = "weights" if method == "weights" else None
    given = {"N": 60, "seeds": 5, "method": method, "keep": keep}
    whole = ts.simulate(problem, start, [0, 1, 2], device="cpu:0", **given)
    for one, other in (("cpu", "cpu"), ("cpu", "cpu:1"), ("cpu:1", "cpu")):
        first = ts.simulate(problem, start, [0, 1], device=one, **given)
        second = ts.simulate(problem, ts.last_state(first), [1, 2], keep=keep, device=other)
        for name in second.data_vars:
            expected = whole[name]
            if "time" in expected.dims:
                expected = expected[:, 1:]
            np.testing.assert_allclose(second[name], expected, rtol=0, atol=allowed)
"""


@pytest.mark.long
def test_two_devices_go_on_with_the_same_numbers():
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES],
        env=environment | quick_compilation(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- what is kept


def test_the_weights_have_the_recorded_overlaps():
    data = run(isotropic(ts.SGD(0.5)), begin(), FIRST, dtype="float64")
    w, w_star = data.w_last.values, data.w_star_last.values
    assert w.shape == (3, K, N) and w_star.shape == (3, M, N)
    end = data.isel(time=-1)
    np.testing.assert_allclose(np.einsum("ski,sli->skl", w, w) / N, end.Q, rtol=0, atol=1e-13)
    np.testing.assert_allclose(np.einsum("ski,smi->skm", w, w_star) / N, end.R, atol=1e-13)
    bare = ts.simulate(isotropic(ts.SGD(0.5)), begin(), FIRST, N=N, seeds=3, dtype="float64")
    assert "w_last" not in bare and "memory_last" not in bare
    np.testing.assert_array_equal(bare.Q, data.Q)


def test_the_weights_on_given_inputs_have_the_recorded_overlaps():
    """Q = w Omega w^T / N and R = w Phi w*^T / sqrt(N D), with the matrices of the dataset."""
    Omega = 0.5 * np.eye(20) + 0.5 / 20
    task = ts.GaussianEquivalent(Omega, np.linalg.cholesky(Omega)[:, :12] * 0.5, width=M)
    problem = ts.Problem(task, ts.Student(K), ts.SGD(0.2))
    start = ts.random_start(problem, seed=3)
    data = ts.simulate(problem, start, [0.0, 1.0], seeds=2, dtype="float64", keep="weights")
    w, w_star, end = data.w_last.values, data.w_star_last.values, data.isel(time=-1)
    Q = np.einsum("ski,ij,slj->skl", w, data.Omega, w) / 20
    R = np.einsum("ski,ir,smr->skm", w, data.Phi, w_star) / np.sqrt(20 * 12)
    np.testing.assert_allclose(Q, end.Q, rtol=0, atol=1e-12)
    np.testing.assert_allclose(R, end.R, rtol=0, atol=1e-12)


@pytest.mark.long
def test_what_is_kept_is_compressed_and_checked_in_files(tmp_path):
    data = run(isotropic(RULES["heavy ball"]), begin(), FIRST)
    chain = run(isotropic(RULES["heavy ball"]), begin(), FIRST, method="reduced")
    for simulation, names in (
        (data, ("w_last", "w_star_last", "memory_last")),
        (chain, ("chain_last",)),
    ):
        path = tmp_path / f"{names[0]}.h5"
        ts.save(path, simulation=simulation)
        with h5py.File(path) as file:
            for name in names:
                stored = file[f"simulation/{name}"]
                assert stored.compression == "gzip" and stored.fletcher32
                assert stored.dtype == simulation[name].dtype
        again = ts.load(path)["simulation"].dataset
        for name in names:
            np.testing.assert_array_equal(again[name], simulation[name])
    damaged = bytearray((tmp_path / "w_last.h5").read_bytes())
    with h5py.File(tmp_path / "w_last.h5") as file:
        chunk = file["simulation/w_last"].id.get_chunk_info(0)
    damaged[chunk.byte_offset + chunk.size // 2] ^= 1
    (tmp_path / "w_last.h5").write_bytes(damaged)
    with pytest.raises(ValueError, match="w_last.h5"):
        ts.load(tmp_path / "w_last.h5")


# ---------------------------------------------------------------- theory and simulation


@pytest.mark.long
def test_a_theory_goes_on_from_networks_as_a_batch():
    data = run(isotropic(ts.SGD(0.5)), begin(), FIRST, dtype="float64")
    state = ts.last_state(data)
    assert state.batch == (3,) and state.time == 1.2
    theory = ts.integrate(isotropic(ts.SGD(0.5)), state, SECOND)
    assert theory.sizes["start"] == 3
    np.testing.assert_allclose(theory.Q[:, 0], data.Q[:, -1], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(theory.v[:, 0], data.v[:, -1])
    one = ts.integrate(
        isotropic(ts.SGD(0.5)), ts.start_of(data.isel(time=-1, seed=1)), np.array(SECOND) - 1.2
    )
    np.testing.assert_allclose(theory.Q[1], one.Q, rtol=0, atol=1e-8)


@pytest.mark.long
def test_networks_go_on_from_a_theory_with_its_overlaps_at_its_time():
    theory = ts.integrate(isotropic(ts.SGD(0.5)), begin(), FIRST)
    state = ts.last_state(theory)
    for method in ("weights", "reduced"):
        data = ts.simulate(
            isotropic(ts.SGD(0.5)), state, SECOND, N=N, seeds=2, dtype="float64", method=method
        )
        np.testing.assert_array_equal(data.time, SECOND)
        for name in ("Q", "R", "v", "eps_g"):
            for seed in range(2):
                np.testing.assert_allclose(
                    data[name][seed, 0], theory[name][-1], rtol=0, atol=1e-12
                )


@pytest.mark.long
def test_a_theory_and_networks_from_the_same_state_have_the_same_start():
    problem = isotropic(ts.SGD(0.5))
    state = ts.last_state(ts.integrate(problem, begin(), FIRST))
    theory = ts.integrate(problem, state, SECOND)
    networks = ts.simulate(problem, state, SECOND, N=N, seeds=6, method="reduced")
    assert "differ in" not in ts.compare(theory, networks).attrs["verdict"]


def test_a_start_at_a_time_sees_the_numbers_of_that_time():
    """Networks from a theory's state at t = 1.2 take the rate of t = 1.2, not that of t = 0."""
    state = ts.last_state(ts.integrate(isotropic(ts.SGD(0.5)), begin(), FIRST))
    rate = ts.piecewise([0.5, 0.0], [1.0])
    for method in ("weights", "reduced"):
        data = run(isotropic(ts.SGD(rate)), state, SECOND, method=method)
        np.testing.assert_allclose(data.Q[:, 0], data.Q[:, -1], atol=1e-13)


@pytest.mark.parametrize(
    ("problem", "start"),
    [(isotropic(ts.SGD(0.5)), begin()), marked_as_long((manifold(), begin()))],
    ids=["plain", "manifold"],
)
def test_states_at_earlier_times_are_a_batch_without_weights(problem, start):
    data = run(problem, start, FIRST, dtype="float64")
    state = ts.state_at(data, 0.5)
    assert state.time == 0.5 and state.batch == (3,) and state.kept is None
    np.testing.assert_array_equal(state.R, data.R[:, 1])
    later = ts.simulate(problem, state, [0.5, 1.2], N=N, dtype="float64")
    np.testing.assert_allclose(later.Q[:, 0], data.Q[:, 1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(later.R[:, 0], data.R[:, 1], rtol=0, atol=1e-10)
    assert abs(later.Q[:, 1] - data.Q[:, 2]).max() > 1e-6  # other weights
    assert ts.state_at(data, 1.2).kept is not None
    one = ts.start_of(data.isel(seed=1, time=1)) if not problem.task.HAS_MODES else None
    if one is not None:
        np.testing.assert_array_equal(one.R, state.R[1])


def test_a_theory_on_structured_inputs_needs_the_modes_of_the_networks():
    """Trained weights have overlaps by mode that Q and R do not tell."""
    data = run(manifold(), begin(), FIRST)
    for state in (ts.last_state(data), ts.state_at(data, 0.5)):
        with pytest.raises(ValueError, match=r"start is a state at t = \S+ without overlaps by m"):
            ts.integrate(manifold(), state, SECOND)


# ---------------------------------------------------------------- what is refused


@pytest.fixture(scope="module")
def kept():
    return run(isotropic(ts.SGD(0.5)), begin(), FIRST)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"N": 61}, "N = 61, but the start is the state of a simulation with N = 60; leave N out"),
        ({"seeds": 5}, r"seeds = 5, but the start is the state .* seeds = \[0, 1, 2\]; leave see"),
        ({"seeds": [0, 2, 1]}, r"seeds = \[0, 2, 1\], but the start is the state of a simulation"),
        ({"dtype": "float64"}, "dtype = 'float64', but .* with dtype = 'float32'; leave dtype out"),
        ({"method": "reduced"}, "method = 'reduced', but .* with method = 'weights'; leave method"),
        ({"times": [1.0, 2.0]}, r"times\[0\] = 1 is before t = 1.2, the time of the start"),
    ],
)
def test_other_settings_are_refused(options, message, kept):
    options = {"times": SECOND} | options
    with pytest.raises(ValueError, match=message):
        ts.simulate(isotropic(ts.SGD(0.5)), ts.last_state(kept), **options)


def test_the_same_settings_may_be_repeated(kept):
    state = ts.last_state(kept)
    options = {"N": N, "seeds": [0, 1, 2], "dtype": "float32", "method": "weights"}
    one, other = (
        ts.simulate(isotropic(ts.SGD(0.5)), state, SECOND, **given) for given in ({}, options)
    )
    np.testing.assert_array_equal(one.Q, other.Q)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (committee(2, M), "start has 3 student units, but the problem has 2"),
        (committee(K, 1), "start has 2 teacher units, but the problem has 1"),
        (
            manifold(),
            r"the start is a state of another problem: its teachers \(or fixed directions\) are of "
            r"shape \(2, 60\), but those on these inputs of \(2, 24\)",
        ),
    ],
)
def test_the_state_of_another_problem_is_refused(problem, message, kept):
    with pytest.raises(ValueError, match=message):
        ts.simulate(problem, ts.last_state(kept), SECOND)


@pytest.mark.long
def test_the_chain_of_another_problem_is_refused():
    data = run(isotropic(ts.HeavyBall(0.5, gamma=2.0)), begin(), FIRST, method="reduced")
    with pytest.raises(ValueError, match="the start is a state of another problem: it keeps"):
        go_on(isotropic(ts.SGD(0.5)), data, SECOND)


def test_a_batch_that_does_not_fit_the_seeds_is_refused():
    batch = batch_of(begin(1), begin(2))
    with pytest.raises(ValueError, match="start is a batch of 2 starts, but there are 3 seeds"):
        ts.simulate(committee(), batch, [0.0, 1.0], N=N, seeds=3)
    with pytest.raises(ValueError, match="the starts of a batch have different T"):
        ts.simulate(committee(), batch, [0.0, 1.0], N=N, method="reduced")


def test_weights_that_were_not_kept_are_told():
    data = ts.simulate(isotropic(ts.SGD(0.5)), begin(), FIRST, N=N, seeds=2, dtype="float64")
    with pytest.warns(UserWarning, match=r'kept no networks \(keep="weights"\), so that one that'):
        state = ts.last_state(data)
    assert state.batch == (2,) and state.kept is None and state.time == 1.2
    later = ts.simulate(isotropic(ts.SGD(0.5)), state, SECOND, N=N, dtype="float64")
    np.testing.assert_allclose(later.Q[:, 0], data.Q[:, -1], rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="start is a batch of 2 starts, but there are 3 seeds"):
        ts.simulate(isotropic(ts.SGD(0.5)), state, SECOND, N=N, seeds=3)
    with pytest.raises(ValueError, match="N is missing"):
        ts.simulate(isotropic(ts.SGD(0.5)), state, SECOND)


def test_one_seed_or_a_mean_or_a_part_has_no_networks(kept):
    for data in (kept.isel(seed=0), kept.mean("seed", keep_attrs=True)):
        with pytest.raises(ValueError, match=r"one seed or a mean over seeds; .* isel\(seed=\[0\]"):
            ts.last_state(data)
    with pytest.raises(ValueError, match=r"the data end at t = 0.5, but their run at t = 1.2"):
        ts.last_state(kept.isel(time=slice(0, 2)))


def test_times_that_were_not_recorded_are_refused(kept):
    with pytest.raises(ValueError, match="t = 0.7 was not recorded; the nearest time is 0.5"):
        ts.state_at(kept, 0.7)
    data = run(isotropic(RULES["heavy ball"]), begin(), FIRST)
    with pytest.raises(ValueError, match="what the rule remembers is not known at t = 0.5, only"):
        ts.state_at(data, 0.5)


def test_a_run_that_went_on_has_no_start_of_its_own(kept):
    more = go_on(isotropic(ts.SGD(0.5)), kept, SECOND)
    with pytest.raises(ValueError, match="went on from t = 1.2 of another one, and have no start"):
        ts.start_of(more)
    one = ts.start_of(more.isel(seed=1, time=-1))
    np.testing.assert_array_equal(one.R, more.R[1, -1])


def test_only_weights_can_be_kept():
    with pytest.raises(ValueError, match="keep = 'all' is not known; known are 'weights'"):
        ts.simulate(committee(), begin(), FIRST, N=N, keep="all")
    with pytest.raises(ValueError, match="keep = 'weights' is for whole inputs and weights"):
        ts.simulate(committee(), begin(), FIRST, N=N, keep="weights", method="reduced")
    auto = ts.simulate(committee(), begin(), [0.0], N=N, seeds=1, keep="weights", method="auto")
    assert description(auto)["report"]["method"] == "weights"
