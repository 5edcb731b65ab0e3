"""Signum: sign-SGD with momentum."""

import equinox as eqx
import jax
import jax.numpy as jnp

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.sign_sgd import SignSGD


class Signum(SignSGD):
    """The sign of a running mean of the gradients.

        m <- beta m + (1 - beta) g,   w_ki <- w_ki - (eta / sqrt N) sign(m_ki)
        v_k <- v_k - (eta_v / N) sign(m_k),   m = 0 before

    with beta fixed as N grows, 0 <= beta < 1.  No bias correction: the sign knows no scale.
    J. Bernstein et al., ICML 2018 (arXiv:1802.04434), algorithm 2.  `optax()` is `optax.signum`.
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
        m = running_mean(self.beta, memory, dict(gradient))
        return self.step_by(layers, jax.tree.map(jnp.sign, m), N), m

    def optax(self):
        import optax

        return optax.signum(self.rate, self.beta)


def running_mean(beta: float, memory, gradient):
    """beta m + (1 - beta) g, leaf by leaf."""
    return jax.tree.map(lambda m, g: beta * m + (1 - beta) * g, memory, gradient)
