"""Online stochastic gradient descent with the scalings of the high-dimensional limit."""

import jax
import jax.numpy as jnp

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import DescentRule, replacing, single_rate


class SGD(DescentRule):
    """Stochastic gradient descent, one fresh mini-batch per step, with optional weight decay.

        w_k <- w_k - (eta / sqrt N) < v_k g'(lambda_k) l'(phi) x > - (kappa / N) w_k
        v_k <- v_k - (eta_v / N)    < g(lambda_k) l'(phi) >        - (kappa / N) v_k
        b_k <- b_k - (eta_b / N)    < v_k g'(lambda_k) l'(phi) >

    with < > the mean over the mini-batch and l' = d l / d phi (phi - y for the square loss), all
    from the weights before the step.  The readout v and the biases b move only if the student
    trains them.  Time is t = updates / N.

    - `learning_rate`: eta.
    - `readout_learning_rate`: eta_v; the same as `learning_rate` unless given.
    - `weight_decay`: kappa, for every trained layer, not for biases.
    - `bias_learning_rate`: eta_b; the same as `learning_rate` unless given.

    Raises ValueError if one of them is negative or not finite.

    Goldt et al., NeurIPS 2019.  Saad & Solla (1995) write J = w / sqrt N and a step eta / N: same
    eta.  `optax()`: W <- W - eta g - kappa W.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.SGD(learning_rate=0.5)
    >>> layers = {"w": np.ones((1, 4))}
    >>> gradient = {"w": np.array([[1.0, 0.0, 0.0, -2.0]])}
    >>> moved, memory = rule.update(layers, gradient, rule.memory(layers), N=4)
    >>> moved["w"]
    array([[0.5, 1. , 1. , 2. ]])
    """

    rotation_invariant = True
    weight_decay: checks.Parameter = 0.0

    @arguments.of("rule.")
    def __init__(
        self, learning_rate, readout_learning_rate=None, weight_decay=0.0, bias_learning_rate=None
    ):
        super().__init__(learning_rate, readout_learning_rate, bias_learning_rate)
        self.weight_decay = checks.parameter(weight_decay)

    def __check_init__(self):
        checks.number("rule.weight_decay", self.weight_decay)

    def update(self, layers, gradient, memory, N):
        step = self.steps(gradient, self.learning_rate, N)
        moved = {}
        for name, layer in layers.items():
            # Not (1 - kappa / N) w: in float32 that is another kappa, and two subtractions round
            # kappa w / N to few bits of w.
            moved[name] = layer - (step[name] + self._decay(name, layer, N))
        return moved, memory

    def _decay(self, name: str, layer, N):
        if name == "b":
            return 0.0
        return self.weight_decay / N * layer

    def optax(self):
        eta = self.rate
        kappa = single_rate(self.weight_decay, "weight_decay")

        def init(params):
            return ()

        def moved(W, g):
            return W - jnp.asarray(eta, W.dtype) * g - jnp.asarray(kappa, W.dtype) * W

        def step(params, gradients, state):
            return jax.tree.map(moved, params, gradients), state

        return replacing(init, step)
