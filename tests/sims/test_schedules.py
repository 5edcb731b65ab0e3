"""Networks whose numbers change with time: step by step in plain NumPy, beside the theory, in both
methods, cut into pieces.
"""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats
from scipy.special import erf

import teacherstudent as ts
from sims.reduced import training as reduced_training
from sims.weights.steps import train_weights
from tests.long import mostly_long
from tests.problems import random_overlaps
from tests.sims.interruption import interrupted_after
from tests.sims.test_weights import STEPS, K, M, N, drawn_inputs, weights

DTYPES = ("float32", "float64")
METHODS = ("weights", "reduced")
NAMES = ("Q", "R", "v", "eps_g")


def learning(rate=0.4, *, readout=1.0, noise=0.3, rule=ts.SGD, trained=True, **numbers):
    return ts.Problem(
        ts.TeacherStudent(M, readout=readout, noise=noise),
        ts.Student(K, train_readout=trained),
        rule(rate, **numbers),
    )


def begin(seed: int = 0) -> ts.OrderParameters:
    return random_overlaps(K, M, seed=seed, v=[0.5, 1.0, -0.7])


def run(problem, times, start=None, **options):
    options = {"N": 60, "seeds": 3, "progress": False} | options
    return ts.simulate(problem, start or begin(), times, **options)


def assert_same(one, other, names=NAMES):
    for name in names:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


# ---------------------------------------------------------------- plain NumPy


def numpy_training(w, v, w_star, x, zeta, numbers):
    """Online SGD of erf units, sample by sample; the step from t = n / N takes the numbers there.

    `numbers(t)` are eta, eta_v, sigma, the weight decay and the readout of the teacher.
    """
    w, v = w.copy(), v.copy()
    for step, ((sample,), (noise,)) in enumerate(zip(x, zeta, strict=True)):
        eta, eta_v, sigma, kappa, v_star = numbers(step / N)
        field = w @ sample / np.sqrt(N)
        hidden = erf(field / np.sqrt(2))
        slope = np.sqrt(2 / np.pi) * np.exp(-(field**2) / 2)
        y = v_star @ erf(w_star @ sample / np.sqrt(2 * N)) + sigma * noise
        error = v @ hidden - y
        dw = np.outer(v * slope * error, sample)
        w, v = (
            w - eta / np.sqrt(N) * dw - kappa / N * w,
            v - (eta_v * hidden * error + kappa * v) / N,
        )
    return w, v


V_STAR = np.array([1.0, -0.5])
T = STEPS / N  # the last time, 40 updates in 17 dimensions
IN_NUMPY = {
    # name: (problem, (eta, eta_v, sigma, kappa, v*) of t)
    "exponential": (
        learning(ts.exponential(0.8, rate=0.9, final=0.1), readout=V_STAR),
        lambda t: (*[0.1 + 0.7 * np.exp(-0.9 * t)] * 2, 0.3, 0.0, V_STAR),
    ),
    "cosine, readout with a rate of its own": (
        learning(
            ts.cosine(0.8, duration=1.5, final=0.2),
            readout=V_STAR,
            readout_learning_rate=ts.power(0.6),
        ),
        lambda t: (
            0.2 + 0.3 * (1 + np.cos(np.pi * min(t / 1.5, 1.0))),
            0.6 / (1 + t),
            0.3,
            0.0,
            V_STAR,
        ),
    ),
    "weight decay": (
        learning(readout=V_STAR, weight_decay=ts.linear(0.0, final=0.5, duration=2.0)),
        lambda t: (0.4, 0.4, 0.3, 0.5 * min(t / 2.0, 1.0), V_STAR),
    ),
    "noise": (
        learning(readout=V_STAR, noise=ts.warm_up(1.0, duration=2.0)),
        lambda t: (0.4, 0.4, min(t / 2.0, 1.0), 0.0, V_STAR),
    ),
    "readout": (
        learning(readout=ts.piecewise([V_STAR, -V_STAR], [1.0])),
        lambda t: (0.4, 0.4, 0.3, 0.0, V_STAR if t < 1.0 else -V_STAR),
    ),
    "one unit of the readout": (
        learning(readout=[1.0, ts.linear(-0.5, final=0.5, duration=2.0)]),
        lambda t: (0.4, 0.4, 0.3, 0.0, np.array([1.0, -0.5 + min(t / 2.0, 1.0)])),
    ),
    "function": (
        learning(ts.Schedule(lambda t: 0.4 + 0.3 * jnp.sin(5 * t)), readout=V_STAR),
        lambda t: (*[0.4 + 0.3 * np.sin(5 * t)] * 2, 0.3, 0.0, V_STAR),
    ),
    "schedule of optax": (
        learning(
            ts.Schedule(optax.linear_schedule(0.8, 0.2, 20), updates_per_time=N), readout=V_STAR
        ),
        lambda t: (*[0.8 - 0.6 * min(N * t / 20, 1.0)] * 2, 0.3, 0.0, V_STAR),
    ),
}


