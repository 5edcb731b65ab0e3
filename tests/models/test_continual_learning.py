"""Continual learning: the equations by samples, reference numbers, networks, and the limits in
which it is a problem that is known.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

import teacherstudent as ts
from odes.inputs.one_update import Fixed, State as OneUpdateState
from odes.models.continual_learning import ContinualLearningTheory
from odes.solving.vector_field import vector_field
from sims.models.continual_learning import ContinualLearningSimulation
from tests.long import marked_as_long, mostly_long

CASES = {
    case["name"]: case
    for case in json.loads((Path(__file__).parent / "continual_learning.json").read_text())
}
QUICK = ("consolidation_K3_M1_M1_noise",)
TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def switched(*times, tasks=2):
    """Frequencies of tasks that follow each other at some times, the first again after the last."""
    order = [index % tasks for index in range(len(times) + 1)]
    return [ts.piecewise([float(now == a) for now in order], list(times)) for a in range(tasks)]


def model_of(case, **changes):
    """The model of a reference case."""
    segments = case["segments"]
    begins = [segment["start"] for segment in segments[1:]]
    fields = {
        "readouts": case["teacher_readouts"],
        "label_noise": case["noise"],
        "frequencies": [
            ts.piecewise([segment["p"][a] for segment in segments], begins) for a in range(2)
        ],
        "shared_head": case["readouts"] == "one",
        "learning_rate": case["eta_w"],
        "readout_learning_rate": case["eta_v"],
    }
    if "consolidation" in case:
        given = case["consolidation"]
        fields |= {"consolidation": given["strength"], "snapshot": given["start"]}
        fields["consolidated_task"] = given["of_head"]
    if "frozen" in case:
        (frozen,) = case["frozen"]
        stops = ts.piecewise([1.0, 0.0], [frozen["start"]])
        units = range(case["K"])
        fields["unit_rates"] = [stops if k in frozen["units"] else 1.0 for k in units]
    return ts.ContinualLearning(case["K"], case["M"], **(fields | changes))


def start_of(case):
    return ts.State(Q=case["Q0"], R=case["R0"], T=case["T"], heads=case["heads0"])


@pytest.mark.parametrize("name", mostly_long(list(CASES), keep=QUICK))
def test_the_theory_meets_the_reference(name):
    """Numbers of another code, by another solver."""
    case = CASES[name]
    theory = ts.integrate(model_of(case), start_of(case), case["t"], **TIGHT, curve=False)
    for quantity in ("Q", "R", "heads", "eps"):
        np.testing.assert_allclose(theory[quantity], case[quantity], rtol=0, atol=1e-7)
    np.testing.assert_allclose(theory.eps_g, (theory.p * theory.eps).sum("task"), rtol=1e-12)


# The velocity by samples.

velocity_of = jax.jit(ContinualLearningTheory().velocity)

TASKS = (2, 1)
SLOPES = {
    "erf": (lambda x: erf(x / 2**0.5), lambda x: (2 / np.pi) ** 0.5 * np.exp(-(x**2) / 2)),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
    "sign": (np.sign, None),
}


def everything_at_once(student, teacher, shared_head, label_noise=(0.1, 0.4), **fields):
    """A model in which nothing is at its default, and a state in which all is different."""
    model = ts.ContinualLearning(
        3,
        TASKS,
        student,
        teacher,
        readouts=[[1.0, -0.6], 0.8],
        label_noise=label_noise,
        frequencies=[0.3, 0.9],
        shared_head=shared_head,
        learning_rate=0.8,
        readout_learning_rate=0.5,
        unit_rates=[1.0, 0.0, 0.6],
        gates=[[1.0, 1.0, 0.0], [0.5, 1.0, 1.0]],
        consolidation=0.7,
        snapshot=2.0,
        consolidated_task=1,
        **fields,
    )
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((9, 12)) / 12**0.5
    gram = rows @ rows.T
    heads = rng.standard_normal(model.shapes["heads"])
    state = {**model.overlaps(jnp.asarray(gram)), "heads": heads}
    state["heads_shift"] = 0.3 * rng.standard_normal(heads.shape)
    if model.inputs is not None:
        rows = rng.standard_normal((model.inputs.modes, 9, 12)) / 12**0.5
        state["modes"] = rows @ rows.swapaxes(1, 2)
        summed = model.overlaps(model.gram_of_modes(state["modes"]))
        state |= {name: jnp.asarray(part) for name, part in summed.items() if name != "T"}
    return model, {name: jnp.asarray(state[name]) for name in model.shapes}


def increments_by_samples(model, state, draws):
    """Mean and standard error of N times the increments in one update, from the rule as it stands:
    each task has its own samples of the fields.
    """
    (g, slope), (g_star, _) = SLOPES[model.activation.name], SLOPES[model.teacher_activation.name]
    rng = np.random.default_rng(0)
    state = {name: np.asarray(part) for name, part in state.items()}
    Q, W = state["Q"], state["T"]
    gram = np.block(
        [
            [Q, state["Q_shift"].T, state["R"]],
            [state["Q_shift"], state["shift"], state["R_shift"]],
            [state["R"].T, state["R_shift"].T, W],
        ]
    )
    rates = 0.8 * np.array([1.0, 0.0, 0.6])
    then = state["heads"] - state["heads_shift"]
    f = (model.gates[1] * (then[0] if model.shared_head else then[1])) ** 2
    means, variances = 0.0, 0.0
    for task, (p, units, v_star) in enumerate(
        [(0.25, slice(0, 2), np.array([1.0, -0.6])), (0.75, slice(2, 3), np.array([0.8]))]
    ):
        h = rng.standard_normal((draws, 9)) @ np.linalg.cholesky(gram).T
        lam, nu = h[:, :3], h[:, 6:]
        head = model.gates[task] * (state["heads"][0 if model.shared_head else task])
        e = g(lam) @ head - g_star(nu[:, units]) @ v_star
        e -= (0.1, 0.4)[task] * rng.standard_normal(draws)
        moved = np.zeros((draws, 9))
        moved[:, :3] = -rates * head * slope(lam) * e[:, None]
        moved[:, 3:6] = moved[:, :3]
        pull = np.zeros((9, 9))
        pull[:3] = pull[3:6] = -(rates * 0.7 * f)[:, None] * gram[3:6]
        first = moved[:, :, None] * h[:, None, :] + pull
        overlaps = first + first.swapaxes(1, 2) + moved[:, :, None] * moved[:, None, :]
        motion = np.zeros((draws, *state["heads"].shape))
        row = 0 if model.shared_head else task
        motion[:, row] = -0.5 * model.gates[task] * g(lam) * e[:, None]
        samples = np.concatenate([overlaps.reshape(draws, -1), motion.reshape(draws, -1)], axis=1)
        means = means + p * samples.mean(0)
        variances = variances + p**2 * samples.var(0) / draws
    return means, np.sqrt(variances)


@pytest.mark.parametrize(
    ("student", "teacher", "shared_head"),
    [
        ("erf", "erf", False),
        marked_as_long(("relu", "relu", True)),
        marked_as_long(("erf", "sign", True)),
    ],
)
def test_the_velocity_is_the_mean_of_an_update(student, teacher, shared_head):
    model, state = everything_at_once(student, teacher, shared_head)
    velocity = velocity_of(model, 3.0, state)
    found = np.concatenate(
        [np.ravel(model.gram(velocity | {"T": 0 * state["T"]})), np.ravel(velocity["heads"])]
    )
    mean, error = increments_by_samples(model, state, draws=100_000)
    assert np.all(np.abs(found - mean) < 4.5 * error + 1e-12)
    assert np.all(np.asarray(velocity["T"]) == 0)
    np.testing.assert_array_equal(velocity["heads_shift"], velocity["heads"])


def test_nothing_is_pulled_before_the_snapshot():
    model, state = everything_at_once("erf", "erf", False)
    state |= {name: 0 * state[name] for name in model.defaults()}
    velocity = velocity_of(model, 1.0, state)
    for name in model.defaults():
        assert not np.any(velocity[name])


# Batches.


def test_a_batch_divides_the_square_of_an_update_alone():
    """What is left of large batches is linear in the rates: the drift at a rate that vanishes."""
    single, state = everything_at_once("erf", "erf", False)
    one = velocity_of(single, 3.0, state)
    drift = velocity_of(everything_at_once("erf", "erf", False, batch_size=10**12)[0], 3.0, state)
    batch = velocity_of(everything_at_once("erf", "erf", False, batch_size=5)[0], 3.0, state)
    fields = {name: getattr(single, name) for name in single.shown()}
    slow = ts.ContinualLearning(**(fields | {"learning_rate": 0.8e-9}))
    for name in ("Q", "shift", "Q_shift"):
        assert np.abs(one[name] - drift[name]).max() > 0.01, name
        expected = drift[name] + (one[name] - drift[name]) / 5
        np.testing.assert_allclose(batch[name], expected, atol=1e-10)
        slowly = velocity_of(slow, 3.0, state)[name] * 1e9
        np.testing.assert_allclose(drift[name], slowly, rtol=1e-6, atol=1e-8)
    for name in ("R", "R_shift", "heads"):
        np.testing.assert_allclose(batch[name], one[name], atol=1e-12)


@pytest.mark.parametrize("shared_head", [False, marked_as_long(True)])
def test_every_sample_of_a_batch_has_its_own_task(shared_head):
    """At given fields the update is in the mean over the tasks that of the rule, by plain NumPy."""
    B, N = 6, 50
    model, state = everything_at_once("erf", "erf", shared_head, batch_size=B, label_noise=0.0)
    fields = np.random.default_rng(0).standard_normal((9, B))
    others = {name: state[name] for name in ("heads", "heads_shift")}
    others["time_step"] = jnp.asarray(1 / N)

    def move(key):
        found = ContinualLearningSimulation().update(
            model, 3.0, jnp.asarray(fields), others, key, None
        )
        return found.inputs[:3], (found.others["heads"] - state["heads"]) * N

    inputs, heads = jax.vmap(move)(jax.random.split(jax.random.key(1), 4000))
    lam, nu = fields[:3], fields[6:]
    g, slope = SLOPES["erf"]
    mean_inputs, mean_heads = 0.0, np.zeros(state["heads"].shape)
    for task, (p, units, v_star) in enumerate(
        [(0.25, slice(0, 2), np.array([1.0, -0.6])), (0.75, slice(2, 3), np.array([0.8]))]
    ):
        row = 0 if shared_head else task
        head = model.gates[task] * np.asarray(state["heads"][row])
        e = head @ g(lam) - v_star @ g(nu[units])
        rates = 0.8 * np.array([1.0, 0.0, 0.6])
        mean_inputs += -p / B * (rates * head)[:, None] * slope(lam) * e
        mean_heads[row] += -0.5 * p / B * model.gates[task] * (g(lam) @ e)
    for found, mean in ((inputs, mean_inputs), (heads, mean_heads)):
        error = np.std(found, axis=0) / 4000**0.5
        assert np.all(np.abs(np.mean(found, axis=0) - mean) < 4.5 * error + 1e-12)
    if not shared_head:
        both_move = np.all(np.any(heads != 0, axis=2), axis=1)
        assert np.mean(both_move) > 0.75  # 1 - 0.25^6 - 0.75^6 = 0.82 of all updates


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("method", "N"), [("reduced", 60), ("weights", 60), ("reduced", 300)])
def test_networks_with_batches_follow_the_theory(method, N):
    """A theory without the division by B would be off by 0.1 in Q."""
    noisy = {"frequencies": [0.4, 0.6], "label_noise": [1.0, 0.8]}
    model, start = random_model(**noisy, batch_size=4)
    times = [0.0, 2.0, 6.0]
    theory = ts.integrate(model, start, times, curve=False)
    networks = ts.simulate(model, start, times, N=N, seeds=64, method=method)
    for quantity in ("Q", "R", "heads", "eps"):
        error = networks[quantity].std("seed", ddof=1) / 64**0.5
        gap = np.abs(networks[quantity].mean("seed") - theory[quantity])
        assert float((gap - 4.5 * error).max()) < 1.5 / N, quantity
    single, _ = random_model(**noisy)
    other = ts.integrate(single, start, times, curve=False)
    assert float(np.abs(other.Q - theory.Q).max()) > 0.1


# Limits.


@pytest.mark.long
def test_a_snapshot_before_the_start_is_the_start():
    """A run that goes on with a pull to where it goes on from has no need to know when that was."""
    pull = {"consolidation": 0.7, "consolidated_task": 0}
    whole, start = random_model(frequencies=switched(3.0), snapshot=3.0, **pull)
    theory = ts.integrate(whole, start, [0.0, 3.0, 6.0], **TIGHT, curve=False)
    first, _ = random_model(frequencies=[1.0, 0.0])
    end = ts.integrate(first, start, [0.0, 3.0], **TIGHT, curve=False)
    state = ts.State(Q=end.Q[-1], R=end.R[-1], T=start.T, heads=end.heads[-1], time=3.0)
    second, _ = random_model(frequencies=[0.0, 1.0], snapshot=0.0, **pull)
    more = ts.integrate(second, state, [3.0, 6.0], **TIGHT, curve=False)
    for name in ("Q", "heads", "shift", "heads_shift"):
        np.testing.assert_allclose(more[name][-1], theory[name][-1], atol=1e-8)


def random_model(**fields):
    """Two tasks of different widths, and a start."""
    model = ts.ContinualLearning(2, TASKS, learning_rate=0.7, **fields)
    T = ts.teachers_of_similarity([0.4, 0.0], TASKS)
    return model, ts.continual_start(model, N=50, seed=4, T=T, scale=0.4, head_scale=0.5)


@pytest.mark.parametrize("task", [0, marked_as_long(1)])
def test_one_task_alone_is_the_two_layer_regression(task):
    """Also for the noise and the rates; the units of the other teacher are spectators."""
    frequencies = [float(a == task) for a in range(2)]
    noise = [0.2, 0.3]
    model, start = random_model(
        frequencies=frequencies, label_noise=noise, readout_learning_rate=0.4
    )
    units = (slice(0, 2), slice(2, 3))[task]
    problem = ts.Problem(
        ts.TeacherStudent(TASKS[task], noise=noise[task]),
        ts.Student(2, train_readout=True),
        ts.SGD(0.7, readout_learning_rate=0.4),
    )
    alone = ts.OrderParameters(
        Q=start.Q, R=start.R[:, units], T=start.T[units, units], v=start.heads[task]
    )
    times = [0.0, 3.0, 9.0]
    theory = ts.integrate(model, start, times, **TIGHT)
    plain = ts.integrate(problem, alone, times, **TIGHT)
    np.testing.assert_allclose(theory.Q, plain.Q, atol=1e-8)
    np.testing.assert_allclose(theory.R[:, :, units], plain.R, atol=1e-8)
    np.testing.assert_allclose(theory.heads[:, task], plain.v, atol=1e-8)
    np.testing.assert_allclose(theory.eps_g, plain.eps_g, atol=1e-8)
    other = theory.heads[:, 1 - task]
    assert np.all(other == other[0])  # the head of a task that is not drawn stays


@pytest.mark.long
def test_two_identical_tasks_with_one_head_are_one_task():
    """Whatever the order and the mixture, nothing is forgotten."""
    times = [0.0, 4.0, 8.0, 12.0]
    T = ts.teachers_of_similarity(1.0, (2, 2))
    curves = []
    for frequencies in ([1.0, 0.0], switched(4.0), [0.3, 0.6]):
        model = ts.ContinualLearning(3, (2, 2), shared_head=True, frequencies=frequencies)
        start = ts.continual_start(model, N=50, T=T, scale=0.4)
        curves.append(ts.integrate(model, start, times, **TIGHT, curve=False))
    for curve in curves[1:]:
        np.testing.assert_allclose(curve.Q, curves[0].Q, atol=1e-8)
        np.testing.assert_allclose(curve.heads, curves[0].heads, atol=1e-8)
        assert float(ts.forgetting(curve, 4.0)[-1]) < 0


@pytest.mark.long
@pytest.mark.slow
def test_strong_consolidation_freezes_the_first_layer():
    """The new head then relaxes to its best value for these units: h' = -eta_v (I2 h - I2* v*)."""
    times = [0.0, 3.0, 63.0]
    pull = {"consolidation": 1000.0, "snapshot": 3.0, "importance": [1.0, 1.0]}
    freezing = [ts.piecewise([1.0, 0.0], [3.0])] * 2
    pulled, start = random_model(frequencies=switched(3.0), **pull)
    frozen, _ = random_model(frequencies=switched(3.0), unit_rates=freezing)
    theory = ts.integrate(pulled, start, times, curve=False)
    exact = ts.integrate(frozen, start, times, curve=False)
    np.testing.assert_array_equal(exact.Q[1], exact.Q[2])
    np.testing.assert_allclose(theory.Q[2], exact.Q[2], atol=5e-3)
    np.testing.assert_allclose(theory.heads[2], exact.heads[2], atol=5e-3)
    Q, R, T = exact.Q[2].values, exact.R[2].values, exact.T.values
    C = np.block([[Q, R], [R.T, T]])
    I2 = np.asarray(pulled.averages().I2(jnp.asarray(C)))
    values, vectors = np.linalg.eigh(I2[:2, :2])
    best = np.linalg.solve(I2[:2, :2], I2[:2, 4])
    relaxed = vectors @ np.diag(np.exp(-0.7 * values * 60.0)) @ vectors.T
    head = best + relaxed @ (exact.heads[1, 1].values - best)
    np.testing.assert_allclose(exact.heads[2, 1], head, atol=1e-6)


