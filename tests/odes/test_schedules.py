"""Theories whose numbers change with time: against SciPy on independent equations, joined runs,
the solver's steps, sweeps and gradients.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import teacherstudent as ts
from odes import two_layer as module
from odes.rules import agd_map
from odes.solving.solve import CURVES_AT_ONCE
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.odes import plain_erf
from tests.problems import random_overlaps

K, M = 3, 2
TIMES = [0.0, 0.3, 1.0, 2.5, 6.0]
TIGHT = {"rtol": 1e-11, "atol": 1e-13}


def learning(rate=0.3, *, readout=1.0, noise=0.2, trained=True, rule=ts.SGD, **numbers):
    return ts.Problem(
        ts.TeacherStudent(M, readout=readout, noise=noise),
        ts.Student(K, train_readout=trained),
        rule(rate, **numbers),
    )


def begin(seed=0) -> ts.OrderParameters:
    return random_overlaps(K, M, seed=seed, v=[0.5, 1.0, -0.7])


def assert_close(found, expected, allowed, names=("Q", "R", "v", "eps_g")):
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=allowed, err_msg=name)


def effort(data) -> tuple[int, int]:
    """Steps that the solver tried, and those of them that it rejected."""
    report = description(data)["report"]
    return report["steps"], report["rejected_steps"]


# ---------------------------------------------------------------- independent equations


def scipy_solution(start, numbers, times, jumps=()):
    """Q, R, v and eps_g at the times, by DOP853 on the equations written out sum by sum.

    `numbers(t)` are the rates of both layers, the noise, the weight decay and the readout of the
    teacher.  The solver begins anew at each of the jumps.
    """
    shapes = [(K, K), (K, M), (K,)]

    def parts(y):
        split = np.split(y, np.cumsum([K * K, K * M]))
        return [part.reshape(shape) for part, shape in zip(split, shapes, strict=True)]

    def velocity(t, y):
        eta, eta_v, sigma, kappa, v_star = numbers(t)
        Q, R, v = parts(y)
        moved = plain_erf.velocity(Q, R, start.T, v, v_star, eta, eta_v, sigma, kappa)
        return np.concatenate([np.ravel(part) for part in moved])

    y = np.concatenate([np.ravel(part) for part in (start.Q, start.R, start.v)])
    edges = [times[0], *jumps, times[-1]]
    found = {}
    for first, last in zip(edges, edges[1:], strict=False):
        just_before = np.nextafter(last, first) if last in jumps else last
        at = [t for t in times if first <= t <= just_before]
        solution = solve_ivp(
            velocity,
            (first, just_before),
            y,
            "DOP853",
            sorted({*at, just_before}),
            rtol=1e-12,
            atol=1e-14,
        )
        found |= dict(zip(solution.t, solution.y.T, strict=True))
        y = solution.y[:, -1]
    states = [parts(found[t]) for t in times]
    errors = [
        plain_erf.error(Q, R, start.T, v, numbers(t)[4])
        for t, (Q, R, v) in zip(times, states, strict=True)
    ]
    names = zip(("Q", "R", "v"), zip(*states, strict=True), strict=True)
    return {name: np.array(values) for name, values in names} | {"eps_g": np.array(errors)}


def one_readout(t):
    return [1.0, -0.5]


INDEPENDENT = {
    # name: (problem, (eta, eta_v, sigma, kappa, v*) of t, jumps)
    "exponential": (
        learning(ts.exponential(0.8, rate=0.5, final=0.1), readout=[1.0, -0.5]),
        lambda t: (*[0.1 + 0.7 * np.exp(-0.5 * t)] * 2, 0.2, 0.0, one_readout(t)),
        (),
    ),
    "cosine, weight decay": (
        learning(
            ts.cosine(0.8, duration=4.0, final=0.2),
            readout=[1.0, -0.5],
            weight_decay=ts.linear(0.0, final=0.3, duration=2.0),
        ),
        lambda t: (
            *[0.2 + 0.3 * (1 + np.cos(np.pi * min(t / 4.0, 1.0)))] * 2,
            0.2,
            0.3 * min(t / 2.0, 1.0),
            one_readout(t),
        ),
        (2.0, 4.0),
    ),
    "power, readout with a rate of its own": (
        learning(
            ts.power(0.8, exponent=0.7, scale=2.0),
            readout=[1.0, -0.5],
            readout_learning_rate=ts.warm_up(0.4, duration=1.5),
        ),
        lambda t: (
            0.8 * (1 + t / 2.0) ** -0.7,
            0.4 * min(t / 1.5, 1.0),
            0.2,
            0.0,
            one_readout(t),
        ),
        (1.5,),
    ),
    "decaying noise": (
        learning(readout=[1.0, -0.5], noise=ts.exponential(1.5, rate=0.6)),
        lambda t: (0.3, 0.3, 1.5 * np.exp(-0.6 * t), 0.0, one_readout(t)),
        (),
    ),
    "moving readout": (
        learning(readout=[ts.linear(1.0, final=-1.0, duration=3.0), 0.5]),
        lambda t: (0.3, 0.3, 0.2, 0.0, [1.0 - 2.0 * min(t / 3.0, 1.0), 0.5]),
        (3.0,),
    ),
    "switched readout": (
        learning(readout=ts.piecewise([[1.0, -0.5], [-0.2, 0.8]], [2.5])),
        lambda t: (0.3, 0.3, 0.2, 0.0, [1.0, -0.5] if t < 2.5 else [-0.2, 0.8]),
        (2.5,),
    ),
    "function": (
        learning(ts.Schedule(lambda t: 0.4 + 0.3 * jnp.sin(t)), readout=[1.0, -0.5]),
        lambda t: (*[0.4 + 0.3 * np.sin(t)] * 2, 0.2, 0.0, one_readout(t)),
        (),
    ),
}


@pytest.mark.parametrize("name", mostly_long(INDEPENDENT, ["exponential", "switched readout"]))
def test_agrees_with_scipy_on_independent_equations(name):
    problem, numbers, jumps = INDEPENDENT[name]
    theory = ts.integrate(problem, begin(), TIMES, rtol=1e-10, atol=1e-12)
    assert_close(theory, scipy_solution(begin(), numbers, TIMES, jumps), 1e-8)
    at_first = ts.integrate(problem.at(0.0), begin(), TIMES, rtol=1e-10, atol=1e-12)
    assert abs(theory.Q - at_first.Q).max() > 0.01  # the change is one that a wrong answer shows


# ---------------------------------------------------------------- pieces are joined runs


def pieces(make, first, second, jump=1.3):
    """A problem whose number jumps, and the same before and after it."""
    return make(ts.piecewise([first, second], [jump])), make(first), make(second), jump


def on_a_manifold(rate):
    task = ts.HiddenManifold(M, latent_ratio=0.4, noise=0.1)
    return ts.Problem(task, ts.Student(K), ts.SGD(rate))


def spiked(rate):
    task = ts.SpikedCumulant(beta=3.0, latent="rademacher")
    student = ts.Student(K, train_readout=True, train_bias=True)
    return ts.Problem(task, student, ts.SGD(rate), loss="logistic")


def begin_spiked() -> ts.OrderParameters:
    Q = random_overlaps(K, M).Q
    return ts.OrderParameters(Q, m=[[0.1], [-0.2], [0.3]], v=[0.5, 1.0, -0.7], b=[0.1, 0.0, -0.1])


JOINED = {
    "SGD": (pieces(learning, 0.3, 0.9), begin()),
    "teacher's readout": (
        pieces(lambda readout: learning(readout=readout), [1.0, 0.5], [-0.3, 0.8]),
        begin(),
    ),
    "noise": (pieces(lambda noise: learning(noise=noise), 0.9, 0.0), begin()),
    "heavy ball": (
        pieces(lambda rate: learning(rate, rule=ts.HeavyBall, gamma=2.0), 0.5, 1.2),
        begin(),
    ),
    "gamma of heavy ball": (
        pieces(lambda gamma: learning(0.8, rule=ts.HeavyBall, gamma=gamma), 0.5, 4.0),
        begin(),
    ),
    "hidden manifold": (pieces(on_a_manifold, 0.2, 0.6), random_overlaps(K, M)),
    "spiked cumulant": (pieces(spiked, 0.2, 0.8), begin_spiked()),
}


@pytest.mark.parametrize("name", mostly_long(JOINED, ["heavy ball"]))
def test_pieces_are_joined_runs(name):
    (whole, before, after, jump), start = JOINED[name]
    if name == "hidden manifold":
        start = ts.spectral_start(whole, start, nodes=6)
    times = [0.0, 0.6, jump, 2.0, 4.0]
    theory = ts.integrate(whole, start, times, **TIGHT)
    first = ts.integrate(before, start, times[:3], **TIGHT)
    second = ts.integrate(after, ts.last_state(first), times[2:], **TIGHT)
    error = "loss" if name == "spiked cumulant" else "eps_g"
    names = ["Q", "m" if name == "spiked cumulant" else "R", "v"]
    if name == "spiked cumulant":
        names += ["b", "accuracy"]
    assert_close(theory.isel(time=slice(0, 3)), first, 1e-9, names)
    assert_close(theory.isel(time=slice(2, 5)), second, 1e-9, [*names, error])
    assert_close(theory.isel(time=slice(0, 2)), first.isel(time=slice(0, 2)), 1e-9, [error])
    unchanged = ts.integrate(before, start, times, **TIGHT)
    assert abs(theory.Q[-1] - unchanged.Q[-1]).max() > 1e-3


# ---------------------------------------------------------------- the solver at a jump


def jumping(t):
    return jnp.where(t >= 1.7, 0.8, 0.2)


@pytest.mark.long
def test_the_solver_stops_at_a_jump_that_it_is_told_of():
    told, untold, steady = (
        ts.integrate(learning(rate), begin(), TIMES, rtol=1e-9, atol=1e-11)
        for rate in (ts.Schedule(jumping, jumps=[1.7]), ts.Schedule(jumping), 0.2)
    )
    assert_close(told, untold, 1e-7)
    steps, rejected = effort(told)
    assert rejected <= effort(steady)[1] + 4
    assert effort(untold)[1] > 5 * rejected and effort(untold)[0] > 3 * steps
    named = ts.integrate(
        learning(ts.piecewise([0.2, 0.8], [1.7])), begin(), TIMES, rtol=1e-9, atol=1e-11
    )
    assert effort(named) == effort(told)
    np.testing.assert_array_equal(named.Q, told.Q)


@pytest.mark.long
@pytest.mark.parametrize("rate", [ts.linear(0.8, 0.1, duration=2.0), ts.warm_up(0.8, 2.0)])
def test_the_solver_stops_at_a_kink(rate):
    """A kink costs no more steps than a jump of the same size, at a tolerance that would see it."""

    def bare(t):
        return rate(t)

    told, untold = (
        ts.integrate(learning(one), begin(), TIMES, rtol=1e-10, atol=1e-12)
        for one in (rate, ts.Schedule(bare))
    )
    assert_close(told, untold, 1e-8)
    assert effort(told)[1] < effort(untold)[1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("times", "jump"),
    [
        ([0.0, 1.0, 2.0, 4.0], 2.0),
        ([0.0, 1.0, np.nextafter(2.0, 0.0), np.nextafter(2.0, 3.0), 4.0], 2.0),
        ([0.0, 1.0, 0.1 + 0.2 + 1.0, 2.0], 1.3),
        ([2.0, 4.0], 1.0),
        ([3.0], 1.0),
    ],
    ids=["at a time", "between two times", "beside a time", "before all times", "one time"],
)
def test_a_jump_beside_recorded_times(times, jump):
    """What is recorded at the jump is the state there, which does not jump."""
    theory = ts.integrate(learning(ts.piecewise([0.2, 0.8], [jump])), begin(), times, **TIGHT)
    fine = sorted({*times, 0.0, jump})
    first = ts.integrate(learning(0.2), begin(), [t for t in fine if t <= jump], **TIGHT)
    second = ts.integrate(learning(0.8), ts.last_state(first), fine[fine.index(jump) :], **TIGHT)
    for index, t in enumerate(times):
        part = first if t < jump else second
        assert_close(theory.isel(time=index), part.sel(time=t), 1e-9)


def test_a_jump_at_the_last_time_changes_nothing_but_the_error():
    """Of the teacher the error at the jump is that of the new one; no step sees the new number."""
    steady = ts.integrate(learning(0.2), begin(), TIMES)
    rate = ts.integrate(learning(ts.piecewise([0.2, 0.8], [TIMES[-1]])), begin(), TIMES)
    assert_close(rate, steady, 1e-13)
    assert effort(rate) == effort(steady)
    switched = learning(0.2, readout=ts.piecewise([1.0, -1.0], [TIMES[-1]]))
    readout = ts.integrate(switched, begin(), TIMES)
    assert_close(readout, steady, 1e-13, ["Q", "R", "v"])
    np.testing.assert_allclose(readout.eps_g[:-1], steady.eps_g[:-1], rtol=0, atol=1e-13)
    expected = ts.generalisation_error(switched.at(TIMES[-1]), ts.state_at(steady, TIMES[-1]))
    assert float(readout.eps_g[-1]) == pytest.approx(float(expected), rel=1e-9)
    assert abs(readout.eps_g[-1] - steady.eps_g[-1]) > 0.1


@pytest.mark.long
def test_several_jumps_and_kinks_of_several_numbers():
    problem = learning(
        ts.piecewise([0.2, ts.warm_up(0.8, duration=2.5), 0.1], [1.0, 4.0]),
        noise=ts.piecewise([0.1, 0.6], [3.0]),
    )
    edges = [0.0, 1.0, 2.5, 3.0, 4.0, 6.0]
    theory = ts.integrate(problem, begin(), edges, **TIGHT)
    state = begin()
    pieces = [(0.2, 0.1), (ts.Schedule(lambda t: 0.8 * t / 2.5), 0.1), (0.8, 0.1), (0.8, 0.6)]
    pieces.append((0.1, 0.6))
    for index, (rate, noise) in enumerate(pieces):
        part = ts.integrate(learning(rate, noise=noise), state, edges[index : index + 2], **TIGHT)
        state = ts.last_state(part)
        assert_close(theory.isel(time=index + 1), part.isel(time=1), 1e-9)


@pytest.mark.parametrize("solver", mostly_long(["tsit5", "dopri8", "kvaerno5"], []))
def test_all_solvers_agree(solver):
    problem = learning(
        ts.piecewise([0.2, ts.exponential(0.8, rate=0.3)], [1.7]), noise=ts.power(0.5)
    )
    reference = ts.integrate(problem, begin(), TIMES, **TIGHT)
    found = ts.integrate(problem, begin(), TIMES, solver=solver, rtol=1e-7, atol=1e-9)
    assert description(found)["report"]["solver"] == solver
    assert_close(found, reference, 2e-6)


@pytest.mark.parametrize("solver", mostly_long(["dopri8", "kvaerno5"], []))
def test_the_solve_with_gradients_takes_the_same_steps(solver):
    """Also past a jump, and to one at the last time."""
    problem = learning(ts.piecewise([0.2, 0.8, 0.1], [1.7, TIMES[-1]]))
    one = ts.integrate(problem, begin(), TIMES, solver=solver)
    other = ts.solve(problem, begin(), TIMES, solver=solver)
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(getattr(other, name), one[name], rtol=1e-10, atol=1e-12)
    assert effort(one) == (other.steps, other.rejected)


# ---------------------------------------------------------------- sweeps and batches


def test_as_many_curves_as_step_together():
    """A batch of the largest size has no array without entries in its answer."""
    rates = np.linspace(0.1, 0.5, CURVES_AT_ONCE)
    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SGD(rates))
    start = ts.OrderParameters(Q=0.5 * np.eye(2), R=[[0.1], [0.2]])
    theory = ts.integrate(problem, start, [0.0, 1.0])
    assert theory.sizes["learning_rate"] == CURVES_AT_ONCE


@pytest.mark.long
def test_sweeps_equal_single_runs():
    """Each curve stops at its own jump."""
    jumps, rates, noises = [0.7, 1.7, 4.0], [0.1, 0.5], [0.0, 0.8]

    def problem(jump, rate, noise):
        decay = ts.exponential(0.6, rate=rate)
        return learning(
            ts.piecewise([decay, 0.2], [jump]), noise=ts.linear(noise, 0.1, duration=2.0)
        )

    swept = ts.integrate(problem(jumps, rates, noises), begin(), TIMES, rtol=1e-9, atol=1e-11)
    names = ("noise_initial", "learning_rate_values_0_rate", "learning_rate_times_0")
    assert swept.Q.dims[:3] == names and swept.Q.shape[:3] == (2, 2, 3)
    for noise, rate, jump in ((0, 0, 0), (1, 0, 2), (0, 1, 1)):
        single = ts.integrate(
            problem(jumps[jump], rates[rate], noises[noise]), begin(), TIMES, rtol=1e-9, atol=1e-11
        )
        curve = swept.isel(dict(zip(names, (noise, rate, jump), strict=True)))
        assert_close(curve, single, 1e-9)
        steps = np.asarray(description(swept)["report"]["steps"])[noise, rate, jump]
        assert steps == effort(single)[0]


@pytest.mark.long
def test_a_batch_of_starts_equals_single_runs():
    problem = learning(ts.piecewise([0.2, ts.exponential(0.8, rate=0.3)], [1.7]))
    starts = [begin(seed) for seed in (1, 2)]
    batch = ts.OrderParameters(
        *(np.stack([getattr(one, name) for one in starts]) for name in ("Q", "R", "T", "v"))
    )
    together = ts.integrate(problem, batch, TIMES)
    for index, start in enumerate(starts):
        assert_close(together.isel(start=index), ts.integrate(problem, start, TIMES), 1e-9)


# ---------------------------------------------------------------- constants, and all rules


@pytest.mark.parametrize("trained", mostly_long([True, False], [True]))
def test_a_constant_is_a_number(trained):
    numbers = {"rate": 0.4, "noise": 0.3, "weight_decay": 0.1, "readout": [1.0, -0.5]}
    schedules = {name: ts.constant(value) for name, value in numbers.items()}
    for solver in ("dopri8", "tsit5"):
        plain, constant = (
            ts.integrate(learning(trained=trained, **given), begin(), TIMES, solver=solver)
            for given in (numbers, schedules)
        )
        assert_close(constant, plain, 1e-13)
        assert effort(constant) == effort(plain)


def isotropic(rule, trained=False, **options):
    task = ts.TeacherStudent(M, noise=0.2)
    return ts.Problem(task, ts.Student(K, train_readout=trained), rule, **options)


RULES = {
    # name: (rule of a number, its value), further options of the problem
    "SphericalSGD": (lambda x: isotropic(ts.SphericalSGD(x)), 0.3),
    "HeavyBall, beta": (lambda x: isotropic(ts.HeavyBall(0.1, beta=x), trained=True), 0.7),
    "HeavyBall, gamma": (lambda x: isotropic(ts.HeavyBall(0.5, gamma=x), trained=True), 2.0),
    "HeavyBall, rate": (lambda x: isotropic(ts.HeavyBall(x, gamma=2.0), trained=True), 0.5),
    "SignSGD": (lambda x: isotropic(ts.SignSGD(x), trained=True), 0.3),
    "SignSGD, B = 4": (lambda x: isotropic(ts.SignSGD(x), batch_size=4), 0.3),
    "MajorityVote": (lambda x: isotropic(ts.MajorityVote(x, workers=3)), 0.3),
    "Signum": (lambda x: isotropic(ts.Signum(x, beta=0.5)), 0.3),
    "AGD": (lambda x: isotropic(ts.AGD(gain=x)), 0.8),
    "AGD, readout": (lambda x: isotropic(ts.AGD(readout_gain=x), trained=True), 0.8),
    "Fromage": (lambda x: isotropic(ts.Fromage(x)), 0.4),
    "Nero": (lambda x: isotropic(ts.Nero(x, gamma=3.0)), 0.4),
    "Nero, gamma": (lambda x: isotropic(ts.Nero(0.4, gamma=x)), 3.0),
    "batches": (lambda x: isotropic(ts.SGD(x), batch_size=3), 0.4),
}
QUICK = ["SphericalSGD"]


@pytest.mark.parametrize("name", mostly_long(RULES, QUICK))
def test_every_rule_with_a_theory_takes_schedules(name):
    """A constant is the number, and a number that doubles gives another answer."""
    make, value = RULES[name]
    start = random_overlaps(K, M)
    if make(value).rule.__class__ in (ts.SphericalSGD, ts.Nero):
        lengths = np.sqrt(np.diagonal(start.Q))
        Q, R = start.Q / np.outer(lengths, lengths), start.R / lengths[:, None]
        start = ts.OrderParameters((Q + Q.T) / 2, R, start.T)
    times = [0.0, 0.1, 0.2]
    plain, constant, other = (
        ts.integrate(make(number), start, times)
        for number in (value, ts.constant(value), ts.linear(value, 1.2 * value, duration=0.05))
    )
    assert_close(constant, plain, 1e-12)
    assert effort(constant) == effort(plain)
    assert abs(other.Q[-1] - plain.Q[-1]).max() > 1e-6


def mixture(rate):
    task = ts.GaussianMixture([0.5, 0.5], [1, -1], means=[[1.0], [-1.0]])
    return ts.Problem(task, ts.Student(K), ts.SGD(rate))


def box(rate):
    task = ts.BoxMixture([0.5, 0.5], [1, -1], boxes=[[[0.0, 2.0]], [[-2.0, 0.0]]])
    return ts.Problem(task, ts.Student(K), ts.SGD(rate))


def mixed(rate):
    return ts.Problem(ts.MixedCumulant(2.0, 3.0), ts.Student(K), ts.SGD(rate))


def anisotropic(rate):
    task = ts.GaussianEquivalent.anisotropic(ts.power_law(20, 0.7), width=M)
    return ts.Problem(task, ts.Student(K), ts.SGD(rate))


TASKS = {
    "SpikedCumulant": (spiked, begin_spiked()),
    "GaussianMixture": (mixture, begin_spiked()),
    "BoxMixture": (box, begin_spiked()),
    "MixedCumulant": (
        mixed,
        ts.OrderParameters(random_overlaps(K, M).Q, m=[[0.1, 0.0], [-0.2, 0.1], [0.0, 0.3]]),
    ),
    "HiddenManifold": (on_a_manifold, random_overlaps(K, M)),
    "GaussianEquivalent": (anisotropic, None),
}


@pytest.mark.parametrize("name", mostly_long(TASKS, []))
def test_every_task_takes_schedules(name):
    make, start = TASKS[name]
    if start is None:
        start = ts.random_start(make(0.3), seed=1, scale=0.6)
    plain, constant, other = (
        ts.integrate(make(rate), start, [0.0, 0.1, 0.2])
        for rate in (0.3, ts.constant(0.3), ts.linear(0.3, 0.4, duration=0.05))
    )
    names = [one for one in ("Q", "R", "m", "v", "eps_g", "loss", "accuracy") if one in plain]
    assert_close(constant, plain, 1e-12, names)
    assert abs(other.Q[-1] - plain.Q[-1]).max() > 1e-6


# ---------------------------------------------------------------- the map of AGD


@pytest.mark.parametrize("alpha", mostly_long([4.0, float("inf")], [4.0]))
def test_the_map_takes_the_gain_of_each_update(alpha):
    """Update by update, with the gain at t = the number of the update, in a plain loop."""

    def problem(gain):
        return isotropic(ts.AGD(gain=gain, first_scale=np.sqrt(K)), trained=True, batch_ratio=alpha)

    times = [0.0, 1.0, 2.0, 5.0, 9.0]
    gain = ts.piecewise([ts.exponential(0.8, rate=0.2), 0.3], [5.0])
    start = random_overlaps(K, M, v=[0.5, 1.0, -0.7])
    theory = ts.integrate(problem(gain), start, times)

    @jax.jit
    def moved(one, point):
        return agd_map.one_update(one.rule, one, jnp.asarray(start.T), point)

    point = agd_map.Point(*(jnp.asarray(part) for part in (start.Q, start.R, start.v)))
    for update in range(9):
        if update in times:
            assert_close(theory.sel(time=update), point._asdict(), 1e-12, ["Q", "R", "v"])
        number = 0.8 * np.exp(-0.2 * update) if update < 5 else 0.3
        point = moved(problem(number).for_programs(), point)
    assert_close(theory.isel(time=-1), point._asdict(), 1e-12, ["Q", "R", "v"])
    whole = ts.integrate(problem(0.8), start, times)
    assert abs(theory.Q[-1] - whole.Q[-1]).max() > 0.01


# ---------------------------------------------------------------- compilation and gradients


def test_other_parameters_do_not_recompile():
    def run(initial, jump, noise):
        rate = ts.piecewise([ts.exponential(initial, rate=0.1 * initial), 0.2], [jump])
        problem = learning(rate, noise=ts.cosine(noise, duration=1 + noise))
        return ts.integrate(problem, begin(), TIMES)

    one = run(0.5, 1.0, 0.3)
    before = module._compiled("cpu")._cache_size()
    other = run(0.7, 2.0, 0.6)
    assert module._compiled("cpu")._cache_size() == before
    assert abs(one.Q - other.Q).max() > 0.01


def late_error(initial, rate, before, after):
    problem = learning(
        ts.exponential(initial, rate=rate),
        trained=False,
        noise=ts.piecewise([before, after], [1.7]),
    )
    start = random_overlaps(K, M)
    times = jnp.asarray([0.0, 4.0])
    return ts.solve(problem, start, times, rtol=1e-10, atol=1e-12, solver="tsit5").eps_g[-1]


@pytest.mark.long
def test_gradients_against_finite_differences():
    at, h = (0.5, 0.2, 0.3, 0.6), 1e-4
    slopes = jax.grad(late_error, argnums=(0, 1, 2, 3))(*at)
    for index, slope in enumerate(slopes):
        up, down = (
            late_error(*(x + sign * h * (i == index) for i, x in enumerate(at))) for sign in (1, -1)
        )
        assert float(slope) == pytest.approx(float(up - down) / (2 * h), rel=1e-5)
        assert abs(float(slope)) > 1e-4


@pytest.mark.long
def test_the_gradient_with_respect_to_a_decay_rate():
    """In closed form: of a linear unit without noise, whose overlap relaxes at the rate eta(t)."""

    def overlap(initial, rate):
        task, student = ts.TeacherStudent(1, "linear"), ts.Student(1, "linear")
        problem = ts.Problem(task, student, ts.SGD(ts.exponential(initial, rate=rate)))
        start = ts.OrderParameters([[0.5]], [[0.0]])
        return ts.solve(problem, start, jnp.asarray([0.0, 2.0]), rtol=1e-9, atol=1e-11).R[-1, 0, 0]

    def exact(initial, rate):
        return 1 - jnp.exp(-initial * (1 - jnp.exp(-2.0 * rate)) / rate)

    found = jax.grad(overlap, argnums=(0, 1))(0.5, 0.3)
    np.testing.assert_allclose(found, jax.grad(exact, argnums=(0, 1))(0.5, 0.3), rtol=1e-7)
    assert float(overlap(0.5, 0.3)) == pytest.approx(float(exact(0.5, 0.3)), rel=1e-8)
