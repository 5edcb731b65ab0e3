import io
import json
import math
from functools import cache, partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import teacherstudent as ts
from teacherstudent.rules import (
    AGD,
    RULES,
    SGD,
    Fromage,
    HeavyBall,
    Madam,
    MajorityVote,
    Nero,
    Signum,
    SignSGD,
    SphericalSGD,
)
from teacherstudent.rules.agd import automatic_rate

# Trajectories of two small networks in float64, of the rules' authors' own code where there is any.  Weights are (out, in).
REFERENCE = json.loads(Path(__file__).with_name("update_rules.json").read_text())
CASES, EDGES = REFERENCE["cases"], REFERENCE["edge_cases"]
ACTIVATIONS = {
    "erf": lambda z: jax.scipy.special.erf(z / math.sqrt(2)),
    "relu_sqrt2": lambda z: math.sqrt(2) * jnp.maximum(z, 0.0),
}
K, N = 3, 7


def random_trees(shapes: dict, count: int, seed: int, dtype=np.float64) -> list:
    rng = np.random.default_rng(seed)
    return [
        {name: jnp.asarray(rng.standard_normal(shape), dtype) for name, shape in shapes.items()} for _ in range(count)
    ]


def trained(transform, params, gradients):
    """The parameters after one step for each of the gradients."""
    state = transform.init(params)
    for gradient in gradients:
        changes, state = transform.update(gradient, state, params)
        params = optax.apply_updates(params, changes)
    return params


def updated(rule, layers, gradients):
    """The layers of a simulator's network after one step for each of the gradients."""
    layers = rule.begin(layers)
    memory = rule.memory(layers)
    for gradient in gradients:
        layers, memory = rule.update(layers, gradient, memory)
    return layers


def assert_close(got, wanted, rtol=1e-12, atol=1e-12):
    """Equal structure, and equal numbers up to rounding."""
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def reference_rule(run: dict):
    return RULES[run["rule"]](**run["arguments"])


def tensors(lists) -> list:
    return [jnp.asarray(one) for one in lists]


@cache
def reference_losses(case: str, kind: str, workers: int):
    """Functions of the weights: the loss over all samples, and its gradient, or that of each worker's share."""
    activation = ACTIVATIONS[CASES[case]["activation"]]
    X, Y = (jnp.asarray(CASES[case][name]) for name in "XY")

    def loss(weights, x, y):
        *inner, last = weights
        for W in inner:
            x = activation(x @ W.T)
        return {"mse_mean": 1.0, "half_mse": 0.5}[kind] * jnp.mean((x @ last.T - y) ** 2)

    if workers > 1:
        shares = [part.reshape(workers, -1, part.shape[-1]) for part in (X, Y)]
        gradient = lambda weights: jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(weights, *shares)
    else:
        gradient = lambda weights: jax.grad(loss)(weights, X, Y)
    return jax.jit(lambda weights: (loss(weights, X, Y), gradient(weights)))


@pytest.mark.parametrize(("case", "name"), [(case, name) for case, one in CASES.items() for name in one["rules"]])
def test_rule_follows_the_reference_trajectory(case, name):
    run = CASES[case]["rules"][name]
    rule, weights = reference_rule(run), tensors(CASES[case]["W_init"])
    if isinstance(rule, Nero):
        weights = rule.projected(weights)
    assert_close(weights, run.get("W_init_as_used", CASES[case]["W_init"]) | tensors_, atol=1e-10)
