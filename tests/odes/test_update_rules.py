"""The flows of update rules, against reference values from independent quadratures, closed forms,
and each other.
"""

import json
import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from odes.inputs.one_update import Fixed, State
from odes.rules import agd_map
from odes.rules.heavy_ball import Buffer
from odes.rules.majority_vote import mean_vote, product_of_votes, strength_of_one
from odes.rules.nero import RunningSquare
from odes.rules.sign_sgd import Signs, signs_of_one
from odes.rules.theory import theory_of
from odes.solving.vector_field import vector_field
from teacherstudent.averages.quasi_random import CAUTION
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.sims import rule_cases

REFERENCE = json.loads((Path(__file__).parent / "update_rules.json").read_text())
ONE, TWO = REFERENCE["anchors"]["K1M1"], REFERENCE["anchors"]["K2M2"]
INF = float("inf")


@partial(jax.jit, static_argnames="replica")
def velocity(problem, fixed, state, replica=0):
    return vector_field(problem, fixed, state, replica)


def at(
    config: dict, rule, trained=False, batch_size=1, memory=(), activation="erf"
) -> tuple[ts.Problem, Fixed, State]:
    """A problem at a state, with one mode."""
    Q, R = (jnp.atleast_2d(jnp.asarray(config[name], float)) for name in "QR")
    K, M = R.shape
    T, one = jnp.atleast_2d(jnp.asarray(config["T"], float)), jnp.ones(1)
    task = ts.TeacherStudent(M, activation, config["v_star"], config["sigma"])
    problem = ts.Problem(
        task, ts.Student(K, activation, trained), rule, batch_size=batch_size
    ).for_programs()
    v = jnp.atleast_1d(jnp.asarray(config["v"], float))
    state = State(Q[..., None], R[..., None], v, jnp.zeros(K), memory)
    return problem, Fixed(one, one, T[..., None], T, one), state


def check(found: State, wanted: dict, allowed: float):
    for name, part in (("dQ", found.q[..., 0]), ("dR", found.r[..., 0]), ("dv", found.v)):
        if name in wanted:
            np.testing.assert_allclose(
                np.squeeze(part), np.asarray(wanted[name]), rtol=0, atol=allowed, err_msg=name
            )


@pytest.mark.parametrize(
    ("name", "rule", "batch_size", "allowed"),
    [
        ("sign_B1", ts.SignSGD(0.3), 1, 1e-9),
        ("sign_B4", ts.SignSGD(0.3), 4, 1e-7),
        ("agd_online_B1_L1", ts.AGD(), 1, 1e-9),
    ],
)
def test_one_unit(name, rule, batch_size, allowed):
    check(velocity(*at(ONE["config"], rule, batch_size=batch_size)), ONE[name], allowed)


@pytest.mark.parametrize(
    ("name", "rule", "options", "allowed"),
    [
        ("sign_B1", ts.SignSGD(0.3), {}, 2e-4),
        pytest.param("sign_B4", ts.SignSGD(0.3), {"batch_size": 4}, 5e-4, marks=pytest.mark.long),
        pytest.param("agd_online_B1_L1", ts.AGD(), {}, 4e-4, marks=pytest.mark.long),
        pytest.param("agd_online_B4_L1", ts.AGD(), {"batch_size": 4}, 4e-4, marks=pytest.mark.long),
        ("agd_online_B1_L2_vgain_1overN", ts.AGD(readout_gain=1.0), {"trained": True}, 2e-4),
        ("fromage_B1", ts.Fromage(0.6), {}, 4e-4),
        ("heavy_ball_fixed_beta", ts.HeavyBall(0.05, beta=0.9), {}, 1e-13),
        pytest.param(
            "signum",
            ts.Signum(0.3, beta=0.8),
            {},
            7e-3,  # the reference is cut at 24 ages, which costs it 5e-3
            marks=pytest.mark.long,
        ),
    ],
)
def test_two_units(name, rule, options, allowed):
    # points in four dimensions and more: `allowed` is about four times the difference from half of
    # the points
    problem = at(TWO["config"], rule, **options)
    check(velocity(*problem), TWO[name], allowed)
    estimate = max(
        float(jnp.max(jnp.abs(fine - rough)))
        for fine, rough in zip(
            velocity(*problem)[:3], velocity(*problem, replica=1)[:3], strict=True
        )
    )
    assert (estimate == 0) == name.startswith("heavy_ball") and estimate < allowed


