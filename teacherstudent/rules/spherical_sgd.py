"""Stochastic gradient descent on the sphere."""

import jax.numpy as jnp
import numpy as np

from teacherstudent import checks
from teacherstudent.rules.base import Network, Rule
from teacherstudent.rules.sgd import SGD


class SphericalSGD(Rule):
    """SGD that puts every weight vector back on the sphere |w_k|^2 = N after each step.

        w_k <- w_k - (eta / sqrt N) < v_k g'(lambda_k) l'(phi) x >,   then   w_k <- sqrt N w_k / |w_k|

    Readout and biases move as in `SGD`.  The whole gradient is applied before the projection; removing only its radial part
    is another algorithm.  The start must have Q_kk = 1.
    """

    learning_rate: checks.Parameter
    readout_learning_rate: checks.Parameter | None = None
    bias_learning_rate: checks.Parameter | None = None

    def __init__(self, learning_rate, readout_learning_rate=None, bias_learning_rate=None):
        self.learning_rate = checks.parameter(learning_rate)
        self.readout_learning_rate = checks.parameter(readout_learning_rate)
        self.bias_learning_rate = checks.parameter(bias_learning_rate)

    def __check_init__(self):
        self.sgd.__check_init__()

    @property
    def sgd(self) -> SGD:
        """The rule before the projection."""
        return SGD(self.learning_rate, self.readout_learning_rate, bias_learning_rate=self.bias_learning_rate)

    def update(self, student: Network, gradient: Network) -> Network:
        moved = self.sgd.update(student, gradient)
        squared_norm = jnp.sum(moved.w**2, axis=-1, keepdims=True)
        return moved._replace(w=moved.w * jnp.sqrt(moved.w.shape[-1] / squared_norm))

    def check_start(self, start) -> None:
        if checks.is_traced(start.v) or checks.is_traced(start.Q):
            return
        norms = start.squared_norms
        worst = norms.flat[np.argmax(np.abs(norms - 1))]
        if abs(worst - 1) > 1e-6:
            raise ValueError(
                f"the start has a student unit with |w_k|^2 / N = {worst:g}, but SphericalSGD keeps |w_k|^2 = N: "
                "divide each w_k by its length over sqrt N (row and column k of Q, and row k of R)."
            )