@pytest.mark.parametrize("name", mostly_long(IN_NUMPY, ["exponential", "noise", "readout"]))
def test_steps_equal_plain_numpy(name):
    problem, numbers = IN_NUMPY[name]
    w, v, w_star = weights(1)
    start = ts.start_from_weights(problem, w, v, w_star)
    simulation = ts.simulate(problem, start, [T], seeds=[5], dtype="float64")
    x, zeta = drawn_inputs(problem, 5, w_star)
    last = simulation.isel(seed=0, time=0)
    moved, readout = numpy_training(w, v, w_star, x, zeta, numbers)
    np.testing.assert_allclose(last.Q, moved @ moved.T / N, rtol=0, atol=1e-12)
    np.testing.assert_allclose(last.R, moved @ w_star.T / N, rtol=0, atol=1e-12)
    np.testing.assert_allclose(last.v, readout, rtol=0, atol=1e-12)
    late, _ = numpy_training(w, v, w_star, x, zeta, lambda t: numbers(t + 1 / N))
    assert abs(late @ late.T / N - last.Q.values).max() > 1e-6  # one step too late is noticed


@pytest.mark.long
def test_the_error_is_that_of_the_teacher_at_the_recorded_time():
    """At a jump it is the new teacher; weights and overlaps do not jump."""
    problem = learning(readout=ts.piecewise([V_STAR, -V_STAR], [1.0]))
    times = [0.5, 1.0, 1.5]
    for method in METHODS:
        data = run(problem, times, dtype="float64", **piece(method))
        for index, t in enumerate(times):
            for seed in range(3):
                state = ts.state_at(data.isel(seed=[seed]), t)
                one = ts.OrderParameters(state.Q[0], state.R[0], state.T[0], state.v[0])
                expected = float(ts.generalisation_error(problem.at(t), one))
                assert float(data.eps_g[seed, index]) == pytest.approx(expected, rel=1e-9)


def test_held_out_samples_see_the_teacher_of_the_time():
    problem = learning(readout=ts.piecewise([V_STAR, -3.0 * V_STAR], [1.0]))
    data = run(problem, [0.5, 1.0], test_samples=4000)
    gap = abs(data.test_error - data.eps_g)
    assert (gap < 5 * data.test_error_se).all()
    assert (data.eps_g[:, 1] > 3 * data.eps_g[:, 0]).all()


# ---------------------------------------------------------------- constants and pieces


@pytest.mark.parametrize(
    ("method", "dtype"),
    mostly_long(
        [(method, dtype) for method in METHODS for dtype in DTYPES],
        [("weights", "float32"), ("reduced", "float64")],
    ),
)
def test_a_constant_is_a_number_bit_by_bit(method, dtype):
    numbers = {"rate": 0.3, "noise": 0.7, "readout": [0.9, -0.6], "weight_decay": 0.1}
    constants = {name: ts.constant(value) for name, value in numbers.items()}
    plain, constant = (
        run(learning(**given), [0.0, 1.0, 2.3], method=method, dtype=dtype)
        for given in (numbers, constants)
    )
    assert_same(constant, plain)


