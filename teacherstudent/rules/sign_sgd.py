"""Sign-SGD: every weight moves by the same amount, with the sign of its gradient."""

import jax
import jax.numpy as jnp

from teacherstudent.rules.base import DescentRule


class SignSGD(DescentRule):
    """SGD with the sign of each entry of the batch-averaged gradient; sign(0) = 0.

        w_ki <- w_ki - (eta / sqrt N) sign(d l / d w_ki)
        v_k  <- v_k  - (eta_v / N)    sign(d l / d v_k)
        b_k  <- b_k  - (eta_b / N)    sign(d l / d b_k)

    so that overlaps change by O(1) in t = updates / N.

    - `learning_rate`: eta.
    - `readout_learning_rate`, `bias_learning_rate`: eta_v and eta_b; the same unless given.

    J. Bernstein et al., ICML 2018 (arXiv:1802.04434). Departure: their later code takes
    sign(0) = +1, which adds a constant vector at each step of a dead unit and makes Q grow like N.

    `optax()` is `optax.sign_sgd`.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.SignSGD(learning_rate=0.5)
    >>> layers = {"w": np.ones((1, 4))}
    >>> gradient = {"w": np.array([[0.1, 0.0, 0.0, -2.0]])}
    >>> moved, memory = rule.update(layers, gradient, rule.memory(layers), N=4)
    >>> moved["w"].tolist()
    [[0.75, 1.0, 1.0, 1.25]]
    """

    def update(self, layers, gradient, memory, N):
        signs = jax.tree.map(jnp.sign, dict(gradient))
        return self.step_by(layers, signs, N), memory

    def step_by(self, layers, signs, N):
        """The layers after a step along signs."""
        return self.descend(layers, signs, self.learning_rate / N**0.5, N)

    def optax(self):
        import optax

        return optax.sign_sgd(self.rate)
