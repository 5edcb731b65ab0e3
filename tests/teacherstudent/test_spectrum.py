import json
from pathlib import Path

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.states.spectrum import merge_equal, spectrum_of
from teacherstudent.tasks import GaussianEquivalent

RULES = json.loads((Path(__file__).parent.parent / "odes" / "hidden_manifold.json").read_text())[
    "marchenko_pastur_gauss"
]


@pytest.mark.parametrize("rule", RULES["rules"], ids=lambda rule: f"{rule['delta']}-{rule['n']}")
def test_reference_gauss_rules(rule):
    nodes, weights = ts.marchenko_pastur(rule["delta"], rule["n"])
    np.testing.assert_allclose(nodes, rule["nodes"], rtol=1e-12)
    np.testing.assert_allclose(weights, rule["weights"], rtol=1e-12)


@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.5, 0.9, 1.0, 2.0, 7.0])
def test_moments_of_the_marchenko_pastur_law(ratio):
    nodes, weights = ts.marchenko_pastur(ratio, 60)
    moments = [weights @ nodes**power for power in range(4)]
    assert moments == pytest.approx([1.0, 1.0, 1 + ratio, 1 + 3 * ratio + ratio**2], rel=1e-13)


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_the_rule_against_the_spectrum_of_a_large_matrix(ratio):
    N, D = 800, round(800 * ratio)
    F = np.random.default_rng(0).standard_normal((N, D))
    rho = np.linalg.eigvalsh(F.T @ F / N)
    nodes, weights = ts.marchenko_pastur(ratio, 24)
    for test in (lambda x: 1 / (1 + x), lambda x: np.exp(-x), np.cos):
        assert weights @ test(nodes) == pytest.approx(test(rho).mean(), abs=3 / N)


def test_merging_keeps_weighted_means():
    rho, weights = np.array([2.0, 0.5, 2.0 + 1e-12, 0.5, 1.0]), np.array([0.1, 0.2, 0.3, 0.3, 0.1])
    q = np.arange(5.0)[:, None, None] * np.ones((5, 2, 2))
    merged_rho, merged_weights, merged_q = merge_equal(rho, weights, q)
    np.testing.assert_allclose(merged_rho, [0.5, 1.0, 2.0], rtol=1e-11)
    np.testing.assert_allclose(merged_weights, [0.5, 0.1, 0.4])
    np.testing.assert_allclose(
        merged_q[:, 0, 1], [(0.2 * 1 + 0.3 * 3) / 0.5, 4.0, (0.1 * 0 + 0.3 * 2) / 0.4]
    )


def test_power_law_has_unit_mean():
    rho = ts.power_law(500, 1.3)
    assert rho.mean() == pytest.approx(1) and rho[9] / rho[0] == pytest.approx(10**-1.3)
    with pytest.raises(ValueError, match="exponent = -1"):
        ts.power_law(10, -1.0)


def test_signal_of_a_spectrum_is_the_trace_of_phi():
    rng = np.random.default_rng(1)
    Phi = 0.3 * rng.standard_normal((12, 7))
    task = GaussianEquivalent(Phi @ Phi.T + np.eye(12), Phi)
    spectrum = spectrum_of(task.modes(12))
    assert spectrum.weights.sum() == pytest.approx(1)
    assert spectrum.weights @ spectrum.rho == pytest.approx(np.trace(task.Omega) / 12)
    assert spectrum.weights @ spectrum.signal == pytest.approx(np.sum(Phi**2) / 7)
    assert len(spectrum.rho) == 8  # five directions orthogonal to Phi are one mode


@pytest.mark.parametrize(
    ("ratio", "nodes", "message"),
    [(0.0, 5, "ratio = 0.0"), (-1.0, 5, "ratio = -1"), (1.0, 0, "nodes = 0")],
)
def test_bad_rules_are_refused(ratio, nodes, message):
    with pytest.raises(ValueError, match=message):
        ts.marchenko_pastur(ratio, nodes)
