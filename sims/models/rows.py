"""Models whose rows of weights move by multiples of isotropic inputs: whole weights, and the exact
chain of their overlaps, from one description of an update.
"""

import abc
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sims.models.simulation import ModelSimulation
from teacherstudent.starts import orthonormal_rows, root


class Update(NamedTuple):
    """One update of the moving rows w of all rows W, with the inputs x of its S samples:

        w <- w + inputs @ x / sqrt N + rows @ W / N

    - `inputs`: shape (moving, S).
    - `rows`: shape (moving, rows of W), or None for none.
    - `others`: the new values of further parameters.
    """

    inputs: Float[Array, "moving samples"]
    rows: Float[Array, "moving rows"] | None
    others: dict[str, Array]


class RowsSimulation(ModelSimulation):
    """Rows of weights on inputs x ~ N(0, 1_N) that move by multiples of inputs and of one another.

        fields = W x^T / sqrt N
        w <- w + inputs @ x / sqrt N + rows @ W / N

    The moving rows w come first among all rows W; after them rows that stay, such as a teacher's.
    The method "reduced" draws the fields, and what the inputs have outside of the rows, from their
    exact law at this N (Gaussian fields, a Wishart matrix): the same chain at a cost that does not
    depend on N.

    To write one: `samples`, `gram`, `others`, `update` and `state_of`.
    """

    METHODS = ("weights", "reduced")

    @abc.abstractmethod
    def samples(self, model: Any) -> int:
        """The inputs S of one update."""

    @abc.abstractmethod
    def gram(self, model: Any, state: Mapping[str, np.ndarray]) -> Float[np.ndarray, "rows rows"]:
        """W W^T / N at the start."""

    def others(self, model: Any, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Further parameters at the start."""
        return {}

    @abc.abstractmethod
    def update(
        self,
        model: Any,
        t,
        fields: Float[Array, "rows samples"],
        others: dict[str, Array],
        key,
        gram: Float[Array, "rows rows"] | None,
    ) -> Update:
        """One update, from the fields of its inputs; `model` has its numbers of the time t."""

    @abc.abstractmethod
    def state_of(
        self, model: Any, gram: Float[Array, "rows rows"], others: dict[str, Array]
    ) -> dict[str, Array]:
        """The state of the model, from W W^T / N."""

    def check(self, model, N, method):
        least = self.samples(model) + 1
        if least > N:
            raise ValueError(
                f"N = {N} is less than the samples of one update and one direction, {least}; give "
                "a larger N."
            )

    def begin(self, model, state, N, generator, method):
        others = {name: np.asarray(part) for name, part in self.others(model, state).items()}
        triangle = triangular(root(np.asarray(self.gram(model, state))))
        P = len(triangle)
        if P + self.samples(model) > N:
            raise ValueError(
                f"N = {N} is less than {P + self.samples(model)}, the dimension of all weights "
                "and the inputs of one update together; give a larger N."
            )
        if method == "reduced":
            return {"rows": triangle, **others}
        frame = orthonormal_rows(generator.standard_normal((P, N)))
        return {"rows": np.sqrt(N) * triangle @ frame, **others}

    def step(self, model, N, method, number, network, key):
        rows = network["rows"]
        others = {name: part for name, part in network.items() if name != "rows"}
        of_inputs, of_update = jax.random.split(key)
        t = number / model.updates_per_time(N)
        now = jax.tree.map(lambda leaf: jnp.asarray(leaf, rows.dtype), model.at(t))
        move = _of_weights if method == "weights" else _of_chain
        return move(self, now, N, t, rows, others, of_inputs, of_update)

    def state(self, model, N, method, network):
        rows = network["rows"].astype(float)
        gram = rows @ rows.T
        if method == "weights":
            gram = gram / N
        others = {name: part for name, part in network.items() if name != "rows"}
        return self.state_of(model, gram, others)


def triangular(rows: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows rows"]:
    """The lower triangular rows with the same overlaps."""
    return np.transpose(np.linalg.qr(rows.T, mode="r"))


def _of_weights(simulation: RowsSimulation, model, N: int, t, rows, others, key, of_update):
    """One update of whole weights."""
    x = jax.random.normal(key, (simulation.samples(model), N), rows.dtype)
    fields = rows @ x.T / math.sqrt(N)
    update = simulation.update(model, t, fields, others, of_update, None)
    moving = update.inputs.shape[0]
    change = update.inputs.astype(rows.dtype) @ x / math.sqrt(N)
    if update.rows is not None:
        change += update.rows.astype(rows.dtype) @ rows / N
    return {"rows": rows.at[:moving].add(change), **_like(update.others, others)}


def _of_chain(simulation: RowsSimulation, model, N: int, t, rows, others, key, of_update):
    """One update of the chain.

    With W = sqrt N L E, where L is triangular and the rows of E are orthonormal, an input is
    z E plus what is orthogonal to E, of which an update sees S vectors: their Gram matrix is one of
    Wishart's, B B^T, with N - P degrees of freedom.
    """
    P, S = len(rows), simulation.samples(model)
    of_fields, of_rest = jax.random.split(key)
    z = jax.random.normal(of_fields, (S, P), rows.dtype)
    fields = rows @ z.T
    update = simulation.update(model, t, fields, others, of_update, rows @ rows.T)
    moving = update.inputs.shape[0]
    inputs = update.inputs.astype(rows.dtype)
    change = inputs @ z / N
    if update.rows is not None:
        change += update.rows.astype(rows.dtype) @ rows / N
    outside = (
        jnp.zeros((P, S), rows.dtype).at[:moving].set(inputs @ _bartlett(of_rest, N - P, S) / N)
    )
    wide = jnp.concatenate([rows.at[:moving].add(change), outside], axis=1)
    triangle = jnp.linalg.qr(wide.T, mode="r").T
    return {"rows": triangle, **_like(update.others, others)}


def _bartlett(key, degrees: int, S: int) -> Float[Array, "samples samples"]:
    """The triangular root of a Wishart matrix, by Bartlett's decomposition."""
    of_normals, of_squares = jax.random.split(key)
    below = jnp.tril(jax.random.normal(of_normals, (S, S)), -1)
    left = np.maximum(degrees - np.arange(S), 0) / 2
    squares = 2 * jax.random.gamma(of_squares, jnp.asarray(left))
    return below + jnp.diag(jnp.sqrt(squares))


def _like(new: dict[str, Array], old: dict[str, Array]) -> dict[str, Array]:
    """The new parameters in the types of the old ones."""
    return {name: jnp.asarray(new.get(name, part), part.dtype) for name, part in old.items()}
