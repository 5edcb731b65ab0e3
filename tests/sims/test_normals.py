"""The stream of normal numbers: its words are JAX's, its law is the normal one, and numbers of
different places, steps, seeds and streams are independent.

Tests of a law are at fixed keys, so that they pass or fail for ever; p-values are to be above 1e-4.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from sims.inputs.normals import LABELS, folded, normal_numbers, polar, words
from sims.inputs.source import label_noise, normal_rows
from sims.reduced.lengths import LIMITS
from sims.running.loop import TESTING, TRAINING, stream_keys
from sims.weights.steps import sample_keys

LEAST_P = 1e-4
SIZE = 2**21
SEEDS_OF_TAILS = 24


def drawn(key, size: int = SIZE, stream: int = 0) -> np.ndarray:
    draw = jax.jit(normal_numbers, static_argnums=(1, 2, 3))
    return np.asarray(draw(key, size, "float32", stream), np.float64)


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    return drawn(jax.random.key(0))


def assert_uncorrelated(x, y) -> None:
    """Neither the numbers nor their squares (which a common radius would correlate)."""
    for a, b in ((x, y), (x**2, y**2), (np.abs(x), y), (x, np.abs(y))):
        z = np.corrcoef(a.ravel(), b.ravel())[0, 1] * math.sqrt(x.size)
        assert 2 * stats.norm.sf(abs(z)) > LEAST_P


def test_the_words_are_those_of_jax():
    for seed in (0, 7, 2**32 - 1):
        key = jax.random.key(jnp.uint32(seed), impl="threefry2x32")
        counts = jnp.arange(1000, dtype=jnp.uint32)
        high, low = words(key, jnp.zeros_like(counts), counts)
        with jax.enable_x64(True):
            theirs = np.asarray(jax.random.bits(key, (1000,), jnp.uint64))
        ours = np.asarray(high, np.uint64) << np.uint64(32) | np.asarray(low, np.uint64)
        np.testing.assert_array_equal(ours, theirs)


def test_keys_are_folded_as_by_jax():
    key = stream_keys([5], TRAINING)[0]
    for number in (0, 1, 2**32 - 1):
        number = jnp.uint32(number)
        ours, theirs = folded(key, number), jax.random.fold_in(key, number)
        np.testing.assert_array_equal(jax.random.key_data(ours), jax.random.key_data(theirs))


def test_whatever_generator_jax_has_as_its_default_the_numbers_are_the_same():
    keys = stream_keys([3], TRAINING)
    with jax.default_prng_impl("rbg"):
        others = stream_keys([3], TRAINING)
        np.testing.assert_array_equal(drawn(others[0], 50), drawn(keys[0], 50))


def test_the_numbers_are_those_of_the_formula():
    """Box and Muller's, in float64."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2**32, (2, 10**5), dtype=np.uint32)
    first[:4] = [0, 1, 2**32 - 1, 2**31]
    second[:4] = [0, 2**30, 2**31, 2**32 - 1]
    radius = np.sqrt(-2 * np.log(((first >> 1) + 0.5) * 2.0**-31))
    angle = (second << np.uint32(2)).astype(np.uint32).view(np.int32) * (np.pi / 4 * 2.0**-31)
    along = np.where(second >> 31, -1, 1) * radius * np.cos(angle)
    across = radius * np.sin(angle)
    exchanged = (second >> 30) & 1
    theirs = np.where(exchanged, across, along), np.where(exchanged, along, across)
    ours = polar(jnp.asarray(first), jnp.asarray(second))
    # A small radius has few digits, since those of u near 1 are rounded to float32.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=4e-4)
    large = radius > 0.1
    np.testing.assert_allclose(
        np.stack(ours)[:, large], np.stack(theirs)[:, large], rtol=0, atol=2e-6
    )
    assert np.isfinite(ours).all()
    # The largest number, which the polynomials of lengths have to know.
    assert 6.66 < float(ours[0][0]) < LIMITS["float32"][0]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_there_are_as_many_as_asked_for(size):
    numbers = drawn(jax.random.key(1), size)
    assert numbers.shape == (size,) and np.isfinite(numbers).all()


def test_float64_is_left_to_jax():
    key = jax.random.key(4)
    with jax.enable_x64(True):
        ours, theirs = normal_numbers(key, 9, "float64"), jax.random.normal(key, (9,), "float64")
    np.testing.assert_array_equal(ours, theirs)


def test_moments(numbers):
    """Up to the eighth; the variance of the mean of z^p is (2p-1)!! - ((p-1)!!)^2."""
    for p in range(1, 9):
        expected = math.prod(range(p - 1, 0, -2)) if p % 2 == 0 else 0
        variance = math.prod(range(2 * p - 1, 0, -2)) - expected**2
        z = ((numbers**p).mean() - expected) / math.sqrt(variance / SIZE)
        assert 2 * stats.norm.sf(abs(z)) > LEAST_P, (p, z)


