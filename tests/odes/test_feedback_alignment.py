"""Direct feedback alignment: reference trajectories of independent formulas, its limits and
symmetries, and where there is no theory.
"""

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long
from tests.problems import random_overlaps

REFERENCE = json.loads((Path(__file__).parent / "feedback_alignment.json").read_text())
CASES = {case["name"]: case for case in REFERENCE["cases"]}
K, M = 3, 2
F = [1.0, -0.7, 0.4]
V = [0.3, 0.2, -0.5]
TIMES = [0.0, 1.0, 4.0]
ALIGNMENTS = ["feedback_alignment", "gradient_alignment"]


def problem_with(rule, activation="erf", trained=True, **options) -> ts.Problem:
    task = ts.TeacherStudent(M, activation, [1.0, 0.6], noise=0.2)
    return ts.Problem(task, ts.Student(K, activation, trained), rule, **options)


def check_same(found, wanted, names=("Q", "R", "v", "eps_g"), atol=1e-9):
    for name in names:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("name", mostly_long(CASES, ["erf_K4_M2_noise_readout_faster"]))
def test_reference_trajectory(name):
    case = CASES[name]
    rule = ts.FeedbackAlignment(case["eta_w"], case["F"], readout_learning_rate=case["eta_v"])
    problem = ts.Problem(
        ts.TeacherStudent(case["M"], case["activation"], case["v_star"], case["noise"]),
        ts.Student(case["K"], case["activation"], train_readout=True),
        rule,
        batch_size=case["batch_size"],
    )
    start = ts.OrderParameters(case["Q0"], case["R0"], case["T"], case["v0"])
    theory = ts.integrate(problem, start, case["t"], rtol=1e-10, atol=1e-12, observables=ALIGNMENTS)
    alignments = {"feedback_alignment": case["cos_v_F"], **case}
    check_same(theory, alignments, ("Q", "R", "v", "eps_g", *ALIGNMENTS), atol=1e-8)


def test_with_the_readout_as_feedback_and_a_frozen_readout_it_is_sgd():
    start = random_overlaps(K, M, seed=1, v=V)
    feedback = problem_with(ts.FeedbackAlignment(0.4, V), trained=False, batch_size=3)
    sgd = problem_with(ts.SGD(0.4), trained=False, batch_size=3)
    check_same(ts.integrate(feedback, start, TIMES), ts.integrate(sgd, start, TIMES), atol=1e-12)


def test_where_the_readout_is_the_feedback_the_velocity_is_that_of_sgd():
    start = random_overlaps(K, M, seed=1, v=F)
    feedback = ts.vector_field(problem_with(ts.FeedbackAlignment(0.4, F)), start)
    sgd = ts.vector_field(problem_with(ts.SGD(0.4)), start)
    np.testing.assert_allclose(feedback(feedback.y), sgd(sgd.y), rtol=0, atol=1e-14)
    elsewhere = random_overlaps(K, M, seed=1, v=V)
    apart = ts.vector_field(problem_with(ts.FeedbackAlignment(0.4, F)), elsewhere)
    assert np.abs(apart(apart.y) - sgd(apart.y)).max() > 0.01


def test_longer_feedback_is_a_larger_rate():
    start = random_overlaps(K, M, seed=2, v=V)
    one = ts.FeedbackAlignment(0.4, F, readout_learning_rate=0.3)
    other = ts.FeedbackAlignment(0.1, 4 * np.array(F), readout_learning_rate=0.3)
    curves = [ts.integrate(problem_with(rule), start, TIMES) for rule in (one, other)]
    check_same(*curves, atol=1e-12)


def test_of_odd_units_the_sign_of_each_feedback_is_a_convention():
    start = random_overlaps(K, M, seed=3, v=V)
    signs = np.array([1.0, -1.0, -1.0])
    turned = ts.OrderParameters(
        signs[:, None] * start.Q * signs, signs[:, None] * start.R, start.T, signs * np.array(V)
    )
    one = ts.integrate(problem_with(ts.FeedbackAlignment(0.4, F)), start, TIMES)
    rule = ts.FeedbackAlignment(0.4, signs * np.array(F))
    other = ts.integrate(problem_with(rule), turned, TIMES)
    check_same(one, other, ("eps_g",), atol=1e-12)
    np.testing.assert_allclose(other.R, signs[None, :, None] * one.R.values, rtol=0, atol=1e-12)


def test_a_unit_without_feedback_keeps_its_weights():
    start = random_overlaps(K, M, seed=4, v=V)
    theory = ts.integrate(problem_with(ts.FeedbackAlignment(0.4, [0.5, 0.0, 1.0])), start, TIMES)
    assert np.ptp(theory.R.values[:, 1], axis=0).max() == 0
    assert np.abs(theory.v.values[-1, 1] - V[1]) > 0.01


