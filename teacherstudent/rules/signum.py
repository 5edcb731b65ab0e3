"""Signum: sign-SGD with momentum."""

import equinox as eqx
import jax
import jax.numpy as jnp

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.sign_sgd import SignSGD


class Signum(SignSGD):
    """The sign of a running mean of the gradients.

        m    <- beta m + (1 - beta) g,   m = 0 before the first update
        w_ki <- w_ki - (eta / sqrt N) sign(m_ki)
        v_k  <- v_k  - (eta_v / N)    sign(m_k),   and the same with eta_b for b

    - `beta`: the memory, fixed as N grows, 0 <= beta < 1; 0.9 unless given.
    - `learning_rate`, `readout_learning_rate`, `bias_learning_rate`: eta, eta_v, eta_b, as in
      `SignSGD`.

    No bias correction: the sign knows no scale.  Time is t = updates / N.
    J. Bernstein et al., ICML 2018 (arXiv:1802.04434), algorithm 2.  `optax()` is `optax.signum`.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.Signum(learning_rate=0.5, beta=0.75)
    >>> layers = {"w": np.ones((1, 4))}
    >>> gradient = {"w": np.array([[4.0, 0.0, 0.0, -8.0]])}
    >>> moved, memory = rule.update(layers, gradient, rule.memory(layers), N=4)
    >>> moved["w"].tolist(), memory["w"].tolist()
    ([[0.75, 1.0, 1.0, 1.25]], [[1.0, 0.0, 0.0, -2.0]])
    """

    beta: float = eqx.field(static=True, default=0.9)

    @arguments.of("rule.")
    def __init__(
        self, learning_rate, beta=0.9, readout_learning_rate=None, bias_learning_rate=None
    ):
        super().__init__(learning_rate, readout_learning_rate, bias_learning_rate)
        self.beta = checks.fraction_of_one("rule.beta", beta)

    def memory(self, layers):
        return jax.tree.map(jnp.zeros_like, dict(layers))

    def update(self, layers, gradient, memory, N):
        mean = running_mean(self.beta, memory, dict(gradient))
        signs = jax.tree.map(jnp.sign, mean)
        return self.step_by(layers, signs, N), mean

    def optax(self):
        import optax

        return optax.signum(self.rate, self.beta)


def running_mean(beta: float, memory, gradient):
    """beta m + (1 - beta) g, leaf by leaf."""

    def leaf_mean(m, g):
        return beta * m + (1 - beta) * g

    return jax.tree.map(leaf_mean, memory, gradient)