def test_the_law_of_one_number(numbers):
    """Kolmogorov-Smirnov and Anderson-Darling, of both halves, in which pairs have their parts."""
    for part in (numbers, numbers[: SIZE // 2], numbers[SIZE // 2 :]):
        assert stats.kstest(part, "norm").pvalue > LEAST_P
        # A^2 of a law that is known completely: 6.0 is exceeded with probability 1e-3.
        u = np.sort(stats.norm.cdf(part))
        odd = 2 * np.arange(1, len(u) + 1) - 1
        statistic = -len(u) - np.mean(odd * (np.log(u) + np.log1p(-u[::-1])))
        assert statistic < 6.0


def test_bins_of_equal_probability(numbers):
    edges = stats.norm.ppf(np.linspace(0, 1, 4097)[1:-1])
    counts = np.bincount(np.searchsorted(edges, numbers), minlength=4096)
    assert stats.chisquare(counts).pvalue > LEAST_P


def test_tails():
    """As many numbers beyond 3, 4, 4.5 and 5 as there ought to be, on either side."""
    bounds = [3.0, 4.0, 4.5, 5.0]
    counts = np.zeros((2, len(bounds)), int)
    for seed in range(SEEDS_OF_TAILS):
        numbers = drawn(stream_keys([seed], TRAINING)[0])
        counts += [[(sign * numbers > bound).sum() for bound in bounds] for sign in (1, -1)]
    probabilities = np.tile(stats.norm.sf(bounds), 2)
    for count, probability in zip(counts.ravel(), probabilities, strict=True):
        assert stats.binomtest(int(count), SEEDS_OF_TAILS * SIZE, probability).pvalue > LEAST_P


def test_no_part_of_the_circle_is_preferred(numbers):
    """Pairs are Gaussian together: angles and radii are uniform, and independent."""
    x, y = numbers.reshape(2, -1)
    angle = np.arctan2(y, x) / (2 * np.pi) % 1
    inside = np.exp(-(x**2 + y**2) / 2)
    for uniform in (angle, inside, angle * 8 % 1):
        assert stats.kstest(uniform, "uniform").pvalue > LEAST_P
    cells = np.histogram2d(angle, inside, bins=(64, 64), range=((0, 1), (0, 1)))[0]
    assert stats.chisquare(cells.ravel()).pvalue > LEAST_P


def test_neighbours_and_the_two_of_a_pair_are_uncorrelated(numbers):
    for lag in (1, 2, 3, 8, 500, 1000):
        assert_uncorrelated(numbers[:-lag], numbers[lag:])
    assert_uncorrelated(*numbers.reshape(2, -1))


def test_sums_are_normal(numbers):
    """Sums and sums of squares of 128 neighbours, which see long correlations."""
    rows = numbers.reshape(-1, 128)
    assert stats.kstest(rows.sum(axis=1) / math.sqrt(128), "norm").pvalue > LEAST_P
    assert stats.kstest((rows**2).sum(axis=1), stats.chi2(128).cdf).pvalue > LEAST_P


def test_the_spectrum_is_flat(numbers):
    """The periodogram of independent numbers is exponential, at every frequency."""
    power = np.abs(np.fft.rfft(numbers)[1:-1]) ** 2 / SIZE
    assert stats.kstest(power, "expon").pvalue > LEAST_P
    assert stats.kstest(power[:2000], "expon").pvalue > LEAST_P


def test_steps_seeds_and_streams_are_independent():
    """Inputs of steps that follow each other, of seeds beside each other, of training and testing,
    and the label noise: as simulations draw them.
    """
    steps, N = 256, 512
    of_steps = jax.jit(
        lambda key: normal_rows(
            sample_keys(key, jnp.arange(steps, dtype=jnp.uint32), 1), N, jnp.float32
        )
    )
    streams = {
        (seed, which): np.asarray(of_steps(stream_keys([seed], which)[0]), np.float64)
        for seed in range(4)
        for which in (TRAINING, TESTING)
    }
    first = streams[0, TRAINING]
    assert_uncorrelated(first[:-1], first[1:])
    for other, numbers in streams.items():
        if other != (0, TRAINING):
            assert_uncorrelated(first, numbers)
    together = np.concatenate([one.ravel() for one in streams.values()])
    assert len(np.unique(together)) > 0.8 * len(together)  # in float32 some meet
    assert stats.kstest(together, "norm").pvalue > LEAST_P
    # The Gram matrix of the steps' inputs is Wishart's: its trace of squares has a known law.
    gram = first @ first.T / math.sqrt(N)
    above = gram[np.triu_indices(steps, 1)]
    assert abs(above.mean()) < 4 / math.sqrt(above.size)
    assert abs(above.var() - 1) < 4 * math.sqrt((2 + 6 / N) / above.size)


def test_label_noise_is_independent_of_the_inputs():
    keys = sample_keys(stream_keys([0], TRAINING)[0], jnp.arange(2**16, dtype=jnp.uint32), 1)
    noise = np.asarray(jax.jit(lambda keys: label_noise(keys, jnp.float32))(keys), np.float64)
    x = np.asarray(jax.jit(lambda keys: normal_rows(keys, 4, jnp.float32))(keys), np.float64)
    assert stats.kstest(noise, "norm").pvalue > LEAST_P
    assert_uncorrelated(noise[:-1], noise[1:])
    for column in x.T:
        assert_uncorrelated(noise, column)
    key = stream_keys([0], TRAINING)[0]
    assert_uncorrelated(drawn(key, 2**16), drawn(key, 2**16, LABELS))