@pytest.mark.long
def test_the_alignment_of_update_and_gradient_is_that_of_samples():
    start = random_overlaps(K, M, seed=5, v=V)
    problem = problem_with(ts.FeedbackAlignment(0.4, F), "relu")
    rng = np.random.default_rng(0)
    C = np.block([[start.Q, start.R], [start.R.T, start.T]])
    h = rng.standard_normal((400_000, K + M)) @ np.linalg.cholesky(C).T
    hidden, labels = np.maximum(h[:, :K], 0), np.maximum(h[:, K:], 0) @ [1.0, 0.6]
    e = hidden @ V - labels - 0.2 * rng.standard_normal(len(h))
    B = np.mean((h[:, :K] > 0) * e[:, None] ** 2, axis=0)
    expected = (B * F) @ V / np.sqrt((B @ np.square(F)) * (B @ np.square(V)))
    assert abs(float(ts.gradient_alignment(problem).value(start)) - expected) < 0.005
    cosine = np.dot(F, V) / np.linalg.norm(F) / np.linalg.norm(V)
    found = float(ts.feedback_alignment(problem).value(start))
    assert abs(found - cosine) < 1e-12 and abs(cosine - expected) > 0.02
    nowhere = ts.OrderParameters(start.Q, start.R, start.T, v=np.zeros(K))
    assert float(ts.gradient_alignment(problem).value(nowhere)) == 0


def test_feedback_from_a_seed_is_the_same_in_theory_file_and_networks(tmp_path):
    problem = problem_with(ts.FeedbackAlignment(0.4, seed=7))
    drawn = np.asarray(problem.rule.backward(np.zeros(K)))
    given = problem_with(ts.FeedbackAlignment(0.4, drawn))
    start = random_overlaps(K, M, seed=1, v=V)
    theory = ts.integrate(problem, start, TIMES)
    check_same(theory, ts.integrate(given, start, TIMES), atol=1e-12)
    for name, one in (("seed.h5", problem), ("given.h5", given)):
        ts.save(tmp_path / name, theory=ts.integrate(one, start, TIMES))
        again = ts.problem_of(ts.load(tmp_path / name)["theory"].to_dataset())
        np.testing.assert_array_equal(again.rule.backward(np.zeros(K)), drawn)
    other = ts.FeedbackAlignment(0.4, seed=8)
    assert np.abs(other.backward(np.zeros(K)) - drawn).min() > 0


@pytest.mark.long
def test_on_inputs_with_modes_it_is_sgd_where_it_has_to_be():
    task = ts.HiddenManifold(width=M, latent_ratio=0.5, noise=0.1)
    sgd = ts.Problem(task, ts.Student(K), ts.SGD(0.3))
    start = ts.random_start(sgd, N=400, seed=1)
    alike = ts.Problem(task, ts.Student(K), ts.FeedbackAlignment(0.3, np.ones(K)))
    check_same(ts.integrate(alike, start, TIMES), ts.integrate(sgd, start, TIMES), atol=1e-12)


def test_a_sweep_of_rates_and_a_phase_with_another_rule():
    start = random_overlaps(K, M, seed=6, v=V)
    both = ts.integrate(problem_with(ts.FeedbackAlignment([0.2, 0.4], F)), start, TIMES)
    assert both.Q.dims == ("learning_rate", "time", "student", "student_")
    feedback = problem_with(ts.FeedbackAlignment(0.4, F))
    one = ts.integrate(feedback, start, TIMES)
    np.testing.assert_allclose(both.Q[1], one.Q, rtol=0, atol=1e-7)
    protocol = ts.Protocol((feedback, 1.0), (problem_with(ts.SGD(0.4)), 3.0))
    cosine = ts.integrate(protocol, start, TIMES, observables=["feedback_alignment"])
    assert cosine.feedback_alignment[0] < 0.9 and abs(cosine.feedback_alignment[-1] - 1) < 1e-12


def test_what_has_no_theory_says_which_has_one():
    mixture = ts.SpikedCumulant(beta=2.0)
    problem = ts.Problem(mixture, ts.Student(2), ts.FeedbackAlignment(0.1, [1.0, 0.5]))
    start = ts.random_start(problem, N=100)
    with pytest.raises(ValueError, match="known for tasks with a teacher"):
        ts.integrate(problem, start, TIMES)
    with pytest.raises(ValueError, match="give 'feedback_alignment'"):
        ts.gradient_alignment(problem)
    task = ts.TeacherStudent(1, noise=ts.linear(0.0, 0.1, duration=5.0))
    moving = ts.Problem(task, ts.Student(2), ts.FeedbackAlignment(0.1, seed=0))
    with pytest.raises(ValueError, match="task.noise changes with time"):
        ts.gradient_alignment(moving)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "neither of feedback and seed"),
        ({"feedback": [1.0], "seed": 1}, "both of feedback and seed"),
        ({"feedback": [1.0, float("nan"), 0.0]}, "rule.feedback has entries that are not finite"),
        ({"feedback": "gradient"}, "rule.feedback = 'gradient' is not an array"),
        ({"feedback": 1.0}, r"rule.feedback has shape \(\); give a list"),
        ({"feedback": [1.0, 2.0]}, "rule.feedback has 2 entries but student.width = 3"),
        ({"seed": -1}, "rule.seed = -1 is not allowed"),
        ({"seed": 0, "learning_rate": -1.0}, "rule.learning_rate = -1.0 is not allowed"),
    ],
)
def test_bad_input_gets_a_sentence(arguments, says):
    with pytest.raises(ValueError, match=says):
        problem_with(ts.FeedbackAlignment(**{"learning_rate": 0.1, **arguments}))


def test_the_feedback_is_a_number_to_programs():
    rule = ts.FeedbackAlignment(0.4, F)
    assert [field.name for field in dataclasses.fields(rule) if field.metadata.get("static")] == [
        "seed"
    ]
    assert rule.backward(jnp.zeros((K, 5), jnp.float32)).dtype == jnp.float32