def tilt_of_a_sign(C, trained=False):
    """E[sign(e) f] over f = lambda, nu for one erf unit and its like, without noise."""
    task = ts.TeacherStudent(1, "erf")
    problem = ts.Problem(task, ts.Student(1, "erf", train_readout=trained), ts.SignSGD(0.3))
    return signs_of_one(problem, C, jnp.ones(1), 0).tilt[0]


@pytest.mark.parametrize("trained", mostly_long([False, True], [True]))
def test_the_sign_of_an_error_without_noise_in_the_plane(trained):
    # the sign of the error is that of lambda - nu, so that the average is known
    def exact(C):
        u = jnp.array([1.0, -1.0])
        return math.sqrt(2 / math.pi) * (C @ u) / jnp.sqrt(u @ C @ u)

    for C in (np.array([[0.5, 0.2], [0.2, 1.0]]), np.array([[1.0, 0.99], [0.99, 1.0]])):
        found = jax.jit(partial(tilt_of_a_sign, trained=trained))(jnp.asarray(C))
        np.testing.assert_allclose(found, exact(C), rtol=0, atol=1e-11)
    # Of a symmetric C, to both of whose entries a derivative belongs alike.
    slopes, expected = (jax.jit(jax.jacrev(of))(jnp.asarray(C)) for of in (tilt_of_a_sign, exact))
    expected = (expected + expected.swapaxes(1, 2)) / 2
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("activation", "trained", "kind"),
    [("erf", True, "lines"), ("quadratic", False, "equidistant"), ("softplus", True, "equid")],
)
def test_where_one_unit_has_lines_cut_at_the_jumps(activation, trained, kind):
    activation = jax.nn.softplus if activation == "softplus" else activation
    student = ts.Student(1, activation, train_readout=trained)
    problem = ts.Problem(ts.TeacherStudent(1, activation), student, ts.SignSGD(0.3))
    nodes = theory_of(problem.rule).nodes(problem.rule, problem)
    assert nodes.description.startswith(kind) and nodes.rough == (kind != "lines")


def test_nero():
    given = TWO["nero_B1"]["state"]
    memory = RunningSquare(
        jnp.array(given["second_moment"]), jnp.asarray(-math.expm1(-5.0 * given["t"]))
    )
    config = TWO["config"] | {"Q": given["Q"]}
    found = velocity(*at(config, ts.Nero(0.6, gamma=5.0), memory=memory))
    check(found, TWO["nero_B1"], 1e-4)
    np.testing.assert_allclose(found.memory.V, TWO["nero_B1"]["d_second_moment"], atol=1e-4)


def test_heavy_ball_with_a_memory_of_order_N():
    given, wanted = TWO["heavy_ball_slow"]["state"], TWO["heavy_ball_slow"]
    memory = Buffer(*(jnp.asarray(given[name], float)[..., None] for name in "PCD"), jnp.zeros(2))
    found = velocity(*at(TWO["config"], ts.HeavyBall(1.5, gamma=2.0), memory=memory))
    check(found, wanted, 1e-13)
    for name, part in (("dP", found.memory.p), ("dC", found.memory.c), ("dD", found.memory.d)):
        np.testing.assert_allclose(part[..., 0], wanted[name], rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("anchors", "name", "alpha"),
    [
        pytest.param(ONE, "agd_map_population", INF, marks=pytest.mark.long),
        pytest.param(ONE, "agd_map_alpha2", 2.0, marks=pytest.mark.long),
        (TWO, "agd_map_population", INF),
        (TWO, "agd_map_alpha4", 4.0),
    ],
)
def test_one_update_of_the_map(anchors, name, alpha):
    config, wanted = anchors["config"], anchors[name]
    Q, R, T = (jnp.atleast_2d(jnp.asarray(config[x], float)) for x in "QRT")
    task = ts.TeacherStudent(R.shape[1], readout=config["v_star"], noise=config["sigma"])
    rule = ts.AGD(first_scale=wanted["s1"])
    problem = ts.Problem(task, ts.Student(len(R), train_readout=True), rule, batch_ratio=alpha)
    found = agd_map.one_update(
        rule, problem, T, agd_map.Point(Q, R, jnp.atleast_1d(jnp.asarray(config["v"])))
    )
    for part, key in zip(found, ("Q_next", "R_next", "v_next"), strict=True):
        np.testing.assert_allclose(np.squeeze(part), wanted[key], rtol=0, atol=1e-12)


