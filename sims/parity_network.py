"""An ordinary two-layer network on multitask sparse parity, whose skills are measured.

Inputs are a one-hot index k of the skill (control bits) and random bits x; the target is S times
the parity of the bits that belong to skill k.  f = v . relu(W [control, x] + b) + c is trained by
descent on (f - target)^2 / 2, and the strengths are measured on fresh samples,

    R_k = E[f g_k | index k].

Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from teacherstudent.checking import arguments, checks
from teacherstudent.models.sparse_parity import SparseParity

TEST_SAMPLES = 2048  # of each skill, at each recorded time


class Network(NamedTuple):
    """W (width, skills + bits), b (width,), v (width,) and c."""

    W: Float[Array, "width inputs"]
    b: Float[Array, " width"]
    v: Float[Array, " width"]
    c: Float[Array, ""]


@arguments.checked
def train_parity_network(
    model: SparseParity,
    updates,
    *,
    bits: int = 16,
    order: int = 3,
    width: int = 512,
    seeds=1,
) -> xr.Dataset:
    """Train two-layer ReLU networks on multitask sparse parity and measure their skills.

        f = v . relu(W [control, x] + b) + c,   R_k = E[f g_k | index k]

    on inputs of `model.skills` control bits, of which one is 1, and of bits x = +-1.  Each update
    is a step of descent with `model.learning_rate` on the mean of (f - S g_k)^2 / 2 over
    `model.batch_size` fresh samples, the index k with probability P_k.  Weights begin uniform, up
    to one over the root of the number of inputs of their layer.

    - `updates`: numbers of updates after which skills are measured, on 2048 fresh samples each; the
      coordinate `time` of the result.
    - `bits`: the number of bits x; `order`: how many of them a skill's parity is of, drawn by each
      seed.
    - `width`: the number of hidden units.
    - `seeds`: a number of them, or the seeds.

    The result has `strength` (seed, time, skill) and `loss` (seed, time), sum_k P_k times the loss
    measured for skill k.  There is no theory of these networks: `ts.skill_curves`, with its time
    multiplied by one constant (`ts.fit_time_scale`), is compared with them.

    Raises ValueError if the model has sequences or schedules, or a number is not allowed.

    Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563).

    >>> import teacherstudent as ts
    >>> model = ts.SparseParity(skills=2, target=1.0, learning_rate=0.1, batch_size=32)
    >>> networks = ts.train_parity_network(model, [0, 10], bits=6, order=2, width=16)
    >>> networks.strength.dims
    ('seed', 'time', 'skill')
    """
    if model.sweeps or model.changes_with_time:
        raise ValueError("model has sequences or schedules; give one number for each.")
    steps = _steps(updates)
    bits = checks.integer("bits", bits)
    order = checks.integer("order", order, maximum=bits)
    width = checks.integer("width", width)
    chosen = checks.seeds(seeds)
    parts = [_trained(model, steps, bits, order, width, seed) for seed in chosen]
    strengths, losses = (np.stack(part) for part in zip(*parts, strict=True))
    strength = {"long_name": "strength of the skills", "symbol": r"$\mathcal{R}_k$", "units": "1"}
    loss = {"long_name": "loss on fresh samples", "symbol": r"$\hat E\ell$", "units": "1"}
    return xr.Dataset(
        {
            "strength": (("seed", "time", "skill"), strengths, strength),
            "loss": (("seed", "time"), losses, loss),
        },
        coords={"seed": chosen, "time": steps},
    )


def _steps(updates) -> Int[np.ndarray, " times"]:
    """The numbers of updates, which increase."""
    given = checks.times(updates)
    if (given != np.round(given)).any():
        raise ValueError(
            f"updates has the entry {given[given != np.round(given)][0]:g}; give integers."
        )
    return given.astype(int)


def _trained(model, steps, bits: int, order: int, width: int, seed: int):
    """The strengths (time, skill) and losses (time,) of one network."""
    rng = np.random.default_rng(seed)
    subsets = np.stack([rng.permutation(bits)[:order] for _ in range(model.skills)])
    P = np.asarray(model.frequencies, np.float32)
    start, training, test = jax.random.split(jax.random.key(seed), 3)
    network = _begun(start, model.skills + bits, width)
    numbers = jnp.asarray([model.target, model.learning_rate], jnp.float32)
    strengths, losses = [], []
    done = 0
    for step in steps:
        count = int(step) - done
        network = _advanced(
            network, training, done, count, jnp.log(P), subsets, numbers, model.batch_size, bits
        )
        done = int(step)
        key = jax.random.fold_in(test, done)
        strength, loss = _measured(network, key, subsets, numbers[0], bits)
        strengths.append(np.asarray(strength, np.float64))
        losses.append(float(np.asarray(loss, np.float64) @ P))
    return np.stack(strengths), np.asarray(losses)


def _begun(key, inputs: int, width: int) -> Network:
    keys = jax.random.split(key, 4)

    def uniform(key, shape, fan_in):
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

    return Network(
        uniform(keys[0], (width, inputs), inputs),
        uniform(keys[1], (width,), inputs),
        uniform(keys[2], (width,), width),
        uniform(keys[3], (), width),
    )


def _output(network: Network, skill, x) -> Float[Array, " samples"]:
    """f, without writing out the control bits: they choose a column of W."""
    skills = network.W.shape[1] - x.shape[1]
    of_control = network.W[:, :skills].T[skill]
    hidden = jax.nn.relu(of_control + x @ network.W[:, skills:].T + network.b[None, :])
    return hidden @ network.v + network.c


def _parity(subsets, skill, x):
    """g_k of each sample."""
    return jnp.prod(jnp.take_along_axis(x, jnp.asarray(subsets)[skill], axis=1), axis=1)


@partial(jax.jit, static_argnames=("batch_size", "bits"))
def _advanced(network, key, done, count, log_P, subsets, numbers, batch_size, bits) -> Network:
    """`count` more updates after the first `done` ones."""
    target, rate = numbers

    def loss(network, skill, x):
        return jnp.mean((_output(network, skill, x) - target * _parity(subsets, skill, x)) ** 2) / 2

    def update(number, network):
        of_skill, of_bits = jax.random.split(jax.random.fold_in(key, done + number))
        skill = jax.random.categorical(of_skill, log_P, shape=(batch_size,))
        x = jax.random.rademacher(of_bits, (batch_size, bits), jnp.float32)
        gradient = jax.grad(loss)(network, skill, x)
        return jax.tree.map(lambda one, slope: one - rate * slope, network, gradient)

    return jax.lax.fori_loop(0, count, update, network)


@partial(jax.jit, static_argnames=("bits",))
def _measured(network, key, subsets, target, bits):
    """R_k and the loss of each skill, on fresh samples."""

    def of_skill(k, key):
        x = jax.random.rademacher(key, (TEST_SAMPLES, bits), jnp.float32)
        skill = jnp.full(TEST_SAMPLES, k)
        f, g = _output(network, skill, x), _parity(subsets, skill, x)
        return jnp.mean(f * g), jnp.mean((f - target * g) ** 2) / 2

    skills = len(subsets)
    return jax.vmap(of_skill)(jnp.arange(skills), jax.random.split(key, skills))
