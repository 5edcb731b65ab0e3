"""Majority vote: workers send signs, the server takes the sign of their sum."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import replacing
from teacherstudent.rules.sign_sgd import SignSGD
from teacherstudent.rules.signum import running_mean


class MajorityVote(SignSGD):
    """Sign-SGD by a vote of W workers, each with a mini-batch of its own; a tie, like a zero
    gradient, moves nothing.

        w_ki <- w_ki - (eta / sqrt N) sign( sum_j s_j sign(m^j_ki) )
        m^j <- beta m^j + (1 - beta) g^j,   s_j = -1 for adversaries

    and the same for v with eta_v / N and b with eta_b / N.

    - `workers`: W.  `Problem.batch_size` counts the samples of one worker; an update takes W times
      as many.
    - `adversaries`: how many of the workers send the opposite of their signs.
    - `beta`: the memory of each worker (Signum); 0 unless given.

    J. Bernstein, J. Zhao, K. Azizzadenesheli & A. Anandkumar, ICLR 2019 (arXiv:1810.05291).

    `optax()`: gradients come with a leading axis, one entry for each worker, as
    `jax.vmap(jax.grad(loss), in_axes=(None, 0))` makes them.
    """

    workers: int = eqx.field(static=True, default=3)
    adversaries: int = eqx.field(static=True, default=0)
    beta: float = eqx.field(static=True, default=0.0)

    @arguments.of("rule.")
    def __init__(
        self,
        learning_rate,
        workers=3,
        adversaries=0,
        beta=0.0,
        readout_learning_rate=None,
        bias_learning_rate=None,
    ):
        super().__init__(learning_rate, readout_learning_rate, bias_learning_rate)
        self.workers = checks.integer("rule.workers", workers)
        self.adversaries = checks.integer("rule.adversaries", adversaries, minimum=0)
        if self.adversaries > self.workers:
            raise ValueError(
                f"rule.adversaries = {adversaries} is more than rule.workers = {workers}; give at "
                "most as many."
            )
        self.beta = checks.fraction_of_one("rule.beta", beta)

    @property
    def gradients(self) -> int:
        return self.workers

    def memory(self, layers):
        return jax.tree.map(partial(_for_each, self.workers), dict(layers)) if self.beta else ()

    def update(self, layers, gradient, memory, N):
        gradient = (
            dict(gradient) if self.workers > 1 else {name: g[None] for name, g in gradient.items()}
        )
        ballots, memory = self._ballots(gradient, memory)
        return self.step_by(layers, jax.tree.map(self._outcome, ballots), N), memory

    def _ballots(self, gradient, memory):
        """What each worker takes the sign of."""
        if not self.beta:
            return gradient, memory
        m = running_mean(self.beta, memory, gradient)
        return m, m

    def _outcome(self, ballots):
        """The sign of the sum of signs over the leading axis."""
        signs = [jnp.sign(ballots[j]) for j in range(self.workers)]
        return jnp.sign(sum(signs[self.adversaries :]) - sum(signs[: self.adversaries]))

    def optax(self):
        eta = self.rate

        def step(params, gradients, memory):
            wrong = [g.shape for g, W in zip(*map(jax.tree.leaves, (gradients, params)), strict=True)
                     if g.shape != (self.workers, *W.shape)]  # fmt: skip
            if wrong:
                raise ValueError(
                    f"a gradient has shape {wrong[0]}; give every gradient a leading axis of "
                    f"workers = {self.workers}."
                )
            ballots, memory = self._ballots(gradients, memory)
            return jax.tree.map(
                lambda W, b: W - jnp.asarray(eta, W.dtype) * self._outcome(b), params, ballots
            ), memory

        init = lambda params: (
            jax.tree.map(partial(_for_each, self.workers), params) if self.beta else ()
        )
        return replacing(init, step)


def _for_each(workers: int, layer):
    return jnp.zeros((workers, *layer.shape), layer.dtype)
