"""Shallow autoencoders: equations, limits, and networks beside them."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from odes.models.theory import ModelTheory
from sims.models.simulation import ModelSimulation
from tests.long import marked_as_long

CASES = json.loads((Path(__file__).parent / "autoencoder.json").read_text())
BY_NAME = {case["name"]: case for case in CASES}


def model_of(case, **changes) -> ts.Autoencoder:
    given = {
        "spikes": case["s"],
        "bulk_variance": case["sigma2"],
        "width": case["K"],
        "encoder_rate": case["eta_w"],
        "decoder_rate": case["eta_v"],
        "truncated": case["truncated"],
    }
    return ts.Autoencoder(**given | changes)


def start_of(case) -> ts.State:
    return ts.State(w=case["w0"], V=case["V0"], beta=case["beta0"], bulk=case["Omega"])


@pytest.mark.parametrize(
    "case",
    [CASES[0], *map(marked_as_long, CASES[1:3]), CASES[3]],
    ids=lambda case: case["name"],
)
def test_the_theory_meets_the_reference(case):
    theory = ts.integrate(model_of(case), start_of(case), case["t"], rtol=1e-11, atol=1e-13)
    for name in ("w", "V", "beta", "Q", "pmse"):
        np.testing.assert_allclose(theory[name], case[name], rtol=0, atol=1e-8, err_msg=name)
    np.testing.assert_allclose(theory.bulk, case["Omega"], atol=1e-15)


# Gauss-Hermite over two fields, from the update rule itself: neither Stein's lemma nor the
# derivatives of g.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(140)


def two_fields(Q):
    """Points of N(0, Q), (2, points), and their weights."""
    z = np.stack(np.meshgrid(NODES, NODES)).reshape(2, -1)
    weights = np.outer(WEIGHTS, WEIGHTS).ravel()
    return np.linalg.cholesky(Q) @ z, weights / weights.sum()


def by_hand(case, model, b=(0.0, 0.0)):
    """Velocities of w, V and b and the error, averages being taken over the fields.

    With c = x . e_t / sqrt N and u_k = v_k . x / N, the mean of both given the fields is linear.
    """
    w, V, beta, Omega = (np.array(case[name]) for name in ("w0", "V0", "beta0", "Omega"))
    if model.tied:
        w, Omega = V, np.zeros_like(Omega)
    s = np.array(case["s"])
    Q = (w * s) @ w.T + case["sigma2"] * Omega
    fields, p = two_fields(Q)
    biased = jnp.asarray(fields + np.array(b)[:, None])
    g = np.asarray(model.activation(biased))
    slope = np.asarray(model.activation.derivative(biased))
    along = np.linalg.solve(Q, w * s).T @ fields  # E[c_t | fields]
    u = V @ along
    left = np.diag(s) - (w * s).T @ np.linalg.solve(Q, w * s)  # Cov(c, c | fields)
    uc = u[:, None] * along[None] + (V @ left)[:, :, None]  # E[u_k c_t | fields]
    seen = np.tril(np.ones((2, 2))) if case["truncated"] else np.ones((2, 2))
    T0 = V @ V.T + beta
    reconstructed = (seen * T0) @ g  # v_k . xhat / N, as unit k sees it
    dV = (g[:, None] * along[None]) @ p - np.einsum("kl,kp,lp,lt,p->kt", seen, g, g, V, p)
    dw = np.einsum("kp,ktp,p->kt", slope, uc, p) - np.einsum(
        "kp,kp,tp,p->kt", slope, reconstructed, along, p
    )
    squared = np.einsum("kp,lp,kl,p->", g, g, T0, p)
    error = s.sum() + case["sigma2"] - 2 * np.einsum("kp,kp,p->", g, u, p) + squared
    db = np.einsum("kp,kp,p->k", slope, u - reconstructed, p)
    return case["eta_w"] * dw, case["eta_v"] * dV, db, error


@pytest.mark.parametrize("name", ["K2_P3", "truncated_K2_P3"])
@pytest.mark.parametrize("activation", ["erf", "tanh", "linear"])
def test_velocities_and_error_are_those_of_the_update_rule(name, activation):
    """Of smooth activations; a factor 1.000001 in any term is seen."""
    case = BY_NAME[name]
    model = model_of(case, activation=activation)
    state = {part: jnp.asarray(array) for part, array in model.begun(start_of(case)).items()}
    velocity = ModelTheory.registered[ts.Autoencoder].velocity(model, 0.0, state)
    w, V, _, error = by_hand(case, model)
    np.testing.assert_allclose(velocity["w"], w, atol=2e-8)
    np.testing.assert_allclose(velocity["V"], V, atol=2e-8)
    np.testing.assert_allclose(model.observed(0.0, state)["pmse"], error, atol=2e-8)


@pytest.mark.parametrize("name", ["K2_P3", "truncated_K2_P3"])
@pytest.mark.parametrize("activation", ["erf", marked_as_long("tanh")])
@pytest.mark.parametrize("tied", [True, False])
def test_velocities_with_biases_and_tied_weights(name, activation, tied):
    case = BY_NAME[name]
    b = np.array([0.4, -0.7])
    given = {"train_bias": True, "bias_rate": 0.6, "tied": tied}
    model = model_of(case, activation=activation, **given)
    parts = {"V": case["V0"], "beta": case["beta0"], "b": b}
    if not tied:
        parts |= {"w": case["w0"], "bulk": case["Omega"]}
    state = {part: jnp.asarray(array) for part, array in model.begun(ts.State(**parts)).items()}
    velocity = ModelTheory.registered[ts.Autoencoder].velocity(model, 0.0, state)
    w, V, of_b, error = by_hand(case, model, b)
    if tied:
        w, V = None, w + V
    else:
        np.testing.assert_allclose(velocity["w"], w, atol=2e-8)
    np.testing.assert_allclose(velocity["V"], V, atol=2e-8)
    np.testing.assert_allclose(velocity["b"], 0.6 * of_b, atol=2e-8)
    np.testing.assert_allclose(model.observed(0.0, state)["pmse"], error, atol=2e-8)


def test_biases_that_stay_at_zero_change_nothing():
    case = BY_NAME["K1_P2"]
    still = model_of(case, train_bias=True, bias_rate=0.0)
    theory = ts.integrate(still, start_of(case), [0.0, 5.0])
    without = ts.integrate(model_of(case), start_of(case), [0.0, 5.0])
    np.testing.assert_allclose(theory.w, without.w, atol=1e-9)
    assert np.all(theory.b == 0)


def test_tied_linear_units_find_the_components():
    """Of tied linear units with orthonormal decoders the error is that of PCA."""
    model = ts.Autoencoder([1.0, 0.5, 0.2], 0.3, 2, "linear", tied=True)
    theory = ts.integrate(model, model.random_start(2, encoder=0.5), [0.0, 200.0], rtol=1e-10)
    np.testing.assert_allclose(theory.pmse[-1], theory.pca_error[-1], atol=1e-6)
    V = theory.V[-1].values
    np.testing.assert_allclose((V @ V.T), np.eye(2), atol=1e-4)
    assert "w" not in theory


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("given", [{"tied": True, "activation": "relu"}, {"truncated": True}])
def test_networks_with_biases_follow_the_theory(given):
    """Means of 16 networks of 300 inputs, within 4 standard errors and 2 / N of finite size."""
    case = {"spikes": [1.0, 0.6, 0.3], "bulk_variance": 0.5, "width": 2, "bias_rate": 0.7}
    model = ts.Autoencoder(**case, train_bias=True, **given)
    start = ts.State(**model.random_start(seed=4, encoder=0.5).values, b=[0.4, -0.6])
    times, N, seeds = [0.0, 2.0, 4.0], 300, 16
    theory = ts.integrate(model, start, times)
    networks = ts.simulate(model, start, times, N=N, seeds=seeds, progress=False)
    for name in ("V", "b", "pmse"):
        away = np.abs(networks[name].mean("seed") - theory[name]).values
        error = networks[name].std("seed", ddof=1).values / np.sqrt(seeds)
        assert np.all(away <= 4 * error + 2 / N), name
    assert np.abs(theory.b[-1] - theory.b[0]).max() > 0.05


def test_one_linear_unit_finds_the_first_component():
    """Oja's limit, with an error that is that of PCA."""
    model = ts.Autoencoder([0.4, 1.0, 0.7], 0.3, 1, "linear")
    start = ts.State(w=[[0.5, 0.2, -0.3]], V=[[0.1, 0.1, 0.2]], bulk=[[0.0]])
    theory = ts.integrate(model, start, [0.0, 100.0], rtol=1e-10)
    np.testing.assert_allclose(np.abs(theory.encoder_alignment[-1, 0]), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(np.abs(theory.decoder_alignment[-1, 0]), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(theory.pmse[-1], 0.3 + 0.4 + 0.7, atol=1e-9)
    np.testing.assert_allclose(theory.pca_error, 1.4, atol=1e-12)


@pytest.mark.parametrize("truncated", [True, False])
def test_the_truncated_rule_finds_single_components_in_order(truncated):
    """The full rule finds a rotated basis of the same two."""
    model = ts.Autoencoder([1.0, 0.5, 0.25], 0.5, 2, truncated=truncated)
    w, V = [[0.3, 0.2, -0.1], [-0.1, 0.3, 0.2]], [[0.1, 0.1, 0.2], [0.1, -0.2, 0.1]]
    start = ts.State(w=w, V=V, bulk=1e-4 * np.eye(2))
    end = ts.integrate(model, start, [0.0, 1000.0]).isel(time=-1)
    found = np.abs(end.decoder_alignment.values)
    assert found[:, 2].max() < 1e-2
    alone = np.abs(found[:, :2] - np.eye(2)).max()
    assert (alone < 1e-2) if truncated else (alone > 0.1)
    assert 0 < end.pmse - end.pca_error < 0.02


def test_the_bulk_of_the_decoder_decays_at_the_rate_of_its_unit():
    """d log beta / dt = -2 eta_v E[g^2] for one unit."""
    case = BY_NAME["K1_P2"]
    times = np.linspace(0.0, 10.0, 401)
    theory = ts.integrate(model_of(case), start_of(case), times, rtol=1e-10, curve=False)
    squares = 2 / np.pi * np.arcsin(theory.Q / (1 + theory.Q)).values[:, 0, 0]
    integral = np.trapezoid(squares, times)
    measured = np.log(theory.beta.values[-1, 0, 0] / theory.beta.values[0, 0, 0])
    np.testing.assert_allclose(measured, -2 * case["eta_v"] * integral, rtol=1e-5)


def test_a_component_without_weights_is_never_learnt():
    model = ts.Autoencoder([1.0, 0.5], width=2)
    theory = ts.integrate(model, ts.State(w=[[0.3, 0.0], [0.2, 0.0]]), [0.0, 30.0])
    assert np.all(theory.w[:, :, 1] == 0)
    assert np.all(theory.V[:, :, 1] == 0)
    assert theory.pmse[-1] < theory.pmse[0] - 0.2


def test_rates_only_set_the_speed():
    case = BY_NAME["K1_P2"]
    fast = model_of(case, encoder_rate=2 * case["eta_w"], decoder_rate=2 * case["eta_v"])
    once = ts.integrate(model_of(case), start_of(case), [0.0, 8.0], rtol=1e-10)
    twice = ts.integrate(fast, start_of(case), [0.0, 4.0], rtol=1e-10)
    np.testing.assert_allclose(twice.w[-1], once.w[-1], atol=1e-8)


def test_a_network_begins_with_the_state():
    case = BY_NAME["K3_P2_readout_faster"]
    model = model_of(case)
    state = model.begun(start_of(case))
    simulation = ModelSimulation.registered[ts.Autoencoder]
    network = simulation.begin(model, state, 50, np.random.default_rng(1), "weights")
    there = simulation.state(model, 50, "weights", {k: jnp.asarray(x) for k, x in network.items()})
    for name, array in state.items():
        np.testing.assert_allclose(there[name], array, atol=1e-12, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["truncated_K2_P3", marked_as_long("K2_P3")])
def test_networks_follow_the_theory(name):
    """Means of 24 networks of 500 inputs, within 4 standard errors and 0.6 / N of finite size.

    With eta_w wrong by a tenth w is off by 10 standard errors.
    """
    case = BY_NAME[name]
    times, N, seeds = [0.0, 4.0, 8.0], 500, 24
    theory = ts.integrate(model_of(case), start_of(case), times)
    networks = ts.simulate(model_of(case), start_of(case), times, N=N, seeds=seeds)
    for name in ("w", "V", "Q", "pmse"):
        away = np.abs(networks[name].mean("seed") - theory[name]).values
        error = networks[name].std("seed", ddof=1).values / np.sqrt(seeds)
        assert np.all(away <= 4 * error + 0.6 / N), name
    # The decoder keeps the noise of its last steps, of order 1 / N.
    assert np.abs(networks.beta.mean("seed") - theory.beta).max() < 2 / N


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"spikes": [1.0, -0.5]}, "model.spikes has the entry -0.5"),
        ({"spikes": 1.0}, "model.spikes has shape"),
        ({"spikes": [1.0], "width": 0}, "model.width = 0"),
        ({"spikes": [1.0], "activation": "sign"}, "model.activation = sign jumps at x = 0"),
        ({"spikes": [1.0], "encoder_rate": -1.0}, "model.encoder_rate = -1.0"),
        ({"spikes": [1.0], "bulk_variance": np.inf}, "model.bulk_variance = inf"),
        ({"spikes": [1.0], "bias_rate": 0.5}, "model.bias_rate is given, but there are no biases"),
    ],
)
def test_what_is_no_autoencoder_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        ts.Autoencoder(**arguments)


