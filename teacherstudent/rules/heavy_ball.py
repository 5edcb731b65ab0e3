"""SGD with momentum."""

import jax
import jax.numpy as jnp
import numpy as np

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import DescentRule, replacing, single_rate


class HeavyBall(DescentRule):
    """SGD with momentum (Polyak's heavy ball), in one of two scalings.

    `beta` given, fixed as N grows, 0 <= beta < 1:

        m <- beta m + g,   layer <- layer - rate m,
        rate = eta for w (its gradient has 1 / sqrt N), eta_v / N for v, eta_b / N for b

    which in the limit is SGD with all rates over 1 - beta.  Or `gamma` given, a memory of N / gamma
    updates:

        m <- (1 - gamma / N) m + s g,   layer <- layer - (rate / N) m,   s = 1 for w, 1 / N for v and b, rate = eta, eta_v, eta_b

    whose memory lasts a time 1 / gamma in t = updates / N.  m = 0 at the start.  As gamma and the
    rates grow together this is SGD with rates eta / gamma.

    B. T. Polyak, USSR Comput. Math. Math. Phys. 4, 1 (1964).  `optax()`: m <- beta m + g, W <- W -
    eta m (`optax.sgd` with momentum).
    """

    rotation_invariant = True
    beta: checks.Parameter | None = None
    gamma: checks.Parameter | None = None

    @arguments.of("rule.")
    def __init__(
        self,
        learning_rate,
        beta=None,
        gamma=None,
        readout_learning_rate=None,
        bias_learning_rate=None,
    ):
        super().__init__(learning_rate, readout_learning_rate, bias_learning_rate)
        self.beta, self.gamma = checks.parameter(beta), checks.parameter(gamma)

    def __check_init__(self):
        check_memory(self.beta, self.gamma)

    def check_dimension(self, N: int) -> None:
        check_gamma(self.gamma, N)

    def memory(self, layers):
        return jax.tree.map(jnp.zeros_like, dict(layers))

    def update(self, layers, gradient, memory, N):
        if self.beta is not None:
            m = jax.tree.map(lambda m, g: self.beta * m + g, memory, dict(gradient))
            return self.descend(layers, m, self.learning_rate, N), m
        scale = {"w": 1.0, "v": 1 / N, "b": 1 / N}
        forget = self.gamma / N  # not (1 - gamma / N) m: in float32 that is another gamma
        m = {name: m + (scale[name] * gradient[name] - forget * m) for name, m in memory.items()}
        return self.descend(layers, m, self.learning_rate / N, N), m

    def optax(self):
        if self.beta is None:
            raise ValueError(
                "rule.gamma is the memory relative to N, which ordinary networks do not have; "
                "give beta."
            )
        eta, beta = self.rate, single_rate(self.beta, "beta")

        def step(params, gradients, memory):
            m = jax.tree.map(lambda m, g: jnp.asarray(beta, m.dtype) * m + g, memory, gradients)
            return jax.tree.map(lambda W, m: W - jnp.asarray(eta, W.dtype) * m, params, m), m

        return replacing(lambda params: jax.tree.map(jnp.zeros_like, params), step)


def check_gamma(gamma, N: int) -> None:
    """Raise ValueError if the memory N / gamma is shorter than one update."""
    if gamma is not None and np.max(gamma) > N:
        raise ValueError(
            f"rule.gamma = {np.max(gamma):g} is more than N = {N}; a memory of N / gamma updates "
            "needs at least one."
        )


def check_memory(beta, gamma) -> None:
    """Raise ValueError unless either beta in [0, 1) or gamma > 0 is given."""
    if (beta is None) == (gamma is None):
        raise ValueError(
            f"rule.beta and rule.gamma are {'both' if beta is not None else 'not'} given; give "
            "beta, a memory of 1 / (1 - beta) updates, or gamma, a memory of N / gamma updates."
        )
    if beta is None:
        checks.number("rule.gamma", gamma, strict=True)
    else:
        checks.fraction("rule.beta", beta)