MAPS = {
    name: case for name, case in REFERENCE["trajectories"].items() if name.startswith("agd_map")
}


@pytest.mark.parametrize("name", list(MAPS))
def test_trajectory_of_the_map(name):
    case, config = MAPS[name], TWO["config"]
    task = ts.TeacherStudent(2, noise=config["sigma"])
    ratio = INF if case["alpha"] is None else case["alpha"]
    problem = ts.Problem(
        task, ts.Student(2, train_readout=True), ts.AGD(first_scale=case["s1"]), batch_ratio=ratio
    )
    start = ts.OrderParameters(config["Q"], config["R"], config["T"], config["v"])
    found = ts.integrate(problem, start, case["steps"])
    for x in "QRv":
        np.testing.assert_allclose(found[x], case[x], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        found.eps_g[:-1], np.asarray(case["eg"])[case["steps"][:-1]], rtol=0, atol=1e-9
    )
    assert found.time.attrs["units"] == "updates"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("ode_sign_B1", ts.SignSGD(0.3)),
        pytest.param("ode_agd_online_B1_L1", ts.AGD(), marks=pytest.mark.long),
    ],
)
def test_trajectory_online(name, rule):
    case = REFERENCE["trajectories"][name]
    set_up = rule_cases.committee(rule)(500)
    found = ts.integrate(set_up.problem, set_up.start, case["t"])
    for x in "QR":
        np.testing.assert_allclose(
            found[x].values.reshape(len(case["t"]), -1), case[x], rtol=0, atol=case["tolerance"]
        )
    report = description(found)["report"]
    assert report["rtol"] == 1e-4 and "frozen Sobol points" in report["averages"]
    assert 1e-6 < report["quadrature_error"] < CAUTION * 1e-3


# ---------------------------------------------------------------- closed forms and limits


@pytest.mark.parametrize(
    ("B", "sigma"), mostly_long([(1, 0.0), (1, 0.5), (5, 0.0), (5, 0.5)], [(1, 0.0), (5, 0.5)])
)
def test_a_linear_unit_settles_at_the_floor_of_sign_sgd(B, sigma):
    # dD/dt = -2 eta kappa D / sqrt(D + sigma^2) + eta^2 with kappa = sqrt(2/pi) sqrt 2
    # Gamma((B+1)/2) / Gamma(B/2)
    eta = 0.3
    growth = math.sqrt(2 / math.pi) * math.sqrt(2) * math.gamma((B + 1) / 2) / math.gamma(B / 2)
    problem = ts.Problem(
        ts.TeacherStudent(1, "linear", noise=sigma),
        ts.Student(1, "linear"),
        ts.SignSGD(eta),
        batch_size=B,
    )
    end = ts.integrate(problem, ts.OrderParameters([[0.6]], R=[[0.2]]), [60.0]).isel(time=0)
    D, c = float(end.Q[0, 0] - 2 * end.R[0, 0] + 1), eta / (2 * growth)
    np.testing.assert_allclose(D, (c**2 + math.sqrt(c**4 + 4 * c**2 * sigma**2)) / 2, rtol=1e-6)
    if B == 1 and sigma == 0:
        np.testing.assert_allclose(D, (math.pi * eta / 4) ** 2, rtol=1e-6)


@pytest.mark.parametrize("B", mostly_long([1, 3], [1]))
def test_linear_closed_forms_are_those_of_the_points(B, monkeypatch):
    rule = ts.MajorityVote(0.3, workers=3)
    problem = at(TWO["config"], rule, trained=True, batch_size=B, activation="linear")
    closed = jax.jit(lambda *at: vector_field(*at))(*problem)
    monkeypatch.setattr("odes.rules.sign_sgd.is_linear", lambda problem: False)
    by_points = jax.jit(lambda *at: vector_field(*at))(*problem)
    for exact, approximate in zip(closed[:3], by_points[:3], strict=True):
        np.testing.assert_allclose(exact, approximate, rtol=0, atol=1e-3)


