"""The numbers in the gallery's files, by routes that do not go through our equations' code: closed
forms, and equations of motion written out here.
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from teacherstudent.command.gallery_entries import Entry
from teacherstudent.results.datasets import simulations, variants_of
from tests.imports import ROOT

RESULTS = ROOT / "results"


def read(name):
    return Entry.read(name, RESULTS)


def theory_of(tree):
    return tree["theory"].to_dataset()


def last_error(tree):
    """The error of networks at the last time, and its standard error."""
    error = simulations(tree)[-1].eps_g.isel(time=-1)
    return error.mean("seed").values, error.std("seed", ddof=1).values / error.sizes["seed"] ** 0.5


def test_a_linear_network_by_its_own_equations():
    """For linear units e = sum lambda - sum nu, and all averages are entries of Q, R and T."""
    theory = theory_of(read("linear-noisy").tree)
    eta, noise = 0.3, 0.5
    Q, R, T = (theory[name].values for name in ("Q", "R", "T"))
    K, M = R.shape[1:]

    def velocity(t, flat):
        q, r = flat[: K * K].reshape(K, K), flat[K * K :].reshape(K, M)
        with_students = q.sum(axis=0) - r.sum(axis=1)
        with_teachers = r.sum(axis=0) - T.sum(axis=0)
        squared = q.sum() - 2 * r.sum() + T.sum()
        drift = -eta * (with_students[:, None] + with_students[None, :])
        dq = drift + eta**2 * (squared + noise**2)
        dr = -eta * np.broadcast_to(with_teachers, (K, M))
        return np.concatenate([dq.ravel(), dr.ravel()])

    times = theory.time.values
    start = np.concatenate([Q[0].ravel(), R[0].ravel()])
    solution = solve_ivp(
        velocity, (0, times[-1]), start, "DOP853", t_eval=times, rtol=1e-11, atol=1e-13
    )
    expected = solution.y.T
    np.testing.assert_allclose(Q.reshape(len(times), -1), expected[:, : K * K], atol=1e-6)
    np.testing.assert_allclose(R.reshape(len(times), -1), expected[:, K * K :], atol=1e-6)
    asymptote = eta * noise**2 * K / (4 - 2 * eta * K)
    assert float(theory.eps_g[-1]) == pytest.approx(asymptote, rel=1e-5)


def test_the_plateau_of_two_units_is_where_saad_and_solla_have_it():
    """eps = (K / pi) (pi / 6 - K asin(1 / 2K)) for small rates; at eta = 0.4 a little above."""
    error = theory_of(read("saad-solla-1995-k2").tree).eps_g
    plateau = 2 / np.pi * (np.pi / 6 - 2 * np.arcsin(0.25))
    on_it = float(error.sel(time=slice(20, 60)).mean())
    assert plateau < on_it < 1.4 * plateau
    assert float(error[-1]) < plateau / 100


def test_noise_leaves_an_error_in_proportion_to_small_rates():
    theory = theory_of(read("saad-solla-asymptote").tree)
    eta = theory.learning_rate.values
    ratio = theory.eps_g.isel(time=-1).values / (eta * 0.1**2 / (2 * np.pi) * 2 / np.sqrt(3))
    assert ratio[0] == pytest.approx(1.0, abs=0.03)
    assert (np.diff(ratio) > 0).all()


def test_linear_networks_keep_what_the_closed_form_says():
    tree = variants_of(read("goldt-2019-final-linear").tree)["first layer only"]
    K = theory_of(tree)["width"].values
    expected = 0.1 * 0.1**2 * K / (4 - 2 * 0.1 * K)
    np.testing.assert_allclose(theory_of(tree).eps_g.isel(time=-1), expected, rtol=1e-4)
    mean, error = last_error(tree)
    assert (np.abs(mean - expected) < 5 * error + 0.02 * expected).all()


def test_the_floor_of_sign_sgd():
    variants = variants_of(read("sign-floor").tree)
    for eta in (0.3, 0.1):
        floor = (np.pi * eta / 4) ** 2 / 2
        theory = theory_of(variants[f"sign-SGD, eta = {eta}"])
        assert float(theory.eps_g[-1]) == pytest.approx(floor, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "expected", "within"),
    [("escape-k1", 1.0, 0.15), ("escape-k2", 1.15, 0.2), ("escape-k3", 2.0, 0.35)],
)
def test_exponents_of_escapes(name, expected, within):
    """N log N looks like N^1.15 between N = 64 and 1024."""
    ((exponent, _),) = read(name).exponents
    assert exponent == pytest.approx(expected, abs=within)


def test_v_follows_u_on_the_staircase():
    m = theory_of(read("staircase-sign").tree).m.isel(student=0)
    above_half = m.values > m.values.max(axis=0) / 2
    half = m.time.values[above_half.argmax(axis=0)]
    assert half[1] > 1.3 * half[0]
    assert float(m[-1, 1]) > float(m[-1, 0]) > 0.4
    alone = theory_of(read("staircase-independent").tree).m.isel(student=0)
    assert float(alone[-1, 0]) > 0.6 and np.abs(alone[:, 1]).max() < 1e-8


def test_a_majority_of_adversaries_wins():
    error = theory_of(read("majority-vote-adversaries").tree).eps_g.isel(time=-1).values
    assert error[0] < error[1] < 0.005
    assert (error[3:] > 10 * error[1]).all()


def test_only_both_layers_profit_from_more_units():
    variants = variants_of(read("goldt-2019-final-erf").tree)
    first, both = (
        theory_of(variants[name]).eps_g.isel(time=-1).values
        for name in ("first layer only", "both layers")
    )
    assert first[-1] > 1.5 * first[0]
    assert both[-1] < both[0]


def test_perceptrons_have_the_curves_of_the_reviews():
    """Hebb's rule is solved; of the perceptron and AdaTron the equations are written out here."""
    variants = variants_of(read("perceptron-rules").tree)
    curves = {name: theory_of(tree).eps_g for name, tree in variants.items()}
    t = curves["Hebb"].time.values
    Q = 1 + t + 2 * t**2 / np.pi + 0.2 * np.sqrt(2 / np.pi) * t
    R = 0.1 + np.sqrt(2 / np.pi) * t
    np.testing.assert_allclose(curves["Hebb"], np.arccos(R / np.sqrt(Q)) / np.pi, rtol=1e-5)

    def perceptron(t, y):
        J, rho = np.sqrt(y[0]), y[1] / np.sqrt(y[0])
        drift = (1 - rho) / np.sqrt(2 * np.pi)
        return [-2 * J * drift + np.arccos(rho) / np.pi, drift]

    def adatron(t, y):
        rho = y[1] / np.sqrt(y[0])
        error, sine = np.arccos(rho) / np.pi, np.sqrt(1 - rho**2)
        square = y[0] * (error - rho * sine / np.pi)
        return [-square, -y[1] * error + np.sqrt(y[0]) * sine / np.pi]

    for name, velocity in (("perceptron", perceptron), ("AdaTron", adatron)):
        solution = solve_ivp(velocity, (0, t[-1]), [1.0, 0.1], t_eval=t, rtol=1e-11, atol=1e-13)
        rho = solution.y[1] / np.sqrt(solution.y[0])
        np.testing.assert_allclose(curves[name], np.arccos(rho) / np.pi, rtol=1e-5)
