"""Rows of weights on the inputs of a hidden manifold, with rows that see the latent.

    c ~ N(0, 1_D),   x = f(F c / sqrt D) - a
    fields = (w x / sqrt N, W c / sqrt D)
    w <- w + inputs @ x / sqrt N + rows @ w / N

The moving rows w live with the inputs, those that stay, W, with the latent; each network has a
manifold F of its own.  How the rows move is what a `RowsSimulation` says in `update`.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sims.inputs.hidden_manifold import covariances, is_exact
from teacherstudent.checking import checks
from teacherstudent.models.manifold_inputs import ManifoldInputs
from teacherstudent.starts import weights_drawn_on_inputs
from teacherstudent.states.order_parameters import OrderParameters

PARTS = ("w", "W", "features", "Omega")  # of a network; everything else is its other parameters


def begin(
    inputs: ManifoldInputs,
    start: OrderParameters,
    moving: int,
    N: int,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """A manifold, and weights on it that have exactly the overlaps of the start.

    Of the moving rows those after the student's are zero.

    Raises ValueError if no weights have these overlaps, or the covariance of the inputs is not
    known.
    """
    D = inputs.latent_dimension(N, start.teachers)
    checks.memory(f"N = {N} with D = {D}", 4 * N * (N + D))
    F = generator.standard_normal((N, D))
    F = F / np.sqrt(np.mean(F**2, axis=1, keepdims=True))
    if not is_exact(inputs.manifold, F):
        raise ValueError(
            f"the covariance of the inputs is not known for inputs.nonlinearity "
            f"{inputs.nonlinearity.name} at D = {D} latents, where features are nearly parallel; "
            "give a larger N."
        )
    known = covariances(inputs.manifold, F)
    weights = weights_drawn_on_inputs(known.Omega, known.Phi, start, generator)
    w = np.zeros((moving, N))
    w[: start.students] = weights.w
    return {"w": w, "W": weights.w_star, "features": F / np.sqrt(D), "Omega": known.Omega}


def step(simulation, model, N: int, number, network: dict[str, Array], key) -> dict[str, Array]:
    """The network after one more update, of which `number` came before."""
    w, W, features = network["w"], network["W"], network["features"]
    others = {name: part for name, part in network.items() if name not in PARTS}
    of_inputs, of_update = jax.random.split(key)
    t = number / model.updates_per_time(N)
    now = jax.tree.map(lambda leaf: jnp.asarray(leaf, w.dtype), model.at(t))
    D = features.shape[1]
    c = jax.random.normal(of_inputs, (simulation.samples(model), D), w.dtype)
    inputs = model.inputs
    shift = inputs.manifold.shift
    x = (inputs.nonlinearity(c @ features.T) - shift).astype(w.dtype)
    fields = jnp.concatenate([w @ x.T / math.sqrt(N), W @ c.T / math.sqrt(D)])
    update = simulation.update(now, t, fields, others, of_update, None)
    change = update.inputs.astype(w.dtype) @ x / math.sqrt(N)
    if update.rows is not None:
        change += update.rows[:, : len(w)].astype(w.dtype) @ w / N
    moved = {name: jnp.asarray(part, others[name].dtype) for name, part in update.others.items()}
    return {**network, **moved, "w": w + change}


def gram(inputs: ManifoldInputs, network: dict[str, Array]) -> Float[Array, "rows rows"]:
    """The covariance of the fields of all rows, by the exact moments of this manifold."""
    w, W, features, Omega = (jnp.asarray(network[name], float) for name in PARTS)
    N, D = features.shape
    Q = w @ Omega @ w.T / N
    R = inputs.manifold.coefficients.b * w @ features @ W.T / math.sqrt(N * D)
    return jnp.block([[Q, R], [R.T, W @ W.T / D]])