def monte_carlo(problem, fixed, state, batches=400_000, seed=0):
    """lambda, rho (batches, B, ..), delta and e of random batches."""
    rng, B = np.random.default_rng(seed), problem.batch_size
    C = np.block([[state.q[..., 0], state.r[..., 0]], [state.r[..., 0].T, fixed.T]])
    K = len(state.v)
    h = rng.standard_normal((batches, B, len(C))) @ np.linalg.cholesky(C).T
    g, teacher = (
        np.asarray(f(jnp.asarray(h))) for f in (problem.student.activation, problem.task.activation)
    )
    e = g[..., :K] @ state.v - teacher[..., K:] @ np.asarray(problem.task.v_star)
    e = e + problem.task.noise * rng.standard_normal(e.shape)
    slope = np.asarray(problem.student.activation.derivative(jnp.asarray(h[..., :K])))
    return h, np.asarray(state.v) * slope * e[..., None], e, g[..., :K]


@pytest.mark.long
@pytest.mark.parametrize(
    ("activation", "sigma"), [("erf", 0.2), ("erf", 0.0), ("relu", 0.2), ("relu", 0.0)]
)
def test_sign_averages_of_batches_against_random_batches(activation, sigma):
    config = TWO["config"] | {"sigma": sigma, "v": [1.0, -0.7]}
    problem = at(config, ts.SignSGD(1.0, 1.0), trained=True, batch_size=3, activation=activation)
    h, delta, e, g = monte_carlo(*problem)
    length = np.sqrt((delta**2).sum(1))
    unit = delta / np.where(length > 0, length, 1)[:, None]
    tilt = math.sqrt(2 / math.pi) * np.einsum("nbk,nbf->kf", unit, h) / len(h)
    product = 2 / math.pi * np.arcsin(np.clip(np.einsum("nbk,nbl->nkl", unit, unit), -1, 1)).mean(0)
    found = velocity(*problem)
    np.testing.assert_allclose(found.r[..., 0], -tilt[:, 2:], atol=5e-3)
    np.testing.assert_allclose(found.q[..., 0], -tilt[:, :2] - tilt[:, :2].T + product, atol=8e-3)
    np.testing.assert_allclose(found.v, -np.sign((e[..., None] * g).sum(1)).mean(0), atol=6e-3)


@pytest.mark.long
def test_fromage_of_batches_against_random_batches():
    problem = at(TWO["config"], ts.Fromage(1.0, 1.0), trained=True, batch_size=3)
    _, fixed, state = problem
    h, delta, e, g = monte_carlo(*problem)
    unit = delta / np.sqrt((delta**2).sum((1, 2)))[:, None, None]
    tilt, product = (
        np.einsum("nbk,nbf->kf", unit, h) / len(h),
        np.einsum("nbk,nbl->kl", unit, unit) / len(h),
    )
    Q, R = state.q[..., 0], state.r[..., 0]
    trace = float(jnp.trace(Q))
    found = velocity(*problem)
    np.testing.assert_allclose(found.r[..., 0], -math.sqrt(trace) * tilt[:, 2:] - R / 2, atol=5e-3)
    pull = -math.sqrt(trace) * tilt[:, :2]
    np.testing.assert_allclose(found.q[..., 0], pull + pull.T + trace * product - Q, atol=8e-3)
    slope = (e[..., None] * g).sum(1)
    mean = (slope / np.linalg.norm(slope, axis=1, keepdims=True)).mean(0)
    np.testing.assert_allclose(found.v, -np.linalg.norm(state.v) * mean, atol=5e-3)
    np.testing.assert_allclose(np.trace(product), 1, rtol=1e-12)


def test_the_trace_of_fromages_quadratic_term_vanishes():
    rates = (1.0, 2.0)
    slow, fast = (
        velocity(*at(TWO["config"], ts.Fromage(rate), batch_size=2)).q[..., 0] for rate in rates
    )
    quadratic = (fast - 2 * slow) / 2  # a eta + b eta^2 at eta = 1, 2
    np.testing.assert_allclose(jnp.trace(quadratic), 0, atol=1e-6)