def test_the_probabilities_enter_linearly():
    model, state = everything_at_once("erf", "erf", False)

    def velocity(frequencies):
        parts = {name: getattr(model, name) for name in model.shown()}
        mixed = ts.ContinualLearning(**(parts | {"frequencies": frequencies}))
        return velocity_of(mixed, 3.0, state)

    mixed, first, second = velocity([1.0, 3.0]), velocity([1.0, 0.0]), velocity([0.0, 1.0])
    for name in ("R", "heads", "shift"):
        np.testing.assert_allclose(
            mixed[name], 0.25 * first[name] + 0.75 * second[name], atol=1e-12
        )


def test_forgetting_is_worst_at_intermediate_similarity():
    """K = 2, two single units, one head each: the figure of Lee, Goldt & Saxe."""
    model = ts.ContinualLearning(2, [1, 1], frequencies=switched(60.0))
    forgotten = []
    for V in (0.0, 0.5, 1.0):
        T = ts.teachers_of_similarity(V)
        start = ts.continual_start(model, N=1000, seed=1, T=T, scale=0.1, head_scale=0.1)
        theory = ts.integrate(model, start, [0.0, 60.0, 120.0], curve=False)
        forgotten.append(float(ts.forgetting(theory, 60.0)[-1]))
        assert float(theory.eps[1, 0]) < 1e-3
    assert forgotten[1] > 5 * max(forgotten[0], forgotten[2])


