"""The smallest error: closed forms where there are some, densities against their own samples
elsewhere.
"""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import teacherstudent as ts
from teacherstudent.observables.oracle import laws, oracle_error, oracle_loss, spiked_density
from teacherstudent.tasks.latents import as_latent


@pytest.mark.parametrize(
    ("beta", "error", "loss"),
    [(1, 0.472, 0.4975), (5, 0.353, 0.4400), (20, 0.224, 0.3107), (100, 0.119, 0.1825)],
)
def test_a_rademacher_spike(beta, error, loss):
    task = ts.SpikedCumulant(beta)
    assert oracle_error(task) == pytest.approx(error, abs=5e-4)
    assert oracle_loss(task) == pytest.approx(loss, abs=5e-5)
    assert oracle_error(ts.MixedCumulant(0, beta)) == pytest.approx(oracle_error(task), abs=5e-8)
    assert oracle_error(ts.SpikedCumulant(beta, class_prior=1)) == 0


@pytest.mark.parametrize("variance", [0.1, 1.0, 5.0])
def test_two_clusters_and_xor(variance):
    deviation = math.sqrt(variance)
    two, xor = ts.GaussianMixture.two_clusters(variance), ts.GaussianMixture.xor(variance)
    assert oracle_error(two) == pytest.approx(norm.cdf(-1 / deviation), abs=1e-12)
    wrong = norm.cdf(-1 / (math.sqrt(2) * deviation))  # on one diagonal; on both is right again
    assert oracle_error(xor) == pytest.approx(2 * wrong * (1 - wrong), abs=5e-8)
    f = lambda s: (1 - math.tanh(s / variance) ** 2) / 2 * norm.pdf(s, 1, deviation)
    assert oracle_loss(two) == pytest.approx(
        quad(f, 1 - 9 * deviation, 1 + 9 * deviation)[0], abs=1e-9
    )


def test_more_than_two_directions():
    # means at distance sqrt 3 on either side, deviation 1.5: a few 1e-5 by quasi-random points
    cube = ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]], 2.25)
    assert oracle_error(cube) == pytest.approx(norm.cdf(-math.sqrt(3) / 1.5), abs=1e-4)
    line = ts.GaussianMixture([0.5, 0.5], [1, -1], [[math.sqrt(3)], [-math.sqrt(3)]], 2.25)
    assert oracle_loss(cube) == pytest.approx(oracle_loss(line), abs=1e-4)


def test_orthogonal_variances_that_tell_the_class():
    apart = ts.GaussianMixture([0.5, 0.5], [1, -1], [[0.0], [0.0]], [1.0, 1.1])
    assert oracle_error(apart) == 0
    # half of the samples come from two clusters at +-1, the other half from variances that only one
    # class has
    half = ts.GaussianMixture(
        [0.25] * 4, [1, -1, 1, -1], [[1.0], [-1.0], [0.0], [0.0]], [1.0, 1.0, 0.5, 2.0]
    )
    assert oracle_error(half) == pytest.approx(norm.cdf(-1) / 2, abs=1e-12)
    assert oracle_loss(half) == pytest.approx(oracle_loss(ts.GaussianMixture.two_clusters()) / 2)


def test_an_oblique_covariance():
    S = np.array([[1.0, 0.99], [0.99, 1.0]])
    task = ts.GaussianMixture([0.5, 0.5], [1, -1], [[0.0, 0.0], [0.0, 0.1]], 1.0, [S, S])
    assert oracle_error(task) == pytest.approx(
        norm.cdf(-0.05 * math.sqrt(np.linalg.inv(S)[1, 1])), abs=1e-6
    )


@pytest.mark.parametrize("latent", ["uniform", "laplace", ("skewed", 0.2)])
@pytest.mark.parametrize("beta", [0.01, 3.0, 1000.0])
def test_densities_of_a_spike(latent, beta):
    law, rho = as_latent(latent), math.sqrt(beta / (1 + beta))
    s = np.linspace(-30, 30, 400_001)
    density = spiked_density(law, rho, s) * (s[1] - s[0])
    assert (density >= 0).all()
    moments = [density @ s**k for k in (0, 1, 2, 4)]
    expected = [1, 0, 1, 3 + rho**4 * (law.moment(4) - 3)]
    np.testing.assert_allclose(moments, expected, rtol=1e-8, atol=1e-9)
    # E exp(i s) = E exp(i rho g) exp(-(1 - rho^2) / 2)
    t = 2.0
    of_latent = {
        "uniform": np.sinc(math.sqrt(3) * rho * t / math.pi),
        "laplace": 1 / (1 + (rho * t) ** 2 / 2),
    }
    if isinstance(latent, str):
        assert density @ np.cos(t * s) == pytest.approx(
            of_latent[latent] * math.exp(-(1 - rho**2) * t**2 / 2), abs=1e-8
        )


