"""Tasks with two classes: their laws as components, their clones, and what they refuse."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.description import describe_problem, problem_from
from teacherstudent.tasks.latents import as_latent, half_normal

LATENTS = ["rademacher", "uniform", "laplace", ("skewed", 0.2), ([-0.5, 2.0], [0.8, 0.2])]


def moments_of_positive(task):
    """Probability, mean and covariance of s in the class y = +1."""
    law = task.components()
    p = law.p[law.y > 0]
    A, S = law.A[law.y > 0], law.S[law.y > 0]
    prior = p.sum()
    mean = p @ A / prior
    return (
        prior,
        mean,
        np.einsum("c,cab->ab", p / prior, S + A[:, :, None] * A[:, None, :]) - np.outer(mean, mean),
    )


@pytest.mark.parametrize("latent", LATENTS, ids=str)
@pytest.mark.parametrize("beta", [0.0, 1.0, 20.0])
def test_spiked_cumulants_are_white(latent, beta):
    prior, mean, covariance = moments_of_positive(ts.SpikedCumulant(beta, latent, class_prior=0.3))
    assert prior == pytest.approx(0.3, abs=1e-12)
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    np.testing.assert_allclose(covariance, 1, atol=1e-12)


def test_hermite_moments_of_the_latents():
    expected = {
        "rademacher": [1, 0, 0, 0, -2, 0, 16, 0, -132],
        "uniform": [1, 0, 0, 0, -1.2, 0, 48 / 7, 0, -36],
        "laplace": [1, 0, 0, 0, 3, 0, 30, 0, 945],
        ("skewed", 0.2): [1, 0, 0, 1.5, 0.25, -8.625, -5.9375, 49.21875, 59.953125],
    }
    for given, moments in expected.items():
        np.testing.assert_allclose(as_latent(given).hermite(9), moments, atol=1e-9)


def test_mixed_cumulants():
    covariance = lambda coupling: moments_of_positive(ts.MixedCumulant(2, 5, coupling=coupling))[2]
    np.testing.assert_allclose(covariance("independent"), np.diag([3.0, 1.0]), atol=1e-12)
    np.testing.assert_allclose(covariance("square"), np.diag([3.0, 1.0]), atol=1e-11)
    np.testing.assert_allclose(
        covariance("sign"), [[3.0, 1.0300645387], [1.0300645387, 1.0]], atol=1e-9
    )
    law = ts.MixedCumulant(2, 5, coupling="square").components()
    assert abs(law.p @ (law.A[:, 0] ** 2 * law.A[:, 1])) > 0.1  # lambda^2 and nu are correlated
    np.testing.assert_allclose(law.p @ law.A, 0, atol=1e-12)


def test_half_normal_rule_is_a_gauss_rule():
    x, w = half_normal(12)
    moment = lambda power: 2 ** (power / 2) * np.exp(_log_gamma((power + 1) / 2)) / np.sqrt(np.pi)
    for power in range(0, 24, 3):
        assert w @ x**power == pytest.approx(moment(power), rel=1e-9)


def _log_gamma(x):
    from scipy.special import gammaln

    return gammaln(x)


def test_ready_made_mixtures():
    xor, two = ts.GaussianMixture.xor(0.3), ts.GaussianMixture.two_clusters(0.5)
    np.testing.assert_array_equal(xor.labels * xor.weights, [0.25, 0.25, -0.25, -0.25])
    np.testing.assert_allclose(xor.components().S, 0.3 * np.tile(np.eye(2), (4, 1, 1)))
    assert two.directions == 1 and two.components().sigma2.tolist() == [0.5, 0.5]


def test_boxes():
    boxes = [[[-1, 1], [-2, 2]], [[0, 3], [-1, 0]]]
    task = ts.BoxMixture(
        [0.25, 0.75], [1, -1], boxes, [lambda s: s[0] ** 2, lambda s: 1 + 0 * s[0]], nodes=10
    )
    law = task.components()
    first = law.y > 0
    assert law.p[first].sum() == pytest.approx(0.25)
    assert law.p[first] @ law.A[first, 0] ** 2 / 0.25 == pytest.approx(
        3 / 5
    )  # of the density 3 s^2 / 2 on [-1, 1]
    np.testing.assert_allclose(law.p[~first] @ law.A[~first] / 0.75, [1.5, -0.5])
    assert not law.S.any()


@pytest.mark.parametrize(
    "task",
    [ts.MixedCumulant(2, 5, coupling="sign"), ts.GaussianMixture.xor(0.1)],
    ids=["mixed", "xor"],
)
def test_clones_share_their_moments(task):
    for moments in (1, 2):
        cloned = ts.clone(task, moments)
        for ours, theirs in zip(
            moments_of_positive(cloned)[:2], moments_of_positive(task)[:2], strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_allclose(
        moments_of_positive(ts.clone(task, 2))[2], moments_of_positive(task)[2], atol=1e-12
    )
    law = ts.clone(task, 1).components()
    np.testing.assert_allclose(law.S[0], law.S[1])
    with pytest.raises(ValueError, match="moments = 3: give 1"):
        ts.clone(task, 3)
    with pytest.raises(ValueError, match="TeacherStudent, which has no classes"):
        ts.clone(ts.TeacherStudent(2), 1)


@pytest.mark.parametrize(
    "task",
    [
        ts.SpikedCumulant(5, ("skewed", 0.2), 0.3),
        ts.MixedCumulant(2, 5, coupling="sign"),
        ts.GaussianMixture.xor(),
        ts.SpikedCumulant(3, ([-1.0, 1.0], [0.5, 0.5])),
        ts.BoxMixture([0.5, 0.5], [1, -1], [[[-1, 1]], [[-2, 2]]]),
    ],
    ids=lambda task: type(task).__name__,
)
def test_descriptions_make_the_same_problem(task):
    problem = ts.Problem(
        task,
        ts.Student(2, "erf", True, True),
        ts.SGD(0.1, bias_learning_rate=0.2),
        loss="logistic",
        batch_size=2,
    )
    again = problem_from(describe_problem(problem))
    assert describe_problem(again) == describe_problem(problem)
    for ours, theirs in zip(again.task.components(), task.components(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


WRONG = {
    "task.latent.* has mean 1 and variance 1": lambda: ts.SpikedCumulant(
        1, ([0.0, 2.0], [0.5, 0.5])
    ),
    r"variance 4, but whitening needs mean 0 and variance 1": lambda: ts.SpikedCumulant(
        1, ([-2.0, 2.0], [0.5, 0.5])
    ),
    r"task.latent\[1\] sums to 0.9": lambda: ts.SpikedCumulant(1, ([-1.0, 1.0], [0.5, 0.4])),
    "task.latent = 'cauchy' is not known": lambda: ts.SpikedCumulant(1, "cauchy"),
    "probability q of the large value": lambda: ts.SpikedCumulant(1, ("skewed", 1.2)),
    "task.beta = -1 is not allowed": lambda: ts.SpikedCumulant(-1),
    "task.class_prior = 1.5": lambda: ts.SpikedCumulant(1, class_prior=1.5),
    "task.coupling = 'weak' is not known": lambda: ts.MixedCumulant(1, 1, coupling="weak"),
    "makes nu = \\+-1 a function of lambda": lambda: ts.MixedCumulant(
        1, 1, "uniform", coupling="sign"
    ),
    "task.weights sums to 0.9": lambda: ts.GaussianMixture([0.5, 0.4], [1, -1], [[1.0], [0.0]]),
    "task.weights has the entry -0.5": lambda: ts.GaussianMixture(
        [1.5, -0.5], [1, -1], [[1.0], [0.0]]
    ),
    "task.labels has the entry 0; labels are": lambda: ts.GaussianMixture(
        [0.5, 0.5], [1, 0], [[1.0], [0.0]]
    ),
    r"task.means has shape \(2,\)": lambda: ts.GaussianMixture([0.5, 0.5], [1, -1], [1.0, 0.0]),
    "give one variance for all 2 clusters": lambda: ts.GaussianMixture(
        [0.5, 0.5], [1, -1], [[1.0], [0.0]], [1.0, -1.0]
    ),
    r"task.covariances\[1\] is not positive semi-definite": lambda: ts.GaussianMixture(
        [0.5, 0.5], [1, -1], [[1.0], [0.0]], 1.0, [[[1.0]], [[-1.0]]]
    ),
    "lower end is not below its upper end": lambda: ts.BoxMixture([1.0], [1], [[[1, 1]]]),
    r"task.densities\[0\] is negative": lambda: ts.BoxMixture(
        [1.0], [1], [[[-1, 1]]], [lambda s: s[0]]
    ),
}


@pytest.mark.parametrize("sentence", list(WRONG))
def test_what_is_no_law_is_refused(sentence):
    with pytest.raises(ValueError, match=sentence):
        WRONG[sentence]()


def problem(task=None, **student):
    return ts.Problem(task or ts.SpikedCumulant(5), ts.Student(2, **student), ts.SGD(0.1))


def test_what_does_not_go_with_classes_is_refused():
    with pytest.raises(ValueError, match='loss = "logistic" is known for tasks with labels'):
        ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.1), loss="logistic")
    with pytest.raises(ValueError, match="train_bias = true is known for tasks with two classes"):
        problem(ts.ClassifyingTeacher(2), train_bias=True)
    with pytest.raises(
        ValueError, match="rule.bias_learning_rate is given but the student's biases are frozen"
    ):
        ts.Problem(ts.SpikedCumulant(1), ts.Student(2), ts.SGD(0.1, bias_learning_rate=0.1))
    with pytest.raises(ValueError, match="has no teacher; use expected_loss"):
        ts.generalisation_error(problem(), ts.OrderParameters(np.eye(2), m=np.zeros((2, 1))))
    with pytest.raises(ValueError, match="TeacherStudent has no labels"):
        ts.expected_loss(
            problem(ts.TeacherStudent(1)), ts.OrderParameters(np.eye(2), np.zeros((2, 1)))
        )


def test_starts_are_checked():
    with pytest.raises(ValueError, match="no weights have these overlaps: .* or m against Q"):
        ts.OrderParameters(np.eye(2), m=[[1.0], [0.8]])
    with pytest.raises(ValueError, match="start has both R and m"):
        ts.OrderParameters(np.eye(2), np.zeros((2, 1)), m=np.zeros((2, 1)))
    with pytest.raises(
        ValueError, match="start has 2 fixed directions, but the problem has 1; .* m of shape"
    ):
        problem().check_start(ts.OrderParameters(np.eye(2), m=np.zeros((2, 2))))
    with pytest.raises(ValueError, match="directions of the start are not orthogonal"):
        problem(ts.MixedCumulant(1, 1)).check_start(
            ts.OrderParameters(np.eye(2), np.zeros((2, 2)), T=[[1.0, 0.5], [0.5, 1.0]])
        )
    with pytest.raises(ValueError, match="start.b is not zero, but biases are not known"):
        problem(ts.ClassifyingTeacher(1), activation="linear").check_start(
            ts.OrderParameters(np.eye(2), np.zeros((2, 1)), b=[0.1, 0.0])
        )
    with pytest.raises(ValueError, match="start.b has shape"):
        ts.OrderParameters(np.eye(2), m=np.zeros((2, 1)), b=[0.1])
    with pytest.raises(ValueError, match="T is given, but the fixed directions"):
        ts.random_start(problem(), N=50, T=[[1.0]])
    start = ts.random_start(problem(), N=400, seed=1)
    assert start.m.shape == (2, 1) and np.abs(start.m).max() < 0.2
    np.testing.assert_array_equal(start.T, np.eye(1))