def test_what_is_no_state_is_refused():
    model = ts.Autoencoder([1.0, 0.5], width=2)
    w = np.ones((2, 2))
    with pytest.raises(ValueError, match="start.beta is not symmetric"):
        ts.integrate(model, ts.State(w=w, beta=[[1.0, 0.5], [0.0, 1.0]]), [0.0, 1.0])
    with pytest.raises(ValueError, match="start.bulk has the eigenvalue -1"):
        ts.integrate(model, ts.State(w=w, bulk=[[1.0, 2.0], [2.0, 1.0]]), [0.0, 1.0])
    with pytest.raises(ValueError, match="N = 5 is too small for 2 spikes"):
        ts.simulate(model, ts.State(w=w), [0.0, 1.0], N=5)


def test_no_percentage_is_told_of_a_theory_that_has_become_zero():
    """The bulk of the decoder, which networks keep of order 1 / N."""
    data = ts.load(Path(__file__).parents[2] / "results" / "autoencoder-truncated.h5")
    networks = [one.to_dataset() for one in data["simulation"].children.values()]
    verdict = ts.compare(data["theory"].to_dataset(), networks).attrs["verdict"]
    assert "a finite-size bias, larger than what the theory leaves of a quantity" in verdict
    assert "largest deviation in beta" in verdict
