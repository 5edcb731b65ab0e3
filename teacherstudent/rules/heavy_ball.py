"""SGD with momentum."""

import jax
import jax.numpy as jnp
import numpy as np

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import DescentRule, replacing, single_rate


class HeavyBall(DescentRule):
    """SGD with momentum (Polyak's heavy ball), in one of two scalings; m = 0 at the start.

    `beta` given, fixed as N grows, 0 <= beta < 1:

        m     <- beta m + g
        layer <- layer - rate m,   rate = eta for w, eta_v / N for v, eta_b / N for b

    (the gradient of w has its 1 / sqrt N), which in the limit is SGD with all rates over 1 - beta.

    `gamma` given, a memory of N / gamma updates:

        m     <- (1 - gamma / N) m + s g,   s = 1 for w, 1 / N for v and b
        layer <- layer - (rate / N) m,      rate = eta, eta_v, eta_b

    whose memory lasts a time 1 / gamma in t = updates / N.  As gamma and the rates grow together
    this is SGD with rates eta / gamma.

    - `learning_rate`: eta.
    - `readout_learning_rate`, `bias_learning_rate`: eta_v and eta_b; the same unless given.

    Raises ValueError unless one of `beta` and `gamma` is given.

    B. T. Polyak, USSR Comput. Math. Math. Phys. 4, 1 (1964).  `optax()`: m <- beta m + g,
    W <- W - eta m (`optax.sgd` with momentum).

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.HeavyBall(learning_rate=0.5, beta=0.5)
    >>> layers, gradient = {"w": np.ones((1, 2))}, {"w": np.array([[1.0, -2.0]])}
    >>> memory = rule.memory(layers)
    >>> for update in range(2):
    ...     layers, memory = rule.update(layers, gradient, memory, N=2)
    >>> layers["w"].tolist(), memory["w"].tolist()
    ([[-0.25, 3.5]], [[1.5, -3.0]])
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
        self.beta = checks.parameter(beta)
        self.gamma = checks.parameter(gamma)

    def __check_init__(self):
        check_memory(self.beta, self.gamma)

    def check_dimension(self, N: int) -> None:
        check_gamma(self.gamma, N)

    def memory(self, layers):
        return jax.tree.map(jnp.zeros_like, dict(layers))

    def update(self, layers, gradient, memory, N):
        if self.beta is not None:
            return self._update_with_beta(layers, gradient, memory, N)
        return self._update_with_gamma(layers, gradient, memory, N)

    def _update_with_beta(self, layers, gradient, memory, N):
        momentum = {}
        for name in layers:
            momentum[name] = self.beta * memory[name] + gradient[name]
        return self.descend(layers, momentum, self.learning_rate, N), momentum

    def _update_with_gamma(self, layers, gradient, memory, N):
        scale = {"w": 1.0, "v": 1 / N, "b": 1 / N}
        forget = self.gamma / N
        momentum = {}
        for name in layers:
            m = memory[name]
            # Not (1 - gamma / N) m: in float32 that is another gamma.
            momentum[name] = m + (scale[name] * gradient[name] - forget * m)
        return self.descend(layers, momentum, self.learning_rate / N, N), momentum

    def optax(self):
        if self.beta is None:
            raise ValueError(
                "rule.gamma is the memory relative to N, which ordinary networks do not have; "
                "give beta."
            )
        eta = self.rate
        beta = single_rate(self.beta, "beta")

        def init(params):
            return jax.tree.map(jnp.zeros_like, params)

        def momentum(m, g):
            return jnp.asarray(beta, m.dtype) * m + g

        def moved(W, m):
            return W - jnp.asarray(eta, W.dtype) * m

        def step(params, gradients, memory):
            memory = jax.tree.map(momentum, memory, gradients)
            return jax.tree.map(moved, params, memory), memory

        return replacing(init, step)


def check_gamma(gamma, N: int) -> None:
    """Raise ValueError if the memory N / gamma is shorter than one update."""
    if gamma is not None and np.max(gamma) > N:
        raise ValueError(
            f"rule.gamma = {np.max(gamma):g} is more than N = {N}; a memory of N / gamma updates "
            "needs at least one."
        )


def check_memory(beta, gamma) -> None:
    """Raise ValueError unless either beta in [0, 1) or gamma > 0 is given."""
    choice = (
        "give beta, a memory of 1 / (1 - beta) updates, or gamma, a memory of N / gamma updates."
    )
    if beta is None and gamma is None:
        raise ValueError(f"rule.beta and rule.gamma are not given; {choice}")
    if beta is not None and gamma is not None:
        raise ValueError(f"rule.beta and rule.gamma are both given; {choice}")
    if beta is None:
        checks.number("rule.gamma", gamma, strict=True)
    else:
        checks.fraction("rule.beta", beta)