def counted_votes(alive, both, product, workers, samples=400_000):
    """Psi_kl and the strength of one worker by drawing votes of two units."""
    rng = np.random.default_rng(1)
    pairs = [(1, 1), (-1, -1), (1, -1), (-1, 1), (1, 0), (-1, 0), (0, 1), (0, -1), (0, 0)]
    same, different = (both + product) / 4, (both - product) / 4
    first, second = (alive[0] - both) / 2, (alive[1] - both) / 2
    p = [
        same,
        same,
        different,
        different,
        first,
        first,
        second,
        second,
        1 - alive[0] - alive[1] + both,
    ]
    drawn = np.asarray(pairs)[rng.choice(9, p=p, size=(samples, workers))]
    votes = np.sign(drawn.sum(1))
    others = drawn[:, 1:].sum(1)
    strength = ((others == 0) + (abs(others) == 1) / 2).mean(0)
    return votes.T @ votes / samples, strength


@pytest.mark.parametrize("workers", mostly_long([1, 2, 3, 4, 7], [3]))
def test_laws_of_votes(workers):
    alive, both, product = np.array([0.8, 0.6]), 0.5, 0.3
    full = lambda diagonal, other: jnp.array([[diagonal[0], other], [other, diagonal[1]]])
    one = Signs(
        jnp.zeros((2, 2)),
        full(alive, product),
        jnp.array(alive),
        full(alive, both),
        jnp.ones(2),
        jnp.ones(2),
    )
    psi, strength = counted_votes(alive, both, product, workers)
    np.testing.assert_allclose(product_of_votes(one, workers), psi, atol=6e-3)
    np.testing.assert_allclose(strength_of_one(jnp.array(alive), workers), strength, atol=4e-3)


def test_known_strengths_of_votes():
    for workers, known in ((1, 1.0), (3, 1 / 2), (4, 3 / 8)):
        np.testing.assert_allclose(strength_of_one(jnp.ones(1), workers), known, rtol=1e-14)


@pytest.mark.parametrize(("workers", "adversaries"), [(1, 0), (4, 1), (5, 2), (3, 3)])
def test_the_mean_vote_on_a_readout(workers, adversaries):
    up, down = np.array([0.5, 0.2]), np.array([0.3, 0.7])
    law = np.ones((2, 1))
    for worker in range(workers):
        high, low = (down, up) if worker < adversaries else (up, down)
        step = np.stack([low, 1 - up - down, high], axis=1)
        law = np.stack([np.convolve(a, b) for a, b in zip(law, step, strict=True)])
    wanted = law @ np.sign(np.arange(-workers, workers + 1))
    np.testing.assert_allclose(
        mean_vote(jnp.array(up), jnp.array(down), workers, adversaries), wanted, atol=1e-13
    )


@pytest.mark.parametrize("options", mostly_long([{}, {"batch_size": 2, "trained": True}], [{}]))
def test_a_vote_of_one_is_sign_sgd_and_an_adversary_turns_it_round(options):
    sign, vote, against = (
        velocity(*at(TWO["config"], rule, **options))
        for rule in (
            ts.SignSGD(0.3),
            ts.MajorityVote(0.3, workers=1),
            ts.MajorityVote(0.3, workers=1, adversaries=1),
        )
    )
    for first, second in zip(sign[:3], vote[:3], strict=True):
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-12)
    np.testing.assert_allclose(against.r, -vote.r, rtol=0, atol=1e-12)
    np.testing.assert_allclose(against.v, -vote.v, rtol=0, atol=1e-12)


def test_signum_without_memory_is_sign_sgd():
    signum, sign = (
        velocity(*at(TWO["config"], rule)) for rule in (ts.Signum(0.3, beta=0.0), ts.SignSGD(0.3))
    )
    for first, second in zip(signum[:2], sign[:2], strict=True):
        np.testing.assert_allclose(first, second, rtol=0, atol=4e-3)


def test_agd_becomes_sgd_with_the_rate_K_gain_at_small_error():
    gain, gaps = 0.7, []
    for small in (1e-2, 1e-3, 1e-4):
        Q = np.full((2, 2), 0.1) + np.diag([0.9 - small, 0.9 - 0.5 * small])
        config = {
            "Q": Q,
            "R": np.full((2, 2), 0.1) + np.diag([0.9 - small, 0.9 - small]),
            "T": np.full((2, 2), 0.1) + 0.9 * np.eye(2),
            "v": [1.0, 1.0],
            "v_star": [1.0, 1.0],
            "sigma": 0.0,
        }
        agd, sgd = (velocity(*at(config, rule)) for rule in (ts.AGD(gain=gain), ts.SGD(2 * gain)))
        gaps.append(float(jnp.linalg.norm(agd.r - sgd.r) / jnp.linalg.norm(sgd.r)))
    assert (
        gaps[0] > 2 * gaps[1] > 4 * gaps[2] and gaps[2] < 0.06
    )  # proportional to the root of the error


