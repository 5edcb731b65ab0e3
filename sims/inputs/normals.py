"""Standard normal numbers from one key, as fast as the generator allows."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def normal_numbers(key: Key[Array, ""], size: int, dtype) -> Float[Array, " size"]:
    """`size` independent standard normal numbers.

    In float32, both 32-bit words of each call of the generator are used, where `jax.random.normal`
    leaves one: about half of the time.  z = sqrt 2 erf^(-1)(u), u the centres of 2^24 equal parts
    of (-1, 1).
    """
    if jnp.dtype(dtype) != jnp.float32:
        return jax.random.normal(key, (size,), dtype)
    words = jax.random.bits(key, (math.ceil(size / 2),), jnp.uint64)
    halves = jnp.concatenate(
        [words.astype(jnp.uint32), (words >> jnp.uint64(32)).astype(jnp.uint32)]
    )[:size]
    signed = jax.lax.shift_right_arithmetic(
        jax.lax.bitcast_convert_type(halves, jnp.int32), jnp.int32(8)
    )
    u = (signed.astype(jnp.float32) + jnp.float32(0.5)) * jnp.float32(2.0**-23)
    return jnp.float32(math.sqrt(2)) * jax.lax.erf_inv(u)
