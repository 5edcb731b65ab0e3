"""The norm of the likelihood ratio: its kernel from densities and from Hermite moments, the
averages over both priors.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

import teacherstudent as ts
from teacherstudent.observables.likelihood_ratio import (
    likelihood_ratio_kernel,
    likelihood_ratio_norm,
)

REFERENCE = json.loads((Path(__file__).parent / "spiked_cumulant_moments.json").read_text())[
    "likelihood_ratio_f_rademacher"
]
SKEWED = ("skewed", 0.2)


def series(task, tau, terms=400):
    """sum_k (rho^2 tau)^k (E He_k(g))^2 / k!, the moments by a recursion that stays finite."""
    g, weights = np.asarray(task.latent.nodes), np.asarray(task.latent.weights)
    basis = [np.ones_like(g), g]
    for k in range(1, terms - 1):
        basis.append((g * basis[k] - math.sqrt(k) * basis[k - 1]) / math.sqrt(k + 1))
    return np.polynomial.polynomial.polyval(
        task.rho**2 * np.asarray(tau), (np.stack(basis) @ weights) ** 2
    )


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: f"{case['beta']:g}, {case['tau']}")
def test_reference_kernels(case):
    assert likelihood_ratio_kernel(ts.SpikedCumulant(case["beta"]), case["tau"]) == pytest.approx(
        case["f"], abs=1e-12
    )


@pytest.mark.parametrize("latent", ["rademacher", "uniform", SKEWED])
def test_kernel_against_the_series(latent):
    task, tau = ts.SpikedCumulant(5.0, latent), np.linspace(-1, 1, 9).reshape(3, 3)
    np.testing.assert_allclose(likelihood_ratio_kernel(task, tau), series(task, tau), atol=1e-12)


@pytest.mark.parametrize("latent", ["uniform", SKEWED])
def test_kernel_from_the_densities(latent):
    # E[L(s) L(tau s + sqrt(1 - tau^2) z)] over normal numbers s and z, L = density of the spiked
    # field over the normal one
    task, tau = ts.SpikedCumulant(3.0, latent), 0.7
    x = np.linspace(-10, 10, 701)
    normal = np.exp(-(x**2) / 2) * (x[1] - x[0]) / math.sqrt(2 * math.pi)
    g, weights = np.asarray(task.latent.nodes), np.asarray(task.latent.weights)

    def ratio(s):
        v = 1 - task.rho**2
        parts = [
            w / math.sqrt(v) * np.exp(s**2 / 2 - (s - task.rho * a) ** 2 / (2 * v))
            for a, w in zip(g, weights, strict=True)
        ]
        return np.sum(parts, axis=0)

    other = ratio(tau * x[:, None] + math.sqrt(1 - tau**2) * x[None, :])
    found = (normal * ratio(x)) @ other @ normal
    assert likelihood_ratio_kernel(task, tau) == pytest.approx(found, rel=1e-10)


def test_a_uniform_latent_close_to_the_spike_itself():
    # ratios of such a narrow law to a normal density: more nodes than the theory's own
    task = ts.SpikedCumulant(1000.0, "uniform")
    x, w = np.polynomial.legendre.leggauss(600)
    dense = ts.SpikedCumulant(1000.0, ((math.sqrt(3) * x).tolist(), (w / 2).tolist()))
    tau = [0.5, 0.99, 1.0]
    np.testing.assert_allclose(
        likelihood_ratio_kernel(task, tau), likelihood_ratio_kernel(dense, tau), rtol=1e-8
    )


@pytest.mark.parametrize("latent", ["rademacher", SKEWED])
def test_three_dimensions_by_the_series(latent):
    # tau is uniform on [-1, 1] in three dimensions: only even powers stay, each divided by k + 1
    task = ts.SpikedCumulant(5.0, latent)
    f = lambda tau: series(task, tau) / 2
    assert likelihood_ratio_norm(task, 1, N=3) == pytest.approx(
        quad(f, -1, 1, epsabs=1e-13)[0], rel=1e-12
    )
    assert likelihood_ratio_norm(task, 40, N=3) == pytest.approx(
        quad(lambda t: (2 * f(t)) ** 40 / 2, -1, 1)[0], rel=1e-9
    )


@pytest.mark.parametrize("prior", ["sphere", "rademacher"])
def test_norm_against_sampled_spikes(prior):
    task, N, rng = ts.SpikedCumulant(10.0, SKEWED), 5, np.random.default_rng(0)
    u = (
        rng.standard_normal((2, 2 * 10**5, N))
        if prior == "sphere"
        else rng.choice([-1.0, 1.0], (2, 2 * 10**5, N))
    )
    u /= np.linalg.norm(u, axis=2, keepdims=True)
    for n in (1, 3):
        sample = series(task, (u[0] * u[1]).sum(axis=1), 200) ** n
        assert abs(
            likelihood_ratio_norm(task, n, N, prior) - sample.mean()
        ) < 4 * sample.std() / math.sqrt(len(sample))


@pytest.mark.parametrize(
    ("beta", "n", "N"),
    [(20, 40, 50), (20, 1500, 1000), (20, 2500, 1000), (5, 10**4, 4), (10, 3, 2)],
)
def test_narrow_peaks_against_a_fine_sum(beta, n, N):
    task = ts.SpikedCumulant(beta)
    theta = (np.arange(400_000) + 0.5) / 400_000 * math.pi - math.pi / 2
    T = task.rho**2 * np.sin(theta)
    log_f = np.log((np.exp(T / (1 + T)) + np.exp(-T / (1 - T))) / 2) - np.log(1 - T**2) / 2
    log_density = (N - 2) * np.log(np.cos(theta))
    exponent = n * log_f + log_density
    expected = (
        exponent.max()
        + math.log(np.exp(exponent - exponent.max()).sum())
        - math.log(np.exp(log_density).sum())
    )
    found = likelihood_ratio_norm(task, n, N)
    assert (
        found == math.inf
        if expected > 709
        else math.log(found) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    )


def test_many_samples_and_few():
    task = ts.SpikedCumulant(1.0)
    norms = likelihood_ratio_norm(task, [0, 1, 100, 10**6], N=1000)
    assert norms[0] == pytest.approx(1, abs=1e-14) and norms[3] == math.inf
    # f = 1 + rho^8 tau^4 / 6 + ..., and E tau^4 = 3 / (N (N + 2))
    assert norms[1:3] - 1 == pytest.approx(
        np.array([1, 100]) / 16 / 6 * 3 / (1000 * 1002), rel=2e-2
    )
    assert likelihood_ratio_norm(ts.SpikedCumulant(0.0), 10**6) == pytest.approx(1)
    problem = ts.Problem(task, ts.Student(1), ts.SGD(0.1))
    assert likelihood_ratio_norm(problem, np.array(100)) == norms[2]


def test_what_is_refused():
    task = ts.SpikedCumulant(2.0)
    refused = [
        (
            lambda: likelihood_ratio_norm(ts.MixedCumulant(1, 1), 5),
            "known for the task SpikedCumulant, not for MixedCumulant",
        ),
        (
            lambda: likelihood_ratio_norm(ts.SpikedCumulant(2.0, "laplace"), 5),
            "norm of its likelihood ratio is infinite",
        ),
        (
            lambda: likelihood_ratio_norm(task, 2.5),
            "n = 2.5 is not allowed; give an integer of at least 0",
        ),
        (lambda: likelihood_ratio_norm(task, [3, -1]), "n = -1 is not allowed"),
        (lambda: likelihood_ratio_norm(task, 5, N=1), "N = 1 is not allowed"),
        (lambda: likelihood_ratio_norm(task, 5, prior="gauss"), "prior = 'gauss' is not known"),
        (lambda: likelihood_ratio_kernel(task, 1.2), "tau has the entry 1.2"),
    ]
    for call, match in refused:
        with pytest.raises(ValueError, match=match):
            call()
