"""Majority vote: workers send signs, the server takes the sign of their sum."""

import equinox as eqx
import jax
import jax.numpy as jnp

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import replacing
from teacherstudent.rules.sign_sgd import SignSGD
from teacherstudent.rules.signum import running_mean


class MajorityVote(SignSGD):
    """Sign-SGD by a vote of W workers, each with a mini-batch of its own.

        m^j  <- beta m^j + (1 - beta) g^j,   m^j = 0 before the first update
        w_ki <- w_ki - (eta / sqrt N) sign( sum_j s_j sign(m^j_ki) ),   s_j = -1 for adversaries

    and the same for v with eta_v / N and b with eta_b / N.  A tie, like a zero gradient, moves
    nothing.  Time is t = updates / N.

    - `learning_rate`, `readout_learning_rate`, `bias_learning_rate`: eta, eta_v, eta_b, as in
      `SignSGD`.
    - `workers`: W.  `Problem.batch_size` counts the samples of one worker; an update takes W times
      as many.
    - `adversaries`: how many of the workers send the opposite of their signs.
    - `beta`: the memory of each worker (Signum); 0 unless given.

    Raises ValueError if there are more adversaries than workers.

    J. Bernstein, J. Zhao, K. Azizzadenesheli & A. Anandkumar, ICLR 2019 (arXiv:1810.05291).

    `optax()`: gradients come with a leading axis, one entry for each worker, as
    `jax.vmap(jax.grad(loss), in_axes=(None, 0))` makes them.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.MajorityVote(learning_rate=0.5, workers=3)
    >>> layers = {"w": np.ones((1, 4))}
    >>> votes = np.array([[1.0, -1.0, 1.0, 0.0], [1.0, -1.0, -1.0, 0.0], [-1.0, -1.0, 0.0, 1.0]])
    >>> gradient = {"w": votes[:, None, :]}
    >>> moved, memory = rule.update(layers, gradient, rule.memory(layers), N=4)
    >>> moved["w"].tolist()
    [[0.75, 1.25, 1.0, 0.75]]
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
        return self._first_memory(dict(layers))

    def update(self, layers, gradient, memory, N):
        gradient = dict(gradient)
        if self.workers == 1:  # a single gradient comes without a leading axis
            gradient = {name: slope[None] for name, slope in gradient.items()}
        ballots, memory = self._ballots(gradient, memory)
        signs = jax.tree.map(self._outcome, ballots)
        return self.step_by(layers, signs, N), memory

    def _first_memory(self, layers):
        """One running mean for each worker, if they remember at all."""
        if not self.beta:
            return ()

        def for_each_worker(layer):
            return jnp.zeros((self.workers, *layer.shape), layer.dtype)

        return jax.tree.map(for_each_worker, layers)

    def _ballots(self, gradient, memory):
        """What each worker takes the sign of, and the memory after that."""
        if not self.beta:
            return gradient, memory
        mean = running_mean(self.beta, memory, gradient)
        return mean, mean

    def _outcome(self, ballots):
        """The sign of the sum of signs over the leading axis."""
        signs = [jnp.sign(ballots[j]) for j in range(self.workers)]
        adverse = signs[: self.adversaries]
        honest = signs[self.adversaries :]
        return jnp.sign(sum(honest) - sum(adverse))

    def optax(self):
        eta = self.rate

        def moved(W, ballots):
            return W - jnp.asarray(eta, W.dtype) * self._outcome(ballots)

        def step(params, gradients, memory):
            self._check_workers(params, gradients)
            ballots, memory = self._ballots(gradients, memory)
            return jax.tree.map(moved, params, ballots), memory

        return replacing(self._first_memory, step)

    def _check_workers(self, params, gradients) -> None:
        """Raise ValueError unless each gradient has an entry for each worker."""
        slopes = jax.tree.leaves(gradients)
        for slope, W in zip(slopes, jax.tree.leaves(params), strict=True):
            if slope.shape != (self.workers, *W.shape):
                raise ValueError(
                    f"a gradient has shape {slope.shape}; give every gradient a leading axis of "
                    f"workers = {self.workers}."
                )