def test_a_continuous_latent_is_not_its_nodes():
    # at a large signal the components of the theory are combs, which would be told from noise more
    # easily
    task = ts.SpikedCumulant(1e4, "uniform")
    p, y, A, S, sigma2 = task.components()
    assert oracle_error(ts.GaussianMixture(p, y, A, sigma2, S)) < oracle_error(task) - 0.05
    moderate = ts.SpikedCumulant(5.0, "uniform")
    p, y, A, S, sigma2 = moderate.components()
    assert oracle_error(ts.GaussianMixture(p, y, A, sigma2, S)) == pytest.approx(
        oracle_error(moderate), abs=1e-9
    )


@pytest.mark.parametrize("coupling", ["independent", "sign", "square"])
def test_the_mixed_cumulant_model_against_samples(coupling):
    task, count, rng = (
        ts.MixedCumulant(4.0, 5.0, coupling=coupling, class_prior=0.4),
        4 * 10**5,
        np.random.default_rng(0),
    )
    lam, z = rng.standard_normal(count), rng.standard_normal((count, 2))
    median = norm.ppf(0.75)
    nu = {
        "independent": rng.choice([-1.0, 1.0], count),
        "sign": np.sign(lam),
        "square": np.sign(np.abs(lam) - median),
    }[coupling]
    positive = rng.random(count) < 0.4
    s = np.stack(
        [2 * lam + z[:, 0], task.rho_v * nu + math.sqrt(1 - task.rho_v**2) * z[:, 1]], axis=1
    )
    s = np.where(positive[:, None], s, z)
    q = laws(task)[0].densities(s)
    wrong = np.where(
        positive, q[:, 0] < q[:, 1], q[:, 0] >= q[:, 1]
    )  # of the rule that the densities give
    assert abs(wrong.mean() - oracle_error(task)) < 4 * wrong.std() / math.sqrt(count)
    guess = (q[:, 0] - q[:, 1]) / q.sum(axis=1)
    squares = (guess - np.where(positive, 1, -1)) ** 2 / 2
    assert abs(squares.mean() - oracle_loss(task)) < 4 * squares.std() / math.sqrt(count)


def test_boxes():
    line = ts.BoxMixture([0.5, 0.5], [1, -1], [[[0.0, 1.0]], [[0.5, 2.0]]])
    assert oracle_error(line) == pytest.approx(0.5 * 0.5 / 1.5, abs=1e-14)
    # side by side in one direction, the same in two others
    solid = ts.BoxMixture(
        [0.3, 0.7], [1, -1], [[[0, 1], [0, 1], [0, 2]], [[0.8, 2.8], [0, 1], [0, 2]]]
    )
    assert oracle_error(solid) == pytest.approx(min(0.3, 0.35) * 0.2, abs=1e-12)
    apart = ts.BoxMixture([0.5, 0.5], [1, -1], [[[0.0, 1.0]], [[1.5, 2.0]]])
    assert oracle_error(apart) == 0


def test_boxes_with_densities():
    # s / 2 on [0, 2] against (2 - s) / 2: the smaller one is a triangle of height 1 / 2
    task = ts.BoxMixture(
        [0.5, 0.5], [1, -1], [[[0.0, 2.0]]] * 2, (lambda s: 3 * s[0], lambda s: 2.0 - s[0])
    )
    assert oracle_error(task) == pytest.approx(0.25, abs=1e-11)
    assert oracle_loss(task) == pytest.approx(quad(lambda s: s * (2 - s) / 4, 0, 2)[0], abs=1e-11)
    sharp = ts.BoxMixture(
        [0.5, 0.5],
        [1, -1],
        [[[0.0, 2.0]]] * 2,
        (lambda s: jnp.where(s[0] < 0.123, 1.0, 0.0), lambda s: 1.0 + 0 * s[0]),
    )
    with pytest.raises(
        ValueError, match="integrate to .* instead of 1: they are too narrow, or not smooth"
    ):
        oracle_error(sharp)


def test_what_is_refused():
    with pytest.raises(ValueError, match="task is a TeacherStudent, which has no classes"):
        oracle_error(ts.TeacherStudent(1))
    fixed = ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0], [-1.0]], 1.0, [[[0.0]], [[1.0]]])
    with pytest.raises(ValueError, match="a component whose s has no density"):
        oracle_loss(fixed)
