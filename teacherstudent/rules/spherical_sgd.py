"""Stochastic gradient descent on the sphere."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.checking import checks
from teacherstudent.rules.base import DescentRule, replacing
from teacherstudent.rules.sgd import SGD


class SphericalSGD(DescentRule):
    """SGD that puts every weight vector back on the sphere |w_k|^2 = N after each step.

        w_k <- w_k - (eta / sqrt N) < v_k g'(lambda_k) l'(phi) x >
        w_k <- sqrt N w_k / |w_k|

    Readout and biases move as in `SGD`.  The whole gradient is applied before the projection;
    removing only its radial part is another algorithm.  The start must have Q_kk = 1; ValueError
    otherwise.  Time is t = updates / N.

    - `learning_rate`, `readout_learning_rate`, `bias_learning_rate`: eta, eta_v, eta_b.

    `optax()`: each row of a matrix (the weights into one unit) keeps its length; other tensors move
    as in SGD.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.SphericalSGD(learning_rate=1.0)
    >>> layers = {"w": np.array([[2.0, 0.0, 0.0, 0.0]])}
    >>> gradient = {"w": np.array([[2.0, -3.0, 0.0, 0.0]])}
    >>> moved, memory = rule.update(layers, gradient, rule.memory(layers), N=4)
    >>> moved["w"].tolist()
    [[0.0, 2.0, 0.0, 0.0]]
    """

    rotation_invariant = True

    @property
    def sgd(self) -> SGD:
        """The rule before the projection."""
        return SGD(
            self.learning_rate,
            self.readout_learning_rate,
            bias_learning_rate=self.bias_learning_rate,
        )

    def update(self, layers, gradient, memory, N):
        moved, memory = self.sgd.update(layers, gradient, memory, N)
        moved["w"] = with_row_lengths(moved["w"], N**0.5)
        return moved, memory

    def optax(self):
        eta = self.rate

        def init(params):
            return ()

        def moved(W, g):
            free = W - jnp.asarray(eta, W.dtype) * g
            if W.ndim != 2:
                return free
            return with_row_lengths(free, jnp.linalg.norm(W, axis=-1, keepdims=True))

        def step(params, gradients, state):
            return jax.tree.map(moved, params, gradients), state

        return replacing(init, step)

    def start_weights(self, w):
        return unit_rows(w)

    def check_start(self, start) -> None:
        check_unit_rows(start, "SphericalSGD")


def with_row_lengths(w: Float[Array, "rows inputs"], length) -> Float[Array, "rows inputs"]:
    """The rows at another length; a row of zeros stays."""
    norm = jnp.linalg.norm(w, axis=-1, keepdims=True)
    safe = jnp.where(norm > 0, norm, 1.0)
    return w * jnp.where(norm > 0, length / safe, 1.0)


def unit_rows(w: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows inputs"]:
    """The rows at the length sqrt N; a row of zeros stays."""
    length = np.linalg.norm(w, axis=-1, keepdims=True)
    return w * np.sqrt(w.shape[-1]) / np.where(length > 0, length, 1.0)


def check_unit_rows(start, rule: str) -> None:
    """Raise ValueError unless |w_k|^2 = N for all student units."""
    if checks.is_traced(start.v) or checks.is_traced(start.Q):
        return
    norms = start.squared_norms
    worst = norms.flat[np.argmax(np.abs(norms - 1))]
    if abs(worst - 1) > 1e-6:
        raise ValueError(
            f"the start has a student unit with |w_k|^2 / N = {worst:g}, but {rule} keeps |w_k|^2 "
            "= N: divide each w_k by its length over sqrt N (row and column k of Q, and row k of "
            "R)."
        )