RULES = {
    "sphere": (lambda x: learning(x, rule=ts.SphericalSGD), 0.3),
    "heavy ball, rate": (lambda x: learning(x, rule=ts.HeavyBall, gamma=2.0), 0.3),
    "heavy ball, beta": (lambda x: learning(0.05, rule=ts.HeavyBall, beta=x), 0.7),
    "heavy ball, gamma": (lambda x: learning(0.3, rule=ts.HeavyBall, gamma=x), 2.3),
    "Fromage": (lambda x: learning(x, rule=ts.Fromage), 0.3),
    "Fromage, bound": (lambda x: learning(0.3, rule=ts.Fromage, p_bound=x), 0.95),
    "AGD": (lambda x: learning(x, rule=ts.AGD, readout_gain=0.7), 0.3),
    "sign": (lambda x: learning(x, rule=ts.SignSGD), 0.3),
    "Signum": (lambda x: learning(x, rule=ts.Signum), 0.3),
    "votes": (lambda x: learning(x, rule=ts.MajorityVote, workers=3), 0.3),
    "Nero": (lambda x: learning(x, rule=ts.Nero, gamma=3.0), 0.3),
    "Nero, beta": (lambda x: learning(0.3, rule=ts.Nero, beta=x), 0.7),
    "Madam": (lambda x: learning(x, rule=ts.Madam), 0.3),
    "Madam, bound": (lambda x: learning(0.3, rule=ts.Madam, g_bound=x), 0.5),
}
CHAINS = ("sphere", "heavy ball, beta", "heavy ball, gamma", "Fromage", "Fromage, bound", "AGD")


@pytest.mark.parametrize(
    ("name", "method"),
    mostly_long(
        [(name, "weights") for name in RULES] + [(name, "reduced") for name in CHAINS],
        [("Nero", "weights")],
    ),
)
def test_every_rule_takes_schedules(name, method):
    """A constant is the number, and a number that grows gives other networks."""
    make, value = RULES[name]
    start = begin()
    lengths = np.sqrt(np.diagonal(start.Q))
    Q = start.Q / np.outer(lengths, lengths)
    start = ts.OrderParameters((Q + Q.T) / 2, start.R / lengths[:, None], start.T, start.v)
    plain, constant, other = (
        run(make(number), [0.0, 1.0, 2.3], start, method=method)
        for number in (value, ts.constant(value), ts.linear(value, 1.2 * value, duration=1.0))
    )
    assert_same(constant, plain)
    assert abs(other.Q[:, -1] - plain.Q[:, -1]).max() > 1e-5


@pytest.mark.long
def test_a_scale_that_is_read_once_is_refused():
    """Madam sets its largest weights when it begins: later values would change nothing."""
    with pytest.raises(ValueError, match="rule.p_scale = .* cannot change with time"):
        ts.Madam(0.3, p_scale=ts.piecewise([1.1, 0.5], [1.0]))


def classes(rate):
    student = ts.Student(K, train_readout=True, train_bias=True)
    return ts.Problem(ts.SpikedCumulant(beta=3.0), student, ts.SGD(rate), loss="logistic")


def manifold(rate):
    task = ts.HiddenManifold(M, latent_ratio=0.4, noise=ts.linear(0.5, 0.1, duration=1.0))
    return ts.Problem(task, ts.Student(K), ts.SGD(rate))


def piece(method):
    """How a run is cut: with weights that are kept, or with the chain."""
    return {"method": method, **({"keep": "weights"} if method == "weights" else {})}


PIECES = {
    "rate": (learning, 0.2, 0.7),
    "noise": (lambda noise: learning(noise=noise), 0.9, 0.1),
    "readout": (lambda readout: learning(readout=readout), [1.0, 0.5], [-0.3, 0.8]),
    "heavy ball": (lambda rate: learning(rate, rule=ts.HeavyBall, gamma=2.0), 0.2, 0.7),
    "spiked cumulant": (classes, 0.2, 0.7),
    "manifold": (manifold, 0.2, 0.7),
}