# Networks.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method"),
    [
        marked_as_long(("consolidation_K3_M1_M1_noise", "reduced")),
        marked_as_long(("consolidation_K3_M1_M1_noise", "weights")),
        marked_as_long(("one_head_back_and_forth_K3_M2_M1_noise", "reduced")),
        marked_as_long(("replay_half_K2_M2_M2", "weights")),
        marked_as_long(("frozen_unit_K3_M1_M2", "weights")),
    ],
)
def test_networks_follow_the_theory(name, method):
    case = CASES[name]
    model, start = model_of(case), start_of(case)
    second = case["segments"][1]["start"]
    times = [0.0, second / 2, second, second + 1, case["t"][-1]]
    theory = ts.integrate(model, start, times, curve=False)
    N = {"reduced": 150, "weights": 400}[method]
    networks = ts.simulate(model, start, times, N=N, seeds=16, method=method)
    for quantity in set(model.shapes) - {"T"} | {"eps"}:
        error = networks[quantity].std("seed", ddof=1) / 16**0.5
        gap = np.abs(networks[quantity].mean("seed") - theory[quantity])
        assert float((gap - 5 * error).max()) < 5 / N, quantity
        assert float(gap[0].max()) < 1e-5, quantity


@pytest.mark.slow
def test_frozen_and_gated_units_of_networks_stay():
    model, start = random_model(unit_rates=[0.0, 1.0], gates=[[1.0, 1.0], [1.0, 0.0]])
    networks = ts.simulate(model, start, [0.0, 3.0], N=60, seeds=2, method="weights")
    np.testing.assert_allclose(networks.Q[:, 1, 0, 0], networks.Q[:, 0, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(networks.heads[:, 1, 1, 1], networks.heads[:, 0, 1, 1])
    assert np.all(networks.heads[:, 1, 0, 1] != networks.heads[:, 0, 0, 1])


# Inputs of a hidden manifold.

SIGN = ts.ManifoldInputs(0.5, "sign")


def start_on_manifold(K, T):
    """Overlaps of K units of different lengths, small ones with the teachers."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((K, 9)) / 3
    R = 0.12 * rng.standard_normal((K, len(T)))
    return ts.State(Q=w @ w.T, R=R, T=T, heads=rng.standard_normal((2, K)))


def test_the_velocity_on_a_manifold_is_that_of_the_problem():
    """The theory of `HiddenManifold` mode by mode, at a state in which all modes differ."""
    fields = {"consolidation": None, "snapshot": None, "unit_rates": 1.0, "gates": 1.0}
    everything, _ = everything_at_once("erf", "erf", False)
    fields = {name: getattr(everything, name) for name in everything.shown()} | fields
    fields |= {"frequencies": [0.0, 1.0], "inputs": SIGN, "batch_size": 2}
    model = ts.ContinualLearning(**fields)
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((SIGN.modes, 6, 9)) / 3
    modes = rows @ rows.swapaxes(1, 2)
    heads = rng.standard_normal((2, 3))
    T = jnp.eye(3) * 9.0
    state = {"T": T, "heads": jnp.asarray(heads), "modes": jnp.asarray(modes)}
    summed = model.overlaps(model.gram_of_modes(modes))
    state |= {name: jnp.asarray(summed[name]) for name in "QR"}
    found = velocity_of(model, 3.0, state)
    manifold = ts.HiddenManifold(
        3, nonlinearity="sign", latent_ratio=0.5, readout=[0.0, 0.0, 0.8], noise=0.4
    )
    rule = ts.SGD(0.8, readout_learning_rate=0.5)
    problem = ts.Problem(manifold, ts.Student(3, train_readout=True), rule, batch_size=2)
    rho, p, _ = SIGN.spectrum
    last = jnp.moveaxis(state["modes"], 0, -1)
    fixed = Fixed(jnp.asarray(rho), jnp.asarray(p), last[3:, 3:], T, jnp.asarray(rho))
    now = OneUpdateState(last[:3, :3], last[:3, 3:], state["heads"][1], jnp.zeros(3))
    known = vector_field(problem, fixed, now)
    by_mode = jnp.moveaxis(found["modes"], 0, -1)
    np.testing.assert_allclose(by_mode[:3, :3], known.q, atol=1e-12)
    np.testing.assert_allclose(by_mode[:3, 3:], known.r, atol=1e-12)
    np.testing.assert_allclose(found["heads"][1], known.v, atol=1e-12)
    assert np.abs(known.q).max() > 0.1


@pytest.mark.long
@pytest.mark.parametrize(("inputs", "task"), [(SIGN, 1), (ts.ManifoldInputs(2.0, "relu"), 0)])
def test_one_task_on_a_manifold_is_that_of_the_problem(inputs, task):
    """The theory of `HiddenManifold`, written for problems: noise, batch, and a spectator."""
    p = [float(a == task) for a in range(2)]
    fields = {"learning_rate": 0.5, "readout_learning_rate": 0.3, "batch_size": 2}
    model = ts.ContinualLearning(3, [1, 1], frequencies=p, inputs=inputs, label_noise=0.2, **fields)
    T = ts.teachers_of_similarity(0.3)
    start = start_on_manifold(3, T)
    manifold = ts.HiddenManifold(
        2, "erf", inputs.nonlinearity, inputs.latent_ratio, readout=p, noise=0.2
    )
    rule = ts.SGD(0.5, readout_learning_rate=0.3)
    problem = ts.Problem(manifold, ts.Student(3, train_readout=True), rule, batch_size=2)
    alone = ts.OrderParameters(start.Q, start.R, T, v=start.heads[task])
    times = [0.0, 2.0, 8.0]
    theory = ts.integrate(model, start, times, **TIGHT, curve=False)
    plain = ts.integrate(problem, alone, times, **TIGHT, curve=False)
    assert float(np.abs(plain.R[-1] - plain.R[0]).max()) > 0.05
    for found, known in (("Q", "Q"), ("R", "R"), ("eps_g", "eps_g")):
        np.testing.assert_allclose(theory[found], plain[known], atol=1e-8)
    np.testing.assert_allclose(theory.heads[:, task], plain.v, atol=1e-8)


def test_what_does_not_move_on_a_manifold():
    """The snapshot w - s has constant overlaps, Q and R are sums over the modes, and the
    probabilities enter linearly.
    """
    model, state = everything_at_once("erf", "erf", False, inputs=SIGN)
    moved = velocity_of(model, 3.0, state)
    snapshot = moved["Q"] - moved["Q_shift"] - moved["Q_shift"].T + moved["shift"]
    np.testing.assert_allclose(snapshot, 0.0, atol=1e-13)
    np.testing.assert_allclose(moved["R"], moved["R_shift"], atol=1e-13)
    summed = model.overlaps(model.gram_of_modes(moved["modes"]))
    for name in ("Q", "R", "shift"):
        assert np.abs(moved[name]).max() > 0.01
        np.testing.assert_allclose(summed[name], moved[name], atol=1e-13)
    assert not np.any(moved["modes"][:, -3:, -3:]) and not np.any(moved["T"])
    fields = {name: getattr(model, name) for name in model.shown()}
    alone = [
        velocity_of(ts.ContinualLearning(**(fields | {"frequencies": p})), 3.0, state)["modes"]
        for p in ([1.0, 0.0], [0.0, 1.0])
    ]
    np.testing.assert_allclose(moved["modes"], 0.25 * alone[0] + 0.75 * alone[1], atol=1e-12)


def switched_on_manifold():
    """Two tasks one after the other on a manifold, with all that the model has."""
    T = ts.teachers_of_similarity([0.5, 0.0], TASKS)
    model = ts.ContinualLearning(
        2,
        TASKS,
        frequencies=switched(3.0),
        inputs=SIGN,
        learning_rate=0.6,
        readout_learning_rate=0.4,
        label_noise=[0.1, 0.3],
        consolidation=0.8,
        snapshot=3.0,
    )
    return model, start_on_manifold(2, T)


@pytest.mark.long
@pytest.mark.slow
def test_networks_on_manifolds_approach_the_theory_as_one_over_N():
    model, start = switched_on_manifold()
    times = [0.0, 1.5, 3.0, 4.0, 6.0]
    theory = ts.integrate(model, start, times, curve=False)
    for N, seeds in ((60, 120), (240, 60)):
        networks = ts.simulate(model, start, times, N=N, seeds=seeds, progress=False)
        assert "modes" not in networks
        for quantity in ("Q", "R", "heads", "eps", "Q_shift", "R_shift", "shift", "heads_shift"):
            error = networks[quantity].std("seed", ddof=1) / seeds**0.5
            gap = np.abs(networks[quantity].mean("seed") - theory[quantity])
            assert float((gap - 4.5 * error).max()) < 4 / N, quantity
            assert float(gap[0].max()) < 1e-5, quantity
    none = {name: getattr(model, name) for name in model.shown()} | {"consolidation": 0.0}
    free = ts.integrate(ts.ContinualLearning(**none), start, times, curve=False)
    assert float(np.abs(free.Q - theory.Q).max()) > 0.05  # a pull that is missing is seen


@pytest.mark.long
def test_a_run_on_a_manifold_goes_on_and_has_a_file(tmp_path):
    model, start = switched_on_manifold()
    theory = ts.integrate(model, start, [0.0, 4.0, 6.0], **TIGHT, curve=False)
    ts.save(tmp_path / "one.h5", theory=theory)
    read = ts.load(tmp_path / "one.h5")["theory"].to_dataset()
    again = ts.problem_of(read)
    assert repr(again) == repr(model)
    repeated = ts.integrate(again, ts.start_of(read), [0.0, 4.0], **TIGHT, curve=False)
    half = {name: repeated[name][-1].values for name in model.shapes if name != "T"}
    later = ts.State(**half, T=start.T, time=4.0)
    more = ts.integrate(again, later, [4.0, 6.0], **TIGHT, curve=False)
    np.testing.assert_allclose(more.Q[-1], theory.Q[-1], atol=1e-8)
    with pytest.raises(ValueError, match="the start is of a run that has begun"):
        ts.simulate(model, later, [4.0, 6.0], N=40, seeds=1)
    parts = {name: value for name, value in half.items() if name != "modes"}
    with pytest.raises(ValueError, match="is not zero, but start.modes"):
        ts.integrate(model, ts.State(**parts, T=start.T, time=4.0), [4.0, 6.0])
    with pytest.raises(ValueError, match="start.Q is not the sum of start.modes"):
        changed = half | {"Q": 1.1 * half["Q"]}
        ts.integrate(model, ts.State(**changed, T=start.T, time=4.0), [4.0, 6.0])


def test_what_a_manifold_refuses():
    model = ts.ContinualLearning(1, [2, 1], inputs=ts.ManifoldInputs(0.05, "erf"))
    start = ts.continual_start(model, N=100, scale=0.5)
    with pytest.raises(ValueError, match=r'method = "reduced" does not follow'):
        ts.simulate(model, start, [0.0, 1.0], N=100, method="reduced")
    with pytest.raises(ValueError, match="N = 40 gives D = 2 latents, fewer than 3 teacher units"):
        ts.simulate(model, start, [0.0, 1.0], N=40)
    with pytest.raises(ValueError, match=r"start.R is too large for start.Q on these inputs"):
        wide = ts.ContinualLearning(1, [1], inputs=ts.ManifoldInputs(2.0))
        tight = ts.State(Q=[[0.04]], R=[[0.15]], T=[[1.0]], heads=[[1.0]])
        ts.integrate(wide, tight, [0.0, 1.0])
    for given, says in (
        ("sign", "model.inputs = 'sign' are no inputs; give ts.ManifoldInputs"),
        ({"type": "ManifoldInputs", "latent_ratio": -1.0}, "inputs.latent_ratio = -1.0"),
        ({"type": "ManifoldInputs", "latent_ratio": 0.5, "nonlinearity": [1.0]}, "is constant"),
    ):
        with pytest.raises(ValueError, match=says):
            ts.ContinualLearning(1, [1], inputs=given)


def test_a_start_on_a_manifold_has_the_size_of_random_weights():
    """The mean square of R is that of weights with entries N(0, 1) on a manifold that is drawn."""
    rng = np.random.default_rng(0)
    N, D = 400, 200
    F = rng.standard_normal((N, D))
    w, W = rng.standard_normal((30, N)), rng.standard_normal((30, D))
    b = (2 / np.pi) ** 0.5
    R = w @ (b * F / D**0.5) @ W.T / (N * D) ** 0.5
    model = ts.ContinualLearning(30, [30], inputs=SIGN)
    start = ts.continual_start(model, N=N, seed=1)
    np.testing.assert_allclose(np.mean(start.R**2), np.mean(R**2), rtol=0.15)
    np.testing.assert_allclose(np.mean(np.diagonal(start.Q)), 1.0, rtol=0.05)


# Numbers that change, sweeps, files.


@pytest.mark.long
def test_strengths_of_consolidation_are_swept():
    """Strength zero is no consolidation; the snapshot is what the shifts leave of the weights."""
    times = [0.0, 3.0, 6.0]
    model, start = random_model(
        frequencies=switched(3.0), consolidation=[0.0, 0.5, 4.0], snapshot=3.0
    )
    swept = ts.integrate(model, start, times)
    without, _ = random_model(frequencies=switched(3.0))
    none = ts.integrate(without, start, times, curve=False)
    for name in ("Q", "heads", "eps"):
        np.testing.assert_allclose(swept[name].sel(consolidation=0.0), none[name], atol=1e-7)
    end = swept.isel(time=-1)
    pulled = end.Q_shift.values
    snapshot = end.Q.values - pulled - pulled.swapaxes(1, 2) + end["shift"].values
    np.testing.assert_allclose(snapshot, swept.Q.isel(time=1), atol=1e-7)
    walked = np.trace(end["shift"].values, axis1=1, axis2=2)
    assert np.all(np.diff(walked) < 0)


def test_a_file_has_the_model(tmp_path):
    model, start = random_model(
        frequencies=switched(3.0),
        consolidation=0.5,
        snapshot=3.0,
        label_noise=[0.1, 0.2],
        gates=0.5,
    )
    theory = ts.integrate(model, start, [0.0, 3.0, 6.0], curve=False)
    ts.save(tmp_path / "one.h5", theory=theory)
    again = ts.problem_of(ts.load(tmp_path / "one.h5")["theory"].to_dataset())
    repeated = ts.integrate(again, start, [0.0, 3.0, 6.0], curve=False)
    np.testing.assert_allclose(repeated.eps, theory.eps, rtol=1e-12)


def test_a_task_may_come_gradually():
    """p_2(t) = 1 - exp(-r t), recorded as such."""
    gradually = [ts.exponential(1.0, rate=0.5), ts.exponential(0.0, rate=0.5, final=1.0)]
    model, start = random_model(frequencies=gradually)
    theory = ts.integrate(model, start, [0.0, 2.0, 20.0], curve=False)
    np.testing.assert_allclose(theory.p[:, 1], 1 - np.exp(-0.5 * theory.time), atol=1e-12)
    assert float(theory.eps[2, 1]) < float(theory.eps[0, 1])


def test_a_frequency_that_becomes_negative_is_refused():
    falling = ts.linear(1.0, final=-1.0, duration=10.0)
    with pytest.raises(ValueError, match="model.frequencies has -1 at t = 10"):
        random_model(frequencies=[falling, 1.0])
    unseen = ts.Schedule(lambda t: 1.0 - 0.2 * t)
    model, start = random_model(frequencies=[unseen, 1.0])
    with pytest.raises(ValueError, match=r"model.frequencies = -.* at t = "):
        ts.integrate(model, start, [0.0, 8.0])


@pytest.mark.long
def test_the_time_at_which_a_task_is_learnt():
    model, start = random_model(frequencies=[1.0, 0.0])
    t_s = ts.time_learnt(model, start, below=0.02, latest=200.0)
    theory = ts.integrate(model, start, [0.99 * t_s, t_s], curve=False)
    assert float(theory.eps[0, 0]) > 0.02
    np.testing.assert_allclose(theory.eps[1, 0], 0.02, rtol=1e-5)
    with pytest.raises(ts.ThresholdError, match="task 0 stays above 1e-09 until t = 5"):
        ts.time_learnt(model, start, below=1e-9, latest=5.0)


def test_re_use_of_nodes():
    model, start = random_model(frequencies=switched(3.0))
    theory = ts.integrate(model, start, [0.0, 3.0, 6.0], curve=False)
    nodes = ts.node_reuse(theory)
    np.testing.assert_allclose(
        nodes.overlap, np.hypot(theory.R[:, :, 0], theory.R[:, :, 1]), rtol=1e-12
    )
    np.testing.assert_array_equal(nodes.activation, np.abs(theory.heads[:, 1]))


def test_transfer_is_what_the_second_task_gains():
    model, start = random_model(frequencies=switched(3.0))
    theory = ts.integrate(model, start, [0.0, 3.0, 6.0], curve=False)
    gained = ts.transfer(theory, 3.0)
    np.testing.assert_allclose(gained, theory.eps[1, 1] - theory.eps[1:, 1])
    with pytest.raises(ValueError, match=r"switch = 4 is not among the recorded times"):
        ts.forgetting(theory, 4.0)


def test_teachers_and_readouts_of_given_similarity():
    T = ts.teachers_of_similarity(0.3, (1, 2, 1))
    assert T.shape == (4, 4) and np.all(np.linalg.eigvalsh(T) > 0)
    np.testing.assert_array_equal(T[0], [1.0, 0.3, 0.0, 0.3])
    for readout in ([1.0, 0.5, -2.0], [1.0, 1.0]):
        first, second = ts.readouts_at_angle(readout, 0.4)
        np.testing.assert_allclose(np.linalg.norm(second), np.linalg.norm(first))
        np.testing.assert_allclose(first @ second, np.cos(0.4) * first @ first)


REFUSED = {
    "model.teachers is empty": {"teachers": []},
    "model.teachers = 2; give the number of units of each teacher": {"teachers": 2},
    "model.label_noise has 3 entries, but 2 are needed": {"label_noise": [0.1, 0.2, 0.3]},
    r"model.label_noise\[1\] = -0.2 is not allowed": {"label_noise": [0.1, -0.2]},
    "model.frequencies are all 0 at t = 0": {"frequencies": 0.0},
    "model.frequencies are all 0 at t = 5": {"frequencies": [ts.piecewise([1.0, 0.0], [5.0]), 0.0]},
    "model.consolidation is given, but not model.snapshot": {"consolidation": 1.0},
    r"model.readouts\[0\] has the shape \(3,\), but teacher 0 has 2": {"readouts": [[1, 2, 3], 1]},
    r"model.gates has the shape \(3,\)": {"gates": [1.0, 1.0, 1.0]},
    "model.consolidated_task = 2 is too large": {"consolidated_task": 2},
    "model.importance has the entry -1": {"importance": [1.0, -1.0]},
    r"model.unit_rates\[0\] = \[1.0, 2.0\] has a sequence of values": {
        "unit_rates": [[1.0, 2.0], 1.0]
    },
    "model.snapshot is given, but there is no consolidation": {"snapshot": 3.0},
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_bad_input_is_answered_with_a_sentence(sentence):
    fields = {"width": 2, "teachers": TASKS} | REFUSED[sentence]
    with pytest.raises(ValueError, match=sentence):
        ts.ContinualLearning(**fields)


def test_a_state_of_no_weights_is_refused():
    model, start = random_model()
    parts = start.values | {"Q": 0.001 * start.Q}
    with pytest.raises(ValueError, match="are the overlaps of no weights"):
        ts.integrate(model, ts.State(**parts), [0.0, 1.0])
    with pytest.raises(ValueError, match="similarity = -0.9 is not possible for 3 teachers"):
        ts.teachers_of_similarity(-0.9, (1, 1, 1))
    with pytest.raises(ValueError, match="give a list of two numbers or more"):
        ts.readouts_at_angle([1.0], 0.2)
    with pytest.raises(ValueError, match=r"T has the shape \(2, 2\); the 3 units"):
        ts.continual_start(model, N=10, T=np.eye(2))
