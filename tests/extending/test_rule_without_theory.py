"""A rule of one's own without a theory: SGD with a momentum and a gradient clipped to a length,

    m <- beta m + g min(1, c / |g|),   w <- w - eta m

for each unit, with |g| the length of the unit's gradient.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts


class ClippedMomentum(ts.DescentRule):
    """Momentum from gradients of a limited length; it sees no coordinate axes."""

    rotation_invariant = True
    beta: float
    length: float  # c

    def __init__(self, learning_rate, beta=0.5, length=1.0):
        super().__init__(learning_rate)
        self.beta, self.length = beta, length

    def memory(self, layers):
        return {name: jnp.zeros_like(layer) for name, layer in layers.items()}

    def update(self, layers, gradient, memory, N):
        size = jnp.sqrt((gradient["w"] ** 2).sum(-1, keepdims=True))
        shorter = jnp.minimum(1, self.length / jnp.maximum(size, 1e-30))
        clipped = {**gradient, "w": shorter * gradient["w"]}
        momentum = {name: self.beta * memory[name] + clipped[name] for name in layers}
        return self.descend(layers, momentum, self.learning_rate, N), momentum


START = ts.OrderParameters(Q=[[0.6, 0.1], [0.1, 0.4]], R=[[0.3], [0.1]])
TIMES = [0.0, 1.0, 4.0]


def problem(length: float) -> ts.Problem:
    rule = ClippedMomentum(0.25, beta=0.5, length=length)
    return ts.Problem(ts.TeacherStudent(1), ts.Student(2), rule)


def test_theory_is_refused():
    with pytest.raises(ValueError, match="no theory for the rule ClippedMomentum: rules with a th"):
        ts.integrate(problem(0.2), START, TIMES)


@pytest.mark.long
def test_both_methods_agree(tmp_path):
    by_method = {
        method: ts.simulate(problem(0.2), START, TIMES, N=200, seeds=24, method=method)
        for method in ("weights", "reduced")
    }
    whole, chain = by_method["weights"].eps_g, by_method["reduced"].eps_g
    scatter = np.hypot(whole.std("seed", ddof=1), chain.std("seed", ddof=1)) / np.sqrt(24)
    gap = abs(whole.mean("seed") - chain.mean("seed"))
    assert (gap <= 4 * scatter + 1e-6).all()
    ts.save(tmp_path / "own.h5", simulation=by_method["reduced"])
    loaded = ts.load(tmp_path / "own.h5")["simulation"]
    assert "ClippedMomentum" in loaded.attrs["teacherstudent"]
    ts.plot(loaded.to_dataset(), tmp_path / "own.png")


@pytest.mark.long
def test_a_length_that_is_never_reached_is_heavy_ball():
    ours = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.HeavyBall(0.25, beta=0.5))
    theory = ts.integrate(ours, START, TIMES)
    networks = ts.simulate(problem(1e6), START, TIMES, N=200, seeds=16, method="reduced")
    deviation = abs(networks.eps_g.mean("seed") - theory.eps_g)
    assert (deviation <= 4 * networks.eps_g.std("seed", ddof=1) / 4 + 1e-6).all()