@pytest.mark.parametrize(
    ("name", "method", "dtype"),
    mostly_long(
        [
            (name, method, dtype)
            for name in PIECES
            for method in METHODS
            for dtype in DTYPES
            if (name, method) != ("manifold", "reduced")
        ],
        [("rate", "weights", "float32"), ("readout", "reduced", "float64")],
    ),
)
def test_pieces_are_joined_runs_bit_by_bit(name, method, dtype):
    """The update at the jump is the first with the new number."""
    make, before, after = PIECES[name]
    jump, times = 1.5, [0.0, 1.0, 1.5, 2.0, 3.0]  # 90 updates at N = 60
    start, names, settings = begin(), list(NAMES), piece(method)
    if name == "spiked cumulant":
        start = ts.OrderParameters(begin().Q, m=[[0.1], [-0.2], [0.3]], v=begin().v)
        names = ["Q", "m", "v", "b", "loss"]
    if name == "manifold":
        start = random_overlaps(K, M)
    whole = run(make(ts.piecewise([before, after], [jump])), times, start, dtype=dtype, **settings)
    first = run(make(before), times[:3], start, dtype=dtype, **settings)
    second = ts.simulate(
        make(after), ts.last_state(first), times[2:], keep=settings.get("keep"), progress=False
    )
    moved = [one for one in names if one not in ("eps_g", "loss")]
    assert_same(whole.isel(time=slice(0, 3)), first, moved)
    assert_same(whole.isel(time=slice(2, 5)), second, names)
    assert_same(
        whole,
        run(
            make(ts.piecewise([before, after], [jump - 0.1 / 60])),
            times,
            start,
            dtype=dtype,
            **settings,
        ),
        moved,
    )
    late = run(
        make(ts.piecewise([before, after], [jump + 0.1 / 60])),
        times,
        start,
        dtype=dtype,
        **settings,
    )
    assert abs(late.Q[:, -1] - whole.Q[:, -1]).max() > 0  # one update later


# ---------------------------------------------------------------- theory and both methods

ONCE = np.linspace(0.0, 5.0, 11)[1:]
AGREE = {
    "decaying rate": learning(ts.exponential(1.2, rate=0.5), readout=V_STAR),
    "decaying noise": learning(readout=V_STAR, noise=ts.exponential(2.0, rate=0.5)),
    "switched readout": learning(readout=ts.piecewise([V_STAR, -V_STAR], [2.0])),
}


def z_scores(problem, method, names, dimension=1000, seeds=24):
    """Deviations of the mean over seeds from the theory, in its standard errors and the O(1/N) that
    finite networks differ by.
    """
    theory = ts.integrate(problem, begin(), ONCE)
    data = run(problem, ONCE, N=dimension, seeds=seeds, method=method)
    table = {}
    for name in names:
        error = data[name].std("seed", ddof=1) / np.sqrt(seeds)
        bias = 1 / dimension * max(1.0, float(abs(theory[name]).max()))
        gap = abs(data[name].mean("seed") - theory[name].values)
        table[name] = float((gap / np.hypot(error, bias)).max())
    return table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method"),
    mostly_long(
        [(name, method) for name in AGREE for method in METHODS],
        [("switched readout", "reduced")],
    ),
)
def test_networks_follow_the_theory(name, method):
    table = z_scores(AGREE[name], method, NAMES)
    assert max(table.values()) < 4, table


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_long(AGREE, []))
def test_a_theory_without_the_schedule_is_noticed(name, monkeypatch):
    """What the test above would find: of the numbers at t = 0 alone."""
    problem = AGREE[name]
    steady = problem.at(0.0)
    theory = ts.integrate(steady, begin(), ONCE)
    monkeypatch.setattr(ts, "integrate", lambda *arguments: theory)
    table = z_scores(problem, "reduced", NAMES)
    assert max(table.values()) > 10, table


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_long(AGREE, []))
def test_the_law_of_the_chain_is_that_of_the_weights(name):
    """Two samples of 64 seeds each, with none in common, at a small dimension."""
    problem = AGREE[name]
    one, other = (
        run(problem, [3.0], N=30, seeds=seeds, method=method)
        for method, seeds in (("weights", range(64)), ("reduced", range(64, 128)))
    )
    p, z = [], []
    for quantity in ("Q", "R", "v"):
        pair = [data[quantity].values.reshape(64, -1).T for data in (one, other)]
        for x, y in zip(*pair, strict=True):
            p.append(stats.ks_2samp(x, y).pvalue)
            z.append(abs(x.mean() - y.mean()) / np.hypot(x.std(), y.std()) * 8)
    assert min(p) > 1e-3 and max(z) < 4