@pytest.mark.long
@pytest.mark.slow
def test_a_long_memory_of_heavy_ball_becomes_sgd():
    start = ts.OrderParameters(TWO["config"]["Q"], TWO["config"]["R"], v=TWO["config"]["v"])
    curve = lambda rule: ts.integrate(
        ts.Problem(ts.TeacherStudent(2, noise=0.2), ts.Student(2, train_readout=True), rule),
        start,
        [4.0],
    )
    sgd = curve(ts.SGD(0.5))
    gaps = [
        abs(curve(ts.HeavyBall(0.5 * gamma, gamma=gamma)).R - sgd.R).max() for gamma in (10.0, 40.0)
    ]
    assert gaps[1] < 0.3 * gaps[0] and gaps[1] < 0.02


@pytest.mark.long
@pytest.mark.slow
def test_heavy_ball_on_one_mode_of_a_structured_input_is_that_on_isotropic_inputs():
    given = rule_cases.committee(ts.HeavyBall(1.5, gamma=2.0), trained=True)(500)
    task = ts.GaussianEquivalent(np.eye(30), np.eye(30), 2, noise=0.2)
    problem = ts.Problem(task, given.problem.student, given.problem.rule)
    flat = ts.integrate(given.problem, given.start, [0.0, 2.0])
    structured = ts.integrate(problem, given.start, [0.0, 2.0])
    for x in ("Q", "R", "v"):
        np.testing.assert_allclose(structured[x], flat[x], rtol=0, atol=1e-7)


# ---------------------------------------------------------------- sign rules on other covariances


def anisotropic_problem(Omega, rule, noise=0.2):
    values, vectors = np.linalg.eigh(Omega)
    Phi = (vectors * np.sqrt(values)) @ vectors.T
    task = ts.GaussianEquivalent(Omega, Phi, 2, noise=noise)
    return ts.Problem(task, ts.Student(3), rule)


@pytest.mark.long
@pytest.mark.slow
def test_a_diagonal_covariance_needs_no_weights_but_agrees_with_them():
    # an Omega with one tiny entry off the diagonal takes the other road, through its weights
    rho = np.repeat([0.4, 1.6], 6)
    nearly = np.diag(rho) + 1e-9 * (np.eye(12, k=1) + np.eye(12, k=-1))
    problem, other = (
        anisotropic_problem(Omega, ts.SignSGD(0.3)) for Omega in (np.diag(rho), nearly)
    )
    start = ts.random_start(problem, seed=2, scale=0.6)
    again = ts.start_from_weights(other, start.network.w, start.v, start.network.w_star)
    first, second = (
        ts.integrate(one, at, [0.0, 1.0, 3.0]) for one, at in ((problem, start), (other, again))
    )
    for x in ("Q", "R"):
        np.testing.assert_allclose(first[x], second[x], rtol=0, atol=1e-4)


@pytest.mark.long
@pytest.mark.slow
def test_unit_covariance_is_the_isotropic_task():
    problem = anisotropic_problem(np.eye(40), ts.MajorityVote(0.3, workers=3))
    start = ts.random_start(problem, seed=2, scale=0.6)
    plain = ts.Problem(ts.TeacherStudent(2, noise=0.2), problem.student, problem.rule)
    flat = ts.integrate(
        plain, ts.OrderParameters(start.Q, R=start.R, T=start.T, v=start.v), [0.0, 2.0]
    )
    structured = ts.integrate(problem, start, [0.0, 2.0])
    for x in ("Q", "R"):
        np.testing.assert_allclose(structured[x], flat[x], rtol=0, atol=1e-6)


# ---------------------------------------------------------------- what has no theory


def structured(rule, **options):
    return ts.Problem(ts.HiddenManifold(1, latent_ratio=0.5), ts.Student(1), rule, **options)


