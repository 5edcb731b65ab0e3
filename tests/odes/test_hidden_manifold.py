"""Theory on structured inputs: reference values, the published form, explicit covariances, limits,
merging.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.starts import weights_on_inputs
from tests.long import mostly_long
from tests.odes import plain_manifold
from tests.problems import random_overlaps

REFERENCE = json.loads((Path(__file__).parent / "hidden_manifold.json").read_text())
CASES = REFERENCE["gep_trajectories"] + REFERENCE["hmm_trajectories"]
LONG = ("gep_relu_20modes_scm_sigma0.1", "gep_erf_20modes_both_layers_sigma0.1")  # to compile
TIMES = [0.0, 0.5, 2.0, 8.0]


def case_problem(case: dict) -> ts.Problem:
    """Of the task only its teacher: the start brings the spectrum."""
    trained = case["eta_v"] > 0
    return ts.Problem(
        ts.GaussianEquivalent(
            width=case["M"],
            activation=case["activation"],
            readout=case["v_star"],
            noise=case["sigma"],
        ),
        ts.Student(case["K"], case["activation"], trained),
        ts.SGD(case["eta_w"], case["eta_v"] if trained else None),
    )


def case_start(case: dict) -> ts.SpectralOverlaps:
    same = {
        "rho": case["rho"],
        "weights": case["weights"],
        "r": case["r0"],
        "t": case["t"],
        "T": case["T"],
        "v": case["v0"],
    }
    if "q0" in case:
        return ts.SpectralOverlaps(q=case["q0"], **same)
    zeta = case["c"] - case["a"] ** 2 - case["b"] ** 2
    return ts.SpectralOverlaps.from_latent_modes(
        latent_ratio=case["delta"],
        b=case["b"],
        zeta=zeta,
        sigma=case["sigma0"],
        W=case["W0"],
        **same,
    )


@pytest.mark.parametrize(("rtol", "allowed"), [(1e-9, 1e-7), (1e-10, 1e-8)])
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.long] * (case["name"] in LONG), id=case["name"])
        for case in CASES
    ],
)
def test_reference_trajectory(case, rtol, allowed):
    theory = ts.integrate(
        case_problem(case), case_start(case), case["times"], rtol=rtol, atol=rtol / 100
    )
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(theory[name], case[name], rtol=0, atol=allowed, err_msg=name)


def test_the_limit_of_a_hidden_manifold_is_the_reference_with_gauss_nodes():
    # The reference starts from sigma = rho W0, r = rho seed, t = T; ours also counts the seed in
    # sigma, to second order.
    for name in (
        "hmm_sign_erf_marchenko_pastur_delta0.5_24nodes",
        "hmm_sign_erf_marchenko_pastur_delta1_24nodes",
    ):
        (case,) = [case for case in CASES if case["name"] == name]
        task = ts.HiddenManifold(2, "erf", "sign", case["delta"], noise=case["sigma"])
        problem = ts.Problem(task, ts.Student(2), ts.SGD(case["eta_w"]))
        published = case_start(case)
        ours = ts.spectral_start(
            problem, ts.OrderParameters(published.Q, published.R, published.T), nodes=24
        )
        order = np.argsort(ours.rho)
        np.testing.assert_allclose(ours.rho[order], np.sort(published.rho), rtol=1e-9)
        np.testing.assert_allclose(
            ours.t[order], published.t[np.argsort(published.rho)], rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(
            ours.r[order], published.r[np.argsort(published.rho)], rtol=1e-9, atol=1e-12
        )
        second_order = np.abs(published.R).max() ** 2
        theory = ts.integrate(problem, ours, case["times"])
        np.testing.assert_allclose(theory.eps_g, case["eps_g"], atol=20 * second_order)


@pytest.mark.parametrize("trained", [False, True])
def test_one_isotropic_mode_is_the_teacher_student_model(trained):
    start = random_overlaps(3, 2, v=[0.5, 1.0, -0.7])
    teacher = {"width": 2, "activation": "erf", "readout": [1.0, -0.5], "noise": 0.2}
    student, rule = (
        ts.Student(3, train_readout=trained),
        ts.SGD(0.4, 0.2 if trained else None, 0.05),
    )
    one = ts.SpectralOverlaps(
        [1.0], [1.0], start.Q[None], start.R[None], start.T[None], start.T, start.v
    )
    isotropic = ts.GaussianEquivalent(np.eye(30), np.eye(30), **teacher)
    plain, modes, lifted = (
        ts.integrate(ts.Problem(task, student, rule), begin, TIMES, rtol=1e-11, atol=1e-13)
        for task, begin in (
            (ts.TeacherStudent(**teacher), start),
            (ts.GaussianEquivalent(**teacher), one),
            (isotropic, start),
        )
    )
    for other in (modes, lifted):
        for name in ("Q", "R", "v", "eps_g"):
            np.testing.assert_allclose(other[name], plain[name], rtol=0, atol=1e-10)
    assert lifted.sizes["rho"] == 1


def normalised(rng, N, D):
    F = rng.standard_normal((N, D))
    return F / np.sqrt((F**2).mean(axis=1, keepdims=True))


@pytest.mark.parametrize(("N", "D"), mostly_long([(40, 16), (20, 30)], [(20, 30)]))
def test_agrees_with_the_published_form_over_latent_modes(N, D):
    rng = np.random.default_rng(N)
    F, w, w_star = normalised(rng, N, D), rng.standard_normal((3, N)), rng.standard_normal((2, D))
    v, v_star, b = np.array([0.6, -0.5, 0.9]), [1.0, -0.8], np.sqrt(2 / np.pi)
    task = ts.HiddenManifold(2, "erf", "sign", F=F, readout=v_star, noise=0.1)
    problem = ts.Problem(task, ts.Student(3, train_readout=True), ts.SGD(0.3, 0.2))
    start = ts.start_from_weights(problem, w=w, v=v, w_star=w_star)
    assert len(start.rho) == min(D + 1, N)
    theory = ts.integrate(problem, start, TIMES, rtol=1e-10, atol=1e-12)
    expected = plain_manifold.solve(F, w, w_star, v, v_star, b, 1 - b**2, 0.3, 0.2, 0.1, TIMES)
    for name, values in zip(("Q", "R", "v"), expected, strict=True):
        np.testing.assert_allclose(theory[name], values, rtol=0, atol=1e-8, err_msg=name)


@pytest.mark.parametrize(("N", "D"), mostly_long([(30, 12), (12, 30)], [(30, 12)]))
def test_explicit_covariances_give_the_same(N, D):
    rng = np.random.default_rng(D)
    F, w, w_star = normalised(rng, N, D), rng.standard_normal((2, N)), rng.standard_normal((3, D))
    b = np.sqrt(2 / np.pi)
    manifold = ts.HiddenManifold(3, "relu", "sign", F=F, noise=0.1)
    explicit = ts.GaussianEquivalent(
        Omega=(1 - b**2) * np.eye(N) + b**2 * F @ F.T / D,
        Phi=b * F / np.sqrt(D),
        width=3,
        activation="relu",
        noise=0.1,
    )
    curves = []
    for task in (manifold, explicit):
        problem = ts.Problem(task, ts.Student(2, "relu"), ts.SGD(0.1))
        start = ts.start_from_weights(problem, w=w, w_star=w_star)
        np.testing.assert_allclose(start.Q, w @ explicit.Omega @ w.T / N, atol=1e-12)
        np.testing.assert_allclose(
            start.R, w @ explicit.Phi @ w_star.T / np.sqrt(N * D), atol=1e-12
        )
        np.testing.assert_allclose(start.W, w @ w.T / N, atol=1e-12)
        curves.append(ts.integrate(problem, start, TIMES[:3]))
    for name in ("Q", "R", "eps_g"):
        np.testing.assert_allclose(curves[0][name], curves[1][name], rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.long
def test_24_nodes_replace_the_spectrum():
    start = ts.OrderParameters([[1.0, 0.1], [0.1, 0.6]], [[0.05], [-0.02]])
    for delta in (0.1, 0.5, 1.0, 2.0):
        problem = ts.Problem(ts.HiddenManifold(1, "erf", "sign", delta), ts.Student(2), ts.SGD(0.2))
        few, many = (
            ts.integrate(
                problem,
                ts.spectral_start(problem, start, n),
                [0.0, 5.0, 50.0],
                rtol=1e-11,
                atol=1e-13,
            )
            for n in (24, 120)
        )
        for name in ("Q", "R", "eps_g"):
            np.testing.assert_allclose(few[name], many[name], rtol=0, atol=1e-9)
        np.testing.assert_allclose(few.Q[0], start.Q, atol=1e-12)
        np.testing.assert_allclose(few.R[0], start.R, atol=1e-12)


@pytest.mark.slow
@pytest.mark.long
def test_the_limit_is_approached_by_large_manifolds():
    # With Q and R as in the limit, every finite network still has its own spectrum and its own r
    # per mode.
    times, b = [0.0, 2.0, 10.0], np.sqrt(2 / np.pi)
    start = ts.OrderParameters([[1.0]], [[0.1]])
    problem = ts.Problem(ts.HiddenManifold(1, "erf", "sign", 0.5), ts.Student(1), ts.SGD(0.2))
    limit = ts.integrate(problem, start, times)
    gaps = []
    for N in (50, 800):
        curves = []
        for seed in range(8):
            task = ts.HiddenManifold(1, "erf", "sign", 0.5, seed=seed)
            own = ts.Problem(task, ts.Student(1), ts.SGD(0.2))
            F = task.matrices(N)[0] / np.sqrt(N / 2)
            weights = weights_on_inputs((1 - b**2) * np.eye(N) + b**2 * F @ F.T, b * F, start, seed)
            curves.append(
                ts.integrate(
                    own, ts.start_from_weights(own, weights.w, w_star=weights.w_star), times
                ).eps_g.values
            )
        gaps.append(np.sqrt(np.mean((curves - limit.eps_g.values) ** 2)))
    assert gaps[1] < 0.01 and gaps[1] < gaps[0] / 2  # N^-1/2 would be a quarter


def test_weights_and_features_of_equal_seeds_are_independent():
    task = ts.HiddenManifold(2, "erf", "sign", 0.5, seed=3)
    start = ts.random_start(ts.Problem(task, ts.Student(2), ts.SGD(0.2)), N=400, seed=3)
    rows = np.concatenate([start.network.w[:, :200], start.network.w_star])
    for features in (task.matrices(400)[0], task.matrices(400, network=3)[0]):
        overlaps = rows @ features.T / np.sqrt(200)
        assert np.abs(overlaps).max() < 5  # 1600 normal numbers; a repeated row would give 14


def test_the_plateau_is_never_left_without_a_seed():
    problem = ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.5), ts.Student(2), ts.SGD(0.2))
    alike = ts.integrate(
        problem, ts.OrderParameters(np.eye(2), np.full((2, 2), 0.01)), [0.0, 300.0]
    )
    seeded = ts.integrate(
        problem, ts.OrderParameters(np.eye(2), [[0.01, 0.0], [0.0, 0.01]]), [0.0, 300.0]
    )
    assert abs(alike.R[-1, 0, 0] - alike.R[-1, 0, 1]) < 1e-6
    assert abs(seeded.R[-1, 0, 0] - seeded.R[-1, 0, 1]) > 0.03


def test_equal_eigenvalues_are_merged_exactly():
    rng = np.random.default_rng(0)
    N, D, K, M = 24, 18, 2, 3
    basis = np.linalg.qr(rng.standard_normal((N, N)))[0]
    rho = np.repeat([0.2, 0.7, 0.7, 3.0], N // 4)
    Phi = (basis * np.sqrt(rho / 2)) @ np.linalg.qr(rng.standard_normal((N, D)))[0]
    task = ts.GaussianEquivalent((basis * rho) @ basis.T, Phi, width=M)
    problem = ts.Problem(task, ts.Student(K), ts.SGD(0.5))
    w, w_star = rng.standard_normal((K, N)), rng.standard_normal((M, D))
    start = ts.start_from_weights(problem, w, w_star=w_star)
    assert len(start.rho) == 3
    np.testing.assert_allclose(start.weights, [0.25, 0.5, 0.25], atol=1e-14)
    along, signal = w @ basis, np.sqrt(N / D) * w_star @ Phi.T @ basis
    every = ts.SpectralOverlaps(
        rho,
        np.full(N, 1 / N),
        *(
            np.einsum("at,bt->tab", x, y)
            for x, y in ((along, along), (along, signal), (signal, signal))
        ),
        T=start.T,
    )
    merged, single = (
        ts.integrate(problem, one, TIMES, rtol=1e-11, atol=1e-13) for one in (start, every)
    )
    for name in ("Q", "R"):
        np.testing.assert_allclose(merged[name], single[name], rtol=0, atol=1e-9)


@pytest.mark.long
def test_tolerances_hold_where_few_modes_carry_the_overlaps():
    task = ts.GaussianEquivalent.anisotropic(ts.power_law(400, 1.5), width=2)
    problem = ts.Problem(task, ts.Student(2), ts.SGD(0.2))
    start = ts.random_start(problem, seed=1)
    exact, rough = (
        ts.integrate(problem, start, [0.0, 5.0, 20.0], rtol=rtol, atol=rtol / 100)
        for rtol in (1e-11, 1e-6)
    )
    assert float(abs(rough.Q - exact.Q).max()) < 2e-5 * float(abs(exact.Q).max())


def test_small_inputs_are_no_divergence():
    tiny = ts.GaussianEquivalent(1e-7 * np.eye(20), np.sqrt(1e-7) * np.eye(20))
    problem = ts.Problem(tiny, ts.Student(2), ts.SGD(0.2))
    assert np.isfinite(
        ts.integrate(problem, ts.OrderParameters(np.eye(2), np.zeros((2, 1))), [0.0, 1.0]).Q
    ).all()


@pytest.mark.long
def test_densities_over_the_spectrum():
    problem = ts.Problem(ts.HiddenManifold(2, "erf", "tanh", 0.4), ts.Student(3), ts.SGD(0.3))
    theory = ts.integrate(problem, ts.random_start(problem, N=50, seed=0), TIMES, spectral=True)
    assert theory.q.dims == ("time", "rho", "student", "student_") and theory.r.sizes["rho"] == 21
    np.testing.assert_allclose(
        (theory.weights * theory.rho * theory.q).sum("rho").transpose(*theory.Q.dims),
        theory.Q,
        atol=1e-12,
    )
    np.testing.assert_allclose(
        (theory.weights * theory.r).sum("rho").transpose(*theory.R.dims), theory.R, atol=1e-12
    )
    np.testing.assert_allclose(theory.q[0], theory.q_start, atol=1e-14)
    isotropic = ts.integrate(
        ts.Problem(ts.TeacherStudent(2), ts.Student(3), ts.SGD(0.3)),
        random_overlaps(3, 2),
        TIMES,
        spectral=True,
    )
    np.testing.assert_allclose(isotropic.q.isel(rho=0), isotropic.Q, atol=1e-14)


def test_spherical_rule_keeps_the_weights_norms_not_the_fields():
    problem = ts.Problem(
        ts.HiddenManifold(1, "erf", "sign", 0.5), ts.Student(2), ts.SphericalSGD(0.5)
    )
    rng = np.random.default_rng(0)
    w = rng.standard_normal((2, 60))
    w *= np.sqrt(60) / np.linalg.norm(w, axis=1, keepdims=True)
    start = ts.start_from_weights(problem, w, w_star=rng.standard_normal((1, 30)))
    theory = ts.integrate(problem, start, TIMES, spectral=True)
    norms = np.einsum("t,xtkk->xk", theory.weights, theory.q)
    np.testing.assert_allclose(norms, 1, atol=1e-7)
    assert np.abs(np.einsum("xkk->xk", theory.Q) - 1).max() > 0.05
    with pytest.raises(ValueError, match="SphericalSGD keeps"):
        ts.integrate(
            problem,
            ts.start_from_weights(problem, 2 * w, w_star=rng.standard_normal((1, 30))),
            TIMES,
        )


@pytest.mark.slow
@pytest.mark.long
def test_batches_and_sweeps():
    problem = ts.Problem(
        ts.HiddenManifold(1, "erf", "sign", 0.5, noise=[0.0, 0.3]),
        ts.Student(2),
        ts.SGD([0.1, 0.2]),
    )
    seeds = np.array([[[0.1], [0.0]], [[0.0], [-0.2]], [[0.05], [0.05]]])
    batch = ts.OrderParameters(np.tile(np.eye(2), (3, 1, 1)), seeds)
    swept = ts.integrate(problem, batch, TIMES)
    assert dict(swept.Q.sizes) == {
        "noise": 2,
        "learning_rate": 2,
        "start": 3,
        "time": 4,
        "student": 2,
        "student_": 2,
    }
    single = ts.Problem(
        ts.HiddenManifold(1, "erf", "sign", 0.5, noise=0.3), ts.Student(2), ts.SGD(0.1)
    )
    alone = ts.integrate(single, ts.OrderParameters(np.eye(2), seeds[1]), TIMES)
    np.testing.assert_allclose(
        swept.sel(noise=0.3, learning_rate=0.1).isel(start=1).Q, alone.Q, atol=1e-9
    )


@pytest.mark.slow
@pytest.mark.long
def test_gradient_with_respect_to_the_spectrum():
    problem = ts.Problem(ts.GaussianEquivalent(width=2), ts.Student(3), ts.SGD(0.3))
    start = ts.spectral_start(
        ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.5), ts.Student(3), ts.SGD(0.3)),
        random_overlaps_for_manifold(),
    )

    def error(scale):
        moved = ts.SpectralOverlaps(
            start.rho * scale, start.weights, start.q, start.r, start.t, start.T
        )
        return ts.solve(
            problem, moved, jnp.asarray([3.0]), rtol=1e-9, atol=1e-12, solver="tsit5"
        ).eps_g[0]

    slope, h = jax.grad(error)(1.1), 1e-5
    assert float(slope) == pytest.approx(float(error(1.1 + h) - error(1.1 - h)) / (2 * h), rel=1e-6)


def random_overlaps_for_manifold() -> ts.OrderParameters:
    start = random_overlaps(3, 2, seed=4)
    return ts.OrderParameters(start.Q, 0.2 * start.R, start.T)


@pytest.mark.long
@pytest.mark.slow
def test_a_thousand_modes_are_integrated():
    problem = ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.25), ts.Student(2), ts.SGD(0.2))
    start = ts.random_start(problem, N=4000, seed=0)
    theory = ts.integrate(problem, start, [0.0, 1000.0])
    assert len(start.rho) == 1001
    assert 0 < float(theory.eps_g[-1]) < 0.1 * float(theory.eps_g[0])
