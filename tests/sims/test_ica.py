"""FastICA on finite samples, and online independent component analysis as a problem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from sims.ica import BLOCK, _starts
from sims.inputs.mixture import spiked_source
from sims.inputs.source import as_arrays
from teacherstudent.contrasts import check_spike, growing_sign
from tests.long import mostly_long

CONTRASTS = ("kurtosis", "logcosh", "gauss")
RADEMACHER = ts.SpikedCumulant(10.0)
SLOPES = {
    # name: (G', G'') as written in the literature
    "kurtosis": (lambda s: s**3, lambda s: 3 * s**2),
    "logcosh": (np.tanh, lambda s: 1 / np.cosh(s) ** 2),
    "gauss": (lambda s: s * np.exp(-(s**2) / 2), lambda s: (1 - s**2) * np.exp(-(s**2) / 2)),
}


@pytest.mark.long
@pytest.mark.parametrize("contrast", mostly_long(CONTRASTS, ["gauss"]))
def test_one_step_on_many_samples_lands_near_the_spike(contrast):
    # The step is G_4 c_4 alpha^3 / 3! u plus noise of variance E G'(s)^2 / n in each of N
    # directions, s ~ N(0, 1).
    task, N, samples, overlap = ts.SpikedCumulant(50.0), 10, 100_000, 0.4
    z, weights = np.polynomial.hermite_e.hermegauss(120)
    slope = SLOPES[contrast][0](z)
    G_4 = weights @ (slope * (z**3 - 3 * z)) / weights.sum()  # E G He_4 = E G' He_3
    signal = (G_4 * task.rho**4 * task.latent.hermite(5)[4] * overlap**3 / 6) ** 2
    noise = weights @ slope**2 / weights.sum() / samples
    found = ts.fast_ica(task, N, samples, contrast=contrast, overlap=overlap, seeds=16).overlap
    np.testing.assert_allclose(found.isel(step=0), overlap, atol=1e-6)
    assert float((found.isel(step=1) > 0.65).mean()) > 0.8
    expected = (signal + noise) / (signal + N * noise)
    np.testing.assert_allclose(float((found.isel(step=1) ** 2).mean()), expected, rtol=0.1)


@pytest.mark.parametrize(
    ("overlap", "N", "samples", "seeds"),
    [
        pytest.param(0.4, 50, 5000, 128, marks=pytest.mark.long),
        pytest.param(0.3, 50, 20_000, 64, marks=pytest.mark.long),
        (0.4, 20, 1000, 512),
    ],
)
def test_one_step_on_few_samples_goes_as_far_as_its_noise_allows(overlap, N, samples, seeds):
    # The step is c_4 alpha^3 u plus noise of variance E s^6 / n = 15 / n in each of N directions.
    signal = (RADEMACHER.rho**4 * RADEMACHER.latent.hermite(5)[4] * overlap**3) ** 2
    found = ts.fast_ica(RADEMACHER, N, samples, overlap=overlap, seeds=seeds).overlap.isel(step=1)
    expected = (signal + 15 / samples) / (signal + 15 * N / samples)
    np.testing.assert_allclose(float((found**2).mean()), expected, rtol=0.25)


@pytest.mark.parametrize("contrast", mostly_long(CONTRASTS, ["kurtosis"]))
def test_samples_beyond_the_last_full_block_count_and_no_others(contrast):
    N, samples, seed = 6, 1500, 3
    assert samples % BLOCK and samples > BLOCK
    found = ts.fast_ica(
        RADEMACHER, N, samples, contrast=contrast, overlap=0.5, seeds=[seed], dtype="float64"
    )
    (w,), (u,) = _starts(N, [seed], 0.5)
    alone = ts.SpikedCumulant(RADEMACHER.beta, class_prior=1.0)
    source = as_arrays(
        jax.tree.map(lambda leaf: leaf[0], spiked_source(alone, np.sqrt(N) * u[None, None])),
        jnp.float64,
    )
    key = jax.random.fold_in(jax.random.key(jnp.asarray(seed, jnp.uint32)), 0)
    x = np.concatenate(
        [source.draw(jax.random.split(jax.random.fold_in(key, block), BLOCK)).x for block in (0, 1)]
    )
    x = x[:samples]
    slope, curvature = SLOPES[contrast]
    moved = slope(x @ w) @ x / samples - curvature(x @ w).mean() * w
    np.testing.assert_allclose(
        found.overlap[0, 1], abs(moved @ u) / np.linalg.norm(moved), rtol=1e-10
    )


@pytest.fixture(scope="module")
def repeated():
    """The same samples at each step, and fresh ones."""
    return {
        fresh: ts.fast_ica(
            RADEMACHER, 8, 3000, steps=40, overlap=0.5, fresh=fresh, seeds=3, dtype="float64"
        ).overlap
        for fresh in (False, True)
    }


@pytest.mark.long
def test_the_same_samples_at_each_step_lead_to_a_fixed_point(repeated):
    same = repeated[False]
    np.testing.assert_allclose(same.isel(step=-1), same.isel(step=-2), atol=1e-9)
    assert (same.isel(step=-1) > 0.9).all() and (same.isel(step=-1) < 1 - 1e-6).all()


def test_fresh_samples_go_on_fluctuating(repeated):
    same, fresh = repeated[False], repeated[True]
    np.testing.assert_array_equal(
        same.isel(step=[0, 1]), fresh.isel(step=[0, 1])
    )  # the first batch is the same
    assert (same.isel(step=2) != fresh.isel(step=2)).all()
    assert (abs(fresh.isel(step=-1) - fresh.isel(step=-2)) > 1e-5).all()


def test_a_seed_does_not_depend_on_what_runs_beside_it(repeated):
    alone = ts.fast_ica(
        RADEMACHER, 8, 3000, steps=40, overlap=0.5, seeds=[2], dtype="float64"
    ).overlap
    np.testing.assert_allclose(
        alone.isel(step=1).sel(seed=2), repeated[True].isel(step=1).sel(seed=2), rtol=1e-9
    )
    assert len(np.unique(repeated[True].isel(step=1))) == 3


@pytest.mark.long
def test_random_weights_begin_with_overlaps_of_the_order_of_one_over_root_N():
    found = ts.fast_ica(RADEMACHER, 50, 10, seeds=400).overlap.isel(step=0)
    np.testing.assert_allclose(float((found**2).mean()), 1 / 50, rtol=5 * np.sqrt(2 / 400))


# ---------------------------------------------------------------- online, as a problem


@pytest.mark.parametrize(("latent", "sign"), [("rademacher", -1), ("uniform", -1), ("laplace", 1)])
def test_kurtosis_is_minimised_or_maximised_as_the_latent_wants(latent, sign):
    problem = ts.ica_problem(ts.SpikedCumulant(10.0, latent, class_prior=0.3), learning_rate=0.1)
    s = jnp.linspace(-2.0, 2.0, 9)
    np.testing.assert_allclose(problem.student.activation(s), sign * s**4 / 4, rtol=1e-14)
    assert problem.task.class_prior == 1.0 and problem.loss == "correlation"
    other = ts.ica_problem(ts.SpikedCumulant(10.0, latent), learning_rate=0.1, sign=-sign)
    np.testing.assert_allclose(other.student.activation(s), -sign * s**4 / 4, rtol=1e-14)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("contrast", "latent", "turned"),
    [(contrast, latent, 1) for contrast in CONTRASTS for latent in ("rademacher", "laplace")]
    + [("kurtosis", "laplace", -1)],
)
def test_the_overlap_grows_or_with_the_other_sign_falls(contrast, latent, turned):
    task = ts.SpikedCumulant(10.0, latent)
    problem = ts.ica_problem(
        task, contrast, learning_rate=0.005, sign=turned * growing_sign(task, contrast)
    )
    m = ts.integrate(problem, ts.OrderParameters([[1.0]], m=[[0.3]]), [0.0, 50.0, 100.0]).m.values[
        :, 0, 0
    ]
    assert (turned * np.diff(m) > 1e-4).all(), m


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"N": 1}, "N = 1 is not allowed; give an integer of at least 2"),
        ({"samples": 0}, "samples = 0 is not allowed"),
        ({"steps": 0}, "steps = 0 is not allowed"),
        ({"contrast": "entropy"}, "contrast = 'entropy' is not known; known are 'kurtosis'"),
        ({"overlap": 1.2}, "overlap = 1.2 is not allowed; give a number from 0 to 1"),
        ({"overlap": -0.1}, "overlap = -0.1 is not allowed"),
        ({"overlap": [0.1, 0.2]}, "overlap = .* is a sequence"),
        ({"dtype": "float16"}, "known are 'float32', 'float64'"),
        ({"seeds": [1, 1]}, "different integers"),
        ({"device": "abacus"}, "device = 'abacus' is not on this machine"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message):
    with pytest.raises(ValueError, match=message):
        ts.fast_ica(**({"task": RADEMACHER, "N": 8, "samples": 100, "seeds": 1} | change))


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (RADEMACHER, {"contrast": "entropy"}, "contrast = 'entropy' is not known"),
        (RADEMACHER, {"sign": 2}, "sign = 2 is not allowed; give 1, -1 or None"),
        (ts.SpikedCumulant(0.0), {}, "contrast = 'kurtosis' sees nothing of this latent"),
    ],
)
def test_bad_problems_are_refused(task, options, message):
    with pytest.raises(ValueError, match=message):
        ts.ica_problem(task, learning_rate=0.1, **options)


def test_other_tasks_have_no_independent_component():
    with pytest.raises(
        ValueError,
        match="task is a MixedCumulant; independent component analysis here is for SpikedCumulant",
    ):
        check_spike(ts.MixedCumulant(1.0, 1.0))