# ---------------------------------------------------------------- checkpoints and compilation


@pytest.mark.parametrize("method", mostly_long(METHODS, ["reduced"]))
def test_an_interrupted_run_goes_on_with_its_schedule(method, tmp_path):
    """The numbers are those of the time, not of the time since the interruption."""
    problem = learning(ts.exponential(0.8, rate=0.9), noise=ts.piecewise([0.1, 1.0], [2.0]))
    times, path = [0.0, 6.0], tmp_path / "run.ckpt"
    straight = run(problem, times, method=method)
    with interrupted_after(90):
        run(problem, times, method=method, checkpoint=path)
    other = learning(ts.exponential(0.8, rate=0.8), noise=ts.piecewise([0.1, 1.0], [2.0]))
    with pytest.raises(ValueError, match="checkpoint"):
        run(other, times, method=method, checkpoint=path)
    assert_same(run(problem, times, method=method, checkpoint=path), straight)


def test_a_checkpoint_belongs_to_the_values_of_a_function(tmp_path):
    """The text of a function is the same when a number that it takes from outside is another."""

    def fading(factor):
        return learning(ts.warm_up(ts.Schedule(lambda t: factor / (1 + t)), duration=1.0))

    path = tmp_path / "run.ckpt"
    with interrupted_after(90):
        run(fading(0.5), [0.0, 6.0], checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint"):
        run(fading(0.6), [0.0, 6.0], checkpoint=path)
    run(fading(0.5), [0.0, 6.0], checkpoint=path)


def changed(initial, jump, noise):
    rate = ts.piecewise([ts.exponential(initial, rate=0.1 * initial), 0.2], [jump])
    return learning(rate, noise=ts.cosine(noise, duration=1 + noise))


def test_other_parameters_do_not_recompile_the_weights():
    one = run(changed(0.5, 1.0, 0.3), [0.0, 2.0])
    before = train_weights._cache_size()
    other = run(changed(0.7, 1.5, 0.6), [0.0, 2.0])
    assert train_weights._cache_size() == before
    assert abs(one.Q - other.Q).max() > 0.01


def test_other_parameters_do_not_recompile_the_chain():
    reduced_training.program.cache_clear()
    options = {"method": "reduced", "device": "cpu:0"}
    one = run(changed(0.5, 1.0, 0.3), [0.0, 2.0], **options)
    other = run(changed(0.7, 1.5, 0.6), [0.0, 2.0], N=61, **options)
    assert reduced_training.program.cache_info().currsize == 1
    assert abs(one.Q - other.Q).max() > 0.01


# ---------------------------------------------------------------- maps, and what is refused


@pytest.mark.long
def test_the_map_takes_the_gain_of_each_update():
    """Time counts updates there: pieces are joined runs at a whole number of them."""

    def problem(gain):
        rule = ts.AGD(gain=gain, first_scale=np.sqrt(K))
        return ts.Problem(ts.TeacherStudent(M, noise=0.2), ts.Student(K), rule, batch_ratio=0.5)

    whole = run(problem(ts.piecewise([0.8, 0.2], [3.0])), [0.0, 3.0, 6.0], keep="weights")
    first = run(problem(0.8), [0.0, 3.0], keep="weights")
    second = ts.simulate(problem(0.2), ts.last_state(first), [3.0, 6.0])
    assert_same(whole.isel(time=slice(0, 2)), first)
    assert_same(whole.isel(time=slice(1, 3)), second)


def test_a_number_that_is_not_allowed_in_these_dimensions_is_refused():
    """gamma / N is a probability: beta = 1 - gamma / N at every time."""
    problem = learning(0.3, rule=ts.HeavyBall, gamma=ts.linear(1.0, final=100.0, duration=2.0))
    with pytest.raises(ValueError, match="gamma"):
        run(problem, [0.0, 2.0], N=60)
    assert run(problem, [0.0, 2.0], N=120).sizes["time"] == 2


def test_a_sweep_is_refused():
    with pytest.raises(ValueError, match="simulate runs one problem, .* learning_rate_rate; call"):
        run(learning(ts.exponential(0.5, rate=[0.1, 0.2])), [0.0, 1.0])
