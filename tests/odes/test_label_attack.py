"""Attacks on labels: reference trajectories of independent formulas, the limits, and the attackers'
costs against value iteration.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long
from tests.problems import random_overlaps

REFERENCE = json.loads((Path(__file__).parent / "label_attack.json").read_text())
CASES = {case["name"]: case for case in REFERENCE["cases"]}
ERRORS = ["eps_teacher", "eps_target"]
TIMES = np.linspace(0.0, 6.0, 7)
READOUT = [0.9, 0.7, -1.1]  # two units of the teacher, one of the target


def attacked(strength, **options) -> ts.Problem:
    task = ts.LabelAttack(3, "erf", READOUT, noise=0.1, strength=strength)
    return ts.Problem(task, ts.Student(2, train_readout=True), ts.SGD(0.5), **options)


def taught(readout) -> ts.Problem:
    task = ts.TeacherStudent(3, "erf", readout, noise=0.1)
    return ts.Problem(task, ts.Student(2, train_readout=True), ts.SGD(0.5))


def inversion(strength, noise=0.0) -> tuple[ts.Problem, ts.OrderParameters]:
    task = ts.LabelAttack(2, "linear", noise=noise, strength=strength)
    problem = ts.Problem(task, ts.Student(1, "linear"), ts.SGD(0.5), batch_size=2)
    start = ts.OrderParameters([[1.0]], R=[[1.0, -1.0]], T=[[1.0, -1.0], [-1.0, 1.0]])
    return problem, start


def linear_case(case) -> tuple[ts.Problem, ts.OrderParameters, dict]:
    task = ts.LabelAttack(2, "linear", noise=case["noise"], strength=case["strength"])
    problem = ts.Problem(
        task, ts.Student(1, "linear"), ts.SGD(case["eta"]), batch_size=case["batch_size"]
    )
    r = case["r"]
    R = [[case["R_teacher0"], case["R_target0"]]]
    start = ts.OrderParameters([[case["Q0"]]], R=R, T=[[1.0, r], [r, 1.0]])
    expected = np.stack([case["R_teacher"], case["R_target"]], axis=-1)[:, None, :]
    return problem, start, {"Q": np.reshape(case["Q"], (-1, 1, 1)), "R": expected}


def two_layer_case(case) -> tuple[ts.Problem, ts.OrderParameters, dict]:
    task = ts.LabelAttack(
        case["M_teacher"] + case["M_target"],
        case["activation"],
        case["v_teacher"] + case["v_target"],
        case["noise"],
        target_width=case["M_target"],
        strength=case["strength"],
    )
    student = ts.Student(case["K"], case["activation"], train_readout=True)
    rule = ts.SGD(case["eta_w"], case["eta_v"])
    problem = ts.Problem(task, student, rule, batch_size=case["batch_size"])
    start = ts.OrderParameters(case["Q0"], case["R0"], case["T"], case["v0"])
    return problem, start, {name: case[name] for name in ("Q", "R", "v")}


@pytest.mark.parametrize(
    "name", mostly_long(CASES, ["linear_target_r0.2_untrained", "erf_two_layer_K2_constant"])
)
def test_reference_trajectory(name):
    case = CASES[name]
    build = {"linear": linear_case, "two_layer": two_layer_case}[case["kind"]]
    problem, start, expected = build(case)
    expected |= {error: case[error] for error in ERRORS}
    theory = ts.integrate(problem, start, case["t"], rtol=1e-10, atol=1e-12, observables=ERRORS)
    for quantity, values in expected.items():
        np.testing.assert_allclose(theory[quantity], values, rtol=0, atol=1e-8, err_msg=quantity)


@pytest.mark.parametrize(
    ("strength", "readout"),
    [(0.0, [0.9, 0.7, 0.0]), (1.0, [0.0, 0.0, -1.1]), (0.25, [0.675, 0.525, -0.275])],
)
def test_a_constant_attack_is_a_teacher_with_the_blended_readout(strength, readout):
    start = random_overlaps(2, 3, seed=1, v=[0.4, -0.2])
    found = ts.integrate(attacked(strength), start, TIMES, observables=ERRORS)
    wanted = ts.integrate(taught(readout), start, TIMES)
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-12, err_msg=name)
    for end, error in ((0.0, "eps_teacher"), (1.0, "eps_target")):
        if strength == end:
            np.testing.assert_allclose(found[error], found.eps_g, rtol=0, atol=1e-12)


def test_a_growing_attack_is_a_schedule_of_readouts():
    start = random_overlaps(2, 3, seed=2, v=[0.4, -0.2])
    growing = ts.linear(0.1, 0.9, duration=4.0)
    readout = [ts.linear(0.9 * v, 0.1 * v, duration=4.0) for v in READOUT[:2]]
    readout.append(ts.linear(0.1 * READOUT[2], 0.9 * READOUT[2], duration=4.0))
    found = ts.integrate(attacked(growing), start, TIMES)
    wanted = ts.integrate(taught(readout), start, TIMES)
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-9, err_msg=name)


def test_the_sum_of_overlaps_does_not_see_the_attack():
    r, eta = 0.2, 0.9
    problem, start, _ = linear_case(CASES["linear_target_r0.2_untrained"])
    task = ts.LabelAttack(2, "linear", strength=ts.linear(0.0, 1.0, duration=3.0))
    problem = ts.Problem(task, problem.student, problem.rule)
    theory = ts.integrate(problem, start, TIMES, rtol=1e-10, atol=1e-12)
    both = theory.R.values[:, 0].sum(axis=-1)
    expected = 1 + r + (both[0] - 1 - r) * np.exp(-eta * TIMES)
    np.testing.assert_allclose(both, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("discount", [0.0, 0.9])
def test_the_theory_ends_where_the_steady_state_says(discount):
    a = ts.attack_steady_state(cost=0.8, learning_rate=0.5, discount=discount)
    problem, start = inversion(a)
    end = ts.integrate(problem, start, [0.0, 80.0], rtol=1e-10, atol=1e-12).isel(time=-1)
    assert abs(float(end.R[0, 0]) - (1 - 2 * a)) < 1e-8
    assert abs(float(end.Q[0, 0]) - (1 - 2 * a) ** 2) < 1e-8
    critical = ts.critical_attack_cost(learning_rate=0.5, discount=discount)
    assert (float(end.R[0, 0]) < 0) == (critical > 0.8)


@pytest.mark.parametrize(
    ("eta", "gamma", "omega", "C"), [(0.3, 0.95, 1.0, 0.7), (1.4, 0.6, 2.0, 3.0)]
)
def test_the_cheapest_attack_is_that_of_value_iteration(eta, gamma, omega, C):
    # The value is P s^2 / 2 - p s + const; each sweep minimises over a on three values of s.
    P = p = 0.0
    for _ in range(2000):
        curvature, slope = omega + gamma * P, omega + gamma * p

        def total(s, H=curvature, h=slope):
            a = eta * (h - H * (1 - eta) * s) / (C + eta**2 * H)
            after = s + eta * (a - s)
            return C * a**2 / 2 + H * after**2 / 2 - h * after

        P, p = total(1.0) + total(-1.0) - 2 * total(0.0), (total(-1.0) - total(1.0)) / 2
    H, h = omega + gamma * P, omega + gamma * p
    attack = ts.optimal_attack(C, eta, steps=400, discount=gamma, weight=omega, progress=0.2)
    first = eta * (h - H * (1 - eta) * 0.2) / (C + eta**2 * H)
    assert abs(attack.strength[0] - first) < 1e-10
    steady = ts.attack_steady_state(C, eta, gamma, omega)
    assert abs(attack.strength[-1] - steady) < 1e-10
    assert abs(attack.progress[-1] - steady) < 1e-10


def test_no_other_attack_costs_less():
    eta, C, gamma = 0.4, 0.6, 0.8
    attack = ts.optimal_attack(C, eta, steps=150, discount=gamma)

    def cost(strength):
        s, total = 0.0, 0.0
        for step, a in enumerate(strength):
            s += eta * (a - s)
            total += gamma**step * (C * a**2 + (1 - s) ** 2) / 2
        return total

    least = cost(attack.strength)
    for step in (0, 3, 10):
        for change in (0.01, -0.01):
            other = attack.strength.copy()
            other[step] += change
            assert cost(other) > least
    assert cost(ts.optimal_attack(C, eta, steps=150).strength) > least + 1e-3  # greedy


def test_a_sweep_of_strengths_is_each_of_them():
    start = random_overlaps(2, 3, seed=1, v=[0.4, -0.2])
    swept = ts.integrate(attacked([0.0, 0.6]), start, TIMES, observables=ERRORS)
    one = ts.integrate(attacked(0.6), start, TIMES, observables=ERRORS)
    for name in ("Q", "eps_g", *ERRORS):
        np.testing.assert_allclose(swept[name][1], one[name], rtol=0, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["reduced"]))
def test_networks_under_a_growing_attack_agree_with_the_theory(method):
    problem = attacked(ts.linear(0.1, 0.9, duration=4.0), batch_size=2)
    start = random_overlaps(2, 3, seed=2, v=[0.4, -0.2])
    theory = ts.integrate(problem, start, TIMES, observables=ERRORS)
    networks = ts.simulate(
        problem, start, TIMES, N=400, seeds=16, method=method, observables=ERRORS
    )
    verdict = ts.compare(theory, networks).attrs["verdict"]
    assert verdict.startswith("AGREE"), verdict
    without = ts.integrate(attacked(0.1, batch_size=2), start, TIMES, observables=ERRORS)
    assert ts.compare(without, networks).attrs["verdict"].startswith("DISAGREE")


def test_a_file_has_the_task(tmp_path):
    problem, start = inversion(ts.linear(0.0, 0.8, duration=3.0), noise=0.1)
    theory = ts.integrate(problem, start, TIMES)
    ts.save(tmp_path / "attack.h5", theory=theory)
    again = ts.problem_of(ts.load(tmp_path / "attack.h5")["theory"].to_dataset())
    np.testing.assert_array_equal(ts.integrate(again, start, TIMES).R, theory.R)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"width": 1}, "leaves no unit of task.width = 1 to the teacher"),
        ({"target_width": 3}, "task.target_width = 3 leaves no unit of task.width = 3"),
        ({"strength": 1.5}, "task.strength = 1.5 is not allowed"),
        ({"strength": [0.5, -0.1]}, "task.strength = -0.1 is not allowed"),
        ({"strength": "greedy"}, "task.strength = 'greedy' is not a number"),
        ({"readout": ts.linear(0.0, 1.0, duration=1.0)}, "let task.strength change"),
        ({"readout": [1.0, 2.0]}, "task.readout has 2 entries but task.width = 3"),
    ],
)
def test_bad_input_gets_a_sentence(arguments, says):
    with pytest.raises(ValueError, match=says):
        ts.LabelAttack(**{"width": 3, **arguments})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"cost": 0.0}, "cost = 0.0 is not allowed"),
        ({"learning_rate": 2.0}, "learning_rate = 2 is not allowed"),
        ({"discount": 1.0}, "discount"),
        ({"weight": float("nan")}, "weight"),
    ],
)
def test_bad_costs_get_a_sentence(arguments, says):
    with pytest.raises(ValueError, match=says):
        ts.attack_steady_state(**{"cost": 1.0, "learning_rate": 0.5, **arguments})


def test_observables_of_one_teacher_refuse_an_attack_that_changes():
    problem, start = inversion(ts.linear(0.0, 0.8, duration=3.0))
    for name in ("sign_agreement", "gradient_alignment"):
        with pytest.raises(ValueError, match=f"{name}: task.strength changes with time"):
            ts.integrate(problem, start, TIMES, observables=[name])
