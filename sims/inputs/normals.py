"""Standard normal numbers from one key, as fast as a processor makes them.

In float32 they are our own, of two parts that are each well known:

- The words are those of `jax.random.bits`: Threefry 2x32 with 20 rounds (Salmon, Moraes, Dror &
  Shaw, SC11), a function of the key and of a counter that has no state.  JAX writes the rounds as
  a loop on a CPU, which reads and writes all words in each pass; here they are written out.
- Two words make two numbers (Box & Muller, Ann. Math. Stat. 29, 610 (1958)): a radius
  sqrt(-2 ln u) and a direction.  The words of one counter stay together, and nothing is rejected.

The radius takes 31 bits, so that no number is larger than 6.7; less than 3e-11 of a normal law is
beyond.  `tests/sims/test_normals.py` tests the stream.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

from sims.running.loop import GENERATOR
from teacherstudent.programs.compilation import computed_once

STREAM = "Threefry, Box-Muller"  # what a checkpoint says of its numbers
INPUTS, LABELS = 0, 1  # streams of one key

# By how many bits Threefry rotates in its rounds, and the constant of its key (Salmon et al. 2011).
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA

# Polynomials of least relative error, found by weighted least squares:
# -2 ln(1 + f) / f for |f| <= 1/3, to 5e-8,
LOGARITHM = (
    -2.0000000162,
    0.99999864229,
    -0.66666077661,
    0.50016055626,
    -0.40035576546,
    0.32825561732,
    -0.27807005353,
    0.30806504596,
    -0.28869533547,
)
# sin(pi t / 4) / t and cos(pi t / 4) as polynomials of t^2 for |t| <= 1, to 3e-8.
SINE = (0.78539816099, -0.080745434831, 0.0024900071278, -3.5954507735e-05)
COSINE = (0.99999997242, -0.30842425357, 0.015849915265, -0.00031888050769)
TWO_THIRDS = 0x3F2AAAAB  # the bits of 2/3 in float32
EXPONENT = -(2**23)  # the bits of sign and exponent


def normal_numbers(
    key: Key[Array, ""], size: int, dtype, stream: int = INPUTS
) -> Float[Array, " size"]:
    """`size` independent standard normal numbers, of one of the streams of this key.

    In float64 those of `jax.random.normal`.
    """
    if jnp.dtype(dtype) != jnp.float32:
        if stream != INPUTS:
            key = jax.random.fold_in(key, stream)
        return jax.random.normal(key, (size,), dtype)
    counts = jnp.arange(math.ceil(size / 2), dtype=jnp.uint32)
    pairs = polar(*words(key, jnp.full_like(counts, stream), counts))
    # One complex number for both: XLA would make all words again for the second of two arrays.
    together = computed_once(jax.lax.complex(*pairs))
    return jnp.concatenate([together.real, together.imag])[:size]


def folded(key: Key[Array, ""], number: UInt32[Array, ""]) -> Key[Array, ""]:
    """The key that `jax.random.fold_in` makes of another one, sooner."""
    pair = words(key, jnp.zeros_like(number), number)
    return jax.random.wrap_key_data(jnp.stack(pair), impl=GENERATOR)


def words(
    key: Key[Array, ""], stream: UInt32[Array, "*shape"], counts: UInt32[Array, "*shape"]
) -> tuple[UInt32[Array, "*shape"], UInt32[Array, "*shape"]]:
    """The two words of Threefry for each pair of counters."""
    first, second = jax.random.key_data(key)
    keys = (first, second, first ^ second ^ jnp.uint32(PARITY))
    x, y = stream + keys[0], counts + keys[1]
    for group in range(5):
        for bits in ROTATIONS[group % 2]:
            x = x + y
            y = x ^ _rotated(y, bits)
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return x, y


def _rotated(word: UInt32[Array, "*shape"], bits: int) -> UInt32[Array, "*shape"]:
    return (word << jnp.uint32(bits)) | (word >> jnp.uint32(32 - bits))


def polar(
    first: UInt32[Array, "*shape"], second: UInt32[Array, "*shape"]
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Two independent standard normal numbers of two words: a radius and a direction.

    Of the second word 30 bits are an angle within an eighth of a turn to either side, one says
    whether it is from the other end of the axis, and one which axis that is.
    """
    radius = jnp.sqrt(_minus_two_logarithms(first))
    angle = _signed(second << jnp.uint32(2)).astype(jnp.float32) * jnp.float32(2.0**-31)
    square = angle * angle
    across = radius * (angle * _polynomial(SINE, square))
    along = _with_sign(radius * _polynomial(COSINE, square), second)
    exchanged = (second & jnp.uint32(2**30)) != 0
    return jnp.where(exchanged, across, along), jnp.where(exchanged, along, across)


def _minus_two_logarithms(word: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """-2 ln u of the centre u of one of 2^31 equal parts of (0, 1).

    u = 2^k (1 + f) with |f| <= 1/3.
    """
    centre = _signed(word >> jnp.uint32(1)).astype(jnp.float32) + jnp.float32(0.5)
    bits = jax.lax.bitcast_convert_type(centre * jnp.float32(2.0**-31), jnp.int32)
    exponent = (bits - jnp.int32(TWO_THIRDS)) & jnp.int32(EXPONENT)
    f = jax.lax.bitcast_convert_type(bits - exponent, jnp.float32) - jnp.float32(1)
    of_exponent = exponent.astype(jnp.float32) * jnp.float32(-2 * math.log(2) * 2.0**-23)
    return f * _polynomial(LOGARITHM, f) + of_exponent


def _signed(word: UInt32[Array, "*shape"]):
    """The same bits, read as a number with a sign."""
    return jax.lax.bitcast_convert_type(word, jnp.int32)


def _with_sign(
    size: Float[Array, "*shape"], word: UInt32[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """A number that is not negative, with the first bit of a word as its sign."""
    bits = jax.lax.bitcast_convert_type(size, jnp.uint32) | (word & jnp.uint32(2**31))
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _polynomial(coefficients: tuple[float, ...], x: Float[Array, "*shape"]):
    """Horner's rule, in float32."""
    value = jnp.float32(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + jnp.float32(coefficient)
    return value