def plain(rule, trained=False, **options):
    return ts.Problem(ts.TeacherStudent(1), ts.Student(1, train_readout=trained), rule, **options)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            plain(ts.Madam()),
            "no theory for the rule Madam: its steps depend on the weights.*rules with a theory: "
            "SGD, ",
        ),
        (plain(ts.AGD(), trained=True), "v jumps by O\\(1\\).*readout_gain"),
        (plain(ts.AGD(first_scale=1.0)), "first_scale with batches of order one has no limit"),
        (plain(ts.AGD(), batch_ratio=2.0), "first_scale is missing.*sqrt\\(K / N\\)"),
        (plain(ts.Nero()), "needs gamma"),
        (plain(ts.Nero(gamma=2.0), trained=True), "no theory of Nero with a trained readout"),
        (plain(ts.Nero(gamma=2.0, constraints=False)), "with constraints"),
        (plain(ts.Signum(0.1, beta=0.999)), "beta = 0.999 remembers .* samples"),
        (plain(ts.Signum(0.1), batch_size=2), "theory of Signum is for batch_size = 1, not 2"),
        (plain(ts.Signum(0.1), trained=True), "no theory of Signum with a trained readout"),
        (plain(ts.MajorityVote(0.1, beta=0.5)), "no theory of MajorityVote with beta = 0.5"),
        (plain(ts.Fromage(0.1, p_bound=1.0)), "without p_bound"),
        (
            structured(ts.SignSGD(0.1)),
            "no theory of SignSGD for HiddenManifold.*see the coordinates",
        ),
        (structured(ts.AGD()), "theory of AGD is for isotropic inputs.*HiddenManifold"),
        (structured(ts.Fromage(0.1)), "theory of Fromage is for isotropic"),
        (
            ts.Problem(ts.SpikedCumulant(5.0), ts.Student(1), ts.HeavyBall(0.1, gamma=1.0)),
            "HeavyBall\\(gamma=\\) is for tasks with a teacher",
        ),
    ],
)
def test_integrate_says_why_there_is_no_theory(problem, message):
    start = ts.OrderParameters([[1.0]], R=[[0.1]])
    with pytest.raises(ValueError, match=message):
        ts.integrate(problem, start, [0.0, 1.0])


def test_a_map_counts_updates():
    problem = plain(ts.AGD(first_scale=1.0), batch_ratio=2.0)
    start = ts.OrderParameters([[1.0]], R=[[0.1]])
    with pytest.raises(
        ValueError, match="times has the entry 0.5, but with batch_ratio time counts updates"
    ):
        ts.integrate(problem, start, [0.0, 0.5])
    with pytest.raises(ValueError, match="use integrate"):
        ts.solve(problem, start, [0.0, 1.0])
    with pytest.raises(ValueError, match="batch_ratio = inf is the expected gradient"):
        ts.simulate(plain(ts.AGD(first_scale=1.0), batch_ratio=INF), start, [0, 1], N=50, seeds=1)


def test_signs_on_a_covariance_need_coordinates():
    Omega = np.eye(8) + 0.2
    problem = anisotropic_problem(Omega, ts.SignSGD(0.1))
    drawn = ts.random_start(problem, seed=0)
    bare = ts.SpectralOverlaps(
        drawn.rho, drawn.weights, drawn.q, drawn.r, drawn.t, drawn.T, drawn.v
    )
    with pytest.raises(ValueError, match="start has no weights"):
        ts.integrate(problem, bare, [0.0, 1.0])
    several = ts.Problem(problem.task, problem.student, problem.rule, batch_size=2)
    with pytest.raises(ValueError, match="only for diagonal Omega"):
        ts.integrate(several, drawn, [0.0, 1.0])


@pytest.mark.long
@pytest.mark.slow
def test_gains_are_swept_and_do_not_compile_again():
    from odes import two_layer as module

    start = ts.OrderParameters([[0.6]], R=[[0.2]])
    swept = ts.integrate(plain(ts.AGD(gain=[0.5, 1.0])), start, [0.0, 1.0])
    assert swept.gain.values.tolist() == [0.5, 1.0]
    single = ts.integrate(plain(ts.AGD(gain=1.0)), start, [0.0, 1.0])
    np.testing.assert_allclose(swept.R.isel(gain=1), single.R, atol=1e-9)
    compiled = module._compiled("cpu")._cache_size()
    ts.integrate(plain(ts.AGD(gain=0.3)), start, [0.0, 1.0])
    assert module._compiled("cpu")._cache_size() == compiled
