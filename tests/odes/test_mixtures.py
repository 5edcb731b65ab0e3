"""Theory of inputs with two classes: reference trajectories, invariances, and the cases that are
known otherwise.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate as scipy_integrate

import teacherstudent as ts
from odes.inputs.one_update import Fixed, State
from odes.solving.vector_field import vector_field
from teacherstudent.results.datasets import description
from teacherstudent.tasks import TASKS
from tests.long import mostly_long
from tests.problems import random_overlaps

REFERENCE = json.loads((Path(__file__).parent / "mixtures.json").read_text())
# One of each activation and of both losses; the others take long to compile.
KEPT = {"sc_K1_erf_bias", "sc_K2_erf_logistic", "xor_K2_relu"}
NAMES = ("Q", "m", "v", "b", "loss")


compiled = jax.jit(vector_field)


def problem_of(entry):
    kind, options = entry["task"]
    K = len(entry["Q"][0]) if "Q0" not in entry else len(entry["Q0"])
    rule = ts.SGD(entry["eta_w"], entry["eta_v"], bias_learning_rate=entry["eta_b"])
    return ts.Problem(
        TASKS[kind](**options),
        ts.Student(K, entry["activation"], True, True),
        rule,
        loss=entry["loss"],
    )


def velocity(problem, start):
    """d(Q, m, v, b)/dt."""
    return velocity_of(problem.for_programs(), start)


def velocity_of(bare, start):
    one, T = jnp.ones(1), jnp.eye(start.teachers)
    state = State(
        *(jnp.asarray(part) for part in (start.Q[..., None], start.m[..., None], start.v, start.b))
    )
    found = compiled(bare, Fixed(one, one, T[..., None], T, one), state)
    return found.q[..., 0], found.r[..., 0], found.v, found.b


def overlaps(K, r, seed=0, **given):
    """Order parameters in generic position."""
    w = np.random.default_rng(seed).standard_normal((K, 3 * (K + r)))
    Q = w @ w.T / w.shape[1]
    return ts.OrderParameters(Q, m=w[:, :r] / np.sqrt(w.shape[1]), **given)


def classification(task, K=2, activation="erf", loss="square", bias=True, **rule):
    return ts.Problem(
        task,
        ts.Student(K, activation, True, bias),
        ts.SGD(**({"learning_rate": 0.5} | rule)),
        loss=loss,
    )


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(
            one,
            marks=[pytest.mark.long] * one["name"].endswith("_relu"),  # as along a trajectory
            id=one["name"],
        )
        for one in REFERENCE["velocities"]
    ],
)
def test_reference_velocities(entry):
    problem = problem_of(entry)
    start = ts.OrderParameters(entry["Q"], m=entry["m"], v=entry["v"], b=entry["b"])
    tolerance = 1e-7 if entry["name"] == "sc_tanh_logistic" else 1e-10
    for name, found in zip(("dQ", "dm", "dv", "db"), velocity(problem, start), strict=True):
        np.testing.assert_allclose(found, entry[name], rtol=0, atol=tolerance, err_msg=name)
    assert float(ts.expected_loss(problem, start)) == pytest.approx(entry["eps"], abs=tolerance)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(
            one,
            marks=[pytest.mark.slow, pytest.mark.long] * (one["name"] not in KEPT),
            id=one["name"],
        )
        for one in REFERENCE["trajectories"]
    ],
)
def test_reference_trajectories(entry):
    start = ts.OrderParameters(entry["Q0"], m=entry["m0"], v=entry["v0"], b=entry["b0"])
    theory = ts.integrate(problem_of(entry), start, entry["t"], rtol=1e-9, atol=1e-11)
    for name in NAMES:
        expected = entry["eps" if name == "loss" else name]
        np.testing.assert_allclose(theory[name], expected, rtol=0, atol=1e-7, err_msg=name)


@pytest.mark.long
def test_our_solver_and_scipys():
    problem, start, times = (
        classification(ts.MixedCumulant(2, 5), 1, "relu"),
        overlaps(1, 2, v=[0.6], b=[0.2]),
        [0.0, 1.0, 3.0],
    )
    theory = ts.integrate(problem, start, times, rtol=1e-9, atol=1e-11)

    def speed(t, packed):
        at = ts.OrderParameters(packed[:1, None], m=packed[1:3][None], v=packed[3:4], b=packed[4:])
        return np.concatenate([np.ravel(part) for part in velocity(problem, at)])

    begin = np.concatenate([np.ravel(part) for part in (start.Q, start.m, start.v, start.b)])
    found = scipy_integrate.solve_ivp(
        speed, (0, 3), begin, "RK45", times[1:], rtol=1e-7, atol=1e-9
    ).y.T
    ours = np.concatenate([theory[name].values.reshape(3, -1) for name in NAMES[:-1]], axis=1)[1:]
    np.testing.assert_allclose(ours, found, rtol=0, atol=1e-6)


def test_a_teacher_of_one_unit_is_a_mixture_over_its_field():
    # components with S = 0 at Gauss-Hermite nodes s, whose label is what the teacher says of s
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    problem = ts.Problem(
        ts.TeacherStudent(1, "erf", 1.3),
        ts.Student(2, "erf", True),
        ts.SGD(0.5, 0.3, 0.1),
        batch_size=2,
    )
    start = random_overlaps(2, 1, seed=3, v=[0.7, -0.4])
    start = ts.OrderParameters(start.Q, start.R / np.sqrt(start.T), None, start.v)
    teacher = [ts.Problem(problem.task, problem.student, problem.rule, batch_size=2), start]
    labels = 1.3 * np.asarray(problem.task.activation(jnp.asarray(nodes)))
    task = _with_any_labels(weights / weights.sum(), labels, nodes[:, None])
    mixture = ts.Problem(task, problem.student, problem.rule, batch_size=2)
    for one, other in zip(velocity(*teacher), velocity_of(mixture, start), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


def _with_any_labels(p, labels, s):
    """A mixture whose labels need not be +-1."""
    return AnyLabels(labels, p, np.ones(len(p)), s, 1.0, np.zeros((len(p), 1, 1)))


class AnyLabels(ts.GaussianMixture):
    values: np.ndarray

    def __init__(self, values, *law):
        self.values = values
        super().__init__(*law)

    def components(self):
        return super().components()._replace(y=self.values)


@pytest.mark.parametrize("activation", mostly_long(["erf", "relu"], ["erf"]))
def test_no_spike_is_the_isotropic_case(activation):
    # beta = 0: both classes are N(0, I), so labels are coin flips and m only shrinks with what it
    # is part of
    plain = ts.GaussianMixture([0.5, 0.5], [1, -1], [[0.0], [0.0]])
    start = overlaps(2, 1, v=[0.5, -0.3], b=[0.1, 0.2])
    for task in (ts.SpikedCumulant(0.0, "uniform"), ts.GaussianMixture([1.0], [1], [[0.0]])):
        problem, reference = (
            classification(task, 2, activation),
            classification(plain, 2, activation),
        )
        if len(task.components().p) == 1:  # one cluster, one label
            reference = classification(
                ts.GaussianMixture([0.4, 0.6], [1, 1], [[0.0], [0.0]]), 2, activation
            )
        for one, other in zip(velocity(problem, start), velocity(reference, start), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    # rotations of the inputs are a symmetry: what happens to Q knows nothing of m
    turned = ts.OrderParameters(start.Q, m=-0.5 * start.m, v=start.v, b=start.b)
    problem = classification(ts.SpikedCumulant(0.0), 2, activation)
    np.testing.assert_allclose(
        velocity(problem, start)[0], velocity(problem, turned)[0], rtol=0, atol=1e-12
    )


def test_one_centred_cluster_equals_a_teacher_that_is_silent():
    # inputs N(0, I) with label +1: a constant teacher
    start = random_overlaps(3, 2, seed=1, v=[0.4, 0.9, -0.5])
    start = ts.OrderParameters(start.Q, m=0.3 * start.R, v=start.v)
    rule = ts.SGD(0.4, 0.2, 0.05)
    student = ts.Student(3, "quadratic", True)
    teacher = ts.Problem(ts.TeacherStudent(2, (1.0,), 0.5), student, rule)
    mixture = ts.Problem(ts.GaussianMixture([1.0], [1], [[0.0, 0.0]]), student, rule)
    for one, other in zip(velocity(teacher, start), velocity(mixture, start), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("latent", ["rademacher", "uniform", "laplace"])
def test_no_overlap_stays_none_for_symmetric_latents(latent):
    start = overlaps(2, 1, v=[0.7, -0.9], b=[0.5, -0.3])
    at = ts.OrderParameters(start.Q, m=np.zeros((2, 1)), v=start.v, b=start.b)
    assert np.abs(velocity(classification(ts.SpikedCumulant(5, latent)), at)[1]).max() < 1e-14
    skewed = velocity(classification(ts.SpikedCumulant(5, ("skewed", 0.2))), at)[1]
    assert np.abs(skewed).max() < 1e-14  # the third cumulant needs m as well
    # the drift is cubic in m for a symmetric latent, quadratic for the skewed one
    power = {"rademacher": 3, "uniform": 3, "laplace": 3}[latent]
    drift = lambda size, task: np.linalg.norm(_class_part(task, start, size))
    for task, order in (
        (ts.SpikedCumulant(5, latent), power),
        (ts.SpikedCumulant(5, ("skewed", 0.2)), 2),
    ):
        assert drift(0.02, task) / drift(0.01, task) == pytest.approx(2**order, rel=0.05)


def _class_part(task, start, size):
    """What the spike adds to dm/dt: the difference from no spike."""
    at = ts.OrderParameters(start.Q, m=size * start.m, v=start.v, b=start.b)
    return (
        velocity(classification(task), at)[1]
        - velocity(classification(ts.SpikedCumulant(0.0)), at)[1]
    )


def test_an_odd_activation_without_biases_learns_nothing():
    problem = classification(ts.SpikedCumulant(20), 2, "erf", bias=False)
    theory = ts.integrate(problem, overlaps(2, 1, v=[0.7, -0.9]), [0.0, 20.0, 200.0])
    assert float(theory.loss[-1]) == pytest.approx(0.5, abs=1e-4)
    np.testing.assert_allclose(theory.accuracy, 0.5, atol=1e-3)


@pytest.mark.parametrize("loss", ["square", "logistic", "correlation"])
def test_flipped_labels_and_readout_are_the_same_problem(loss):
    task = ts.GaussianMixture([0.3, 0.7], [1, -1], [[0.5, 0.2], [-0.3, 0.8]], [0.5, 1.2])
    flipped = ts.GaussianMixture(task.weights, -task.labels, task.means, task.variances)
    start = overlaps(2, 2, v=[0.7, -0.9], b=[0.5, -0.3])
    mirrored = ts.OrderParameters(start.Q, m=start.m, v=-start.v, b=start.b)
    one = velocity(classification(task, loss=loss), start)
    other = velocity(classification(flipped, loss=loss), mirrored)
    for sign, first, second in zip((1, 1, -1, 1), one, other, strict=True):
        np.testing.assert_allclose(first, sign * second, rtol=0, atol=1e-13)


def test_a_box_is_the_mixture_of_its_points():
    # moments of a box: uniform on [-h, h] and a narrow Gaussian law agree as h -> 0
    start = overlaps(2, 2, v=[0.5, -0.3], b=[0.1, 0.2])
    width = 1e-3
    boxes = [
        [[0.5 - width, 0.5 + width], [-width, width]],
        [[-width, width], [0.4 - width, 0.4 + width]],
    ]
    box = ts.BoxMixture([0.4, 0.6], [1, -1], boxes)
    points = ts.GaussianMixture(
        [0.4, 0.6], [1, -1], [[0.5, 0.0], [0.0, 0.4]], 1.0, np.zeros((2, 2, 2))
    )
    for one, other in zip(
        velocity(classification(box), start), velocity(classification(points), start), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-6)
    density = ts.BoxMixture(
        [0.4, 0.6], [1, -1], boxes, [lambda s: 3.0 + 0 * s[0], lambda s: 1.0 + 0 * s[1]]
    )
    np.testing.assert_allclose(density.components().p, box.components().p, rtol=1e-12)


def test_spherical_neuron_keeps_its_norm_and_gains_overlap():
    problem = ts.ica_problem(ts.SpikedCumulant(5), learning_rate=0.02)
    theory = ts.integrate(problem, ts.OrderParameters([[1.0]], m=[[0.5]]), [0.0, 50.0, 200.0])
    np.testing.assert_allclose(theory.Q, 1.0, atol=1e-7)
    assert (np.diff(np.abs(theory.m.values.ravel())) > 0).all()


def test_the_result_says_which_averages_and_how_good():
    start = overlaps(2, 1, v=[0.7, -0.9], b=[0.5, -0.3])
    report = description(ts.integrate(classification(ts.SpikedCumulant(5)), start, [0.0, 0.1]))[
        "report"
    ]
    assert report["averages"] == "closed forms of erf" and "quadrature_error" not in report
    report = description(
        ts.integrate(classification(ts.SpikedCumulant(5), 1, "tanh"), overlaps(1, 1), [0.0, 0.1])
    )["report"]
    assert "quadrature, field by field: nodes at distances of" in report["averages"]
    assert 0 < report["quadrature_error"] < 1e-6


@pytest.mark.long
@pytest.mark.slow
def test_scattered_points_warn_of_their_error():
    with pytest.warns(UserWarning, match="by quadrature and may be off by"):
        theory = ts.integrate(
            classification(ts.SpikedCumulant(5), 3, "relu", "logistic"),
            overlaps(3, 1),
            [0.0, 0.1],
            rtol=1e-6,
            atol=1e-8,
        )
    assert "Sobol" in description(theory)["report"]["averages"]


@pytest.mark.long
def test_sweeps_and_batches():
    task, rates = ts.SpikedCumulant(5), [0.0, 0.3]
    start = overlaps(1, 1, b=[0.4])
    both = ts.OrderParameters(
        np.stack([start.Q] * 2), m=np.stack([start.m] * 2), b=np.array([[0.4], [0.1]])
    )
    theory = ts.integrate(classification(task, 1, bias_learning_rate=rates), both, [0.0, 1.0])
    assert theory.b.dims == ("bias_learning_rate", "start", "time", "student")
    np.testing.assert_allclose(theory.b.values[0, :, 1, 0], [0.4, 0.1], atol=1e-12)
    assert abs(theory.b.values[1, 0, 1, 0] - 0.4) > 1e-3


def test_clones_along_a_trajectory():
    # XOR has equal class means and covariances: its clones are one Gaussian, and nothing can be
    # learnt from them
    problem = classification(ts.GaussianMixture.xor(0.1), 2, "relu")
    at = overlaps(2, 2, v=[0.5, -0.3])
    first, second = (ts.clone(problem.task, moments) for moments in (1, 2))
    np.testing.assert_allclose(first.components().S[0], 0.6 * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(second.components().S[:, 0, 0], [1.1, 0.1], atol=1e-12)
    losses = [
        float(ts.expected_loss(classification(task, 2, "relu"), at))
        for task in (problem.task, first, second)
    ]
    assert len(set(np.round(losses, 6))) == 3
    linear = [
        float(ts.expected_loss(classification(task, 2, "linear"), at))
        for task in (problem.task, first, second)
    ]
    np.testing.assert_allclose(
        linear, linear[0], rtol=1e-12
    )  # a linear student sees two moments of all inputs together
