import io
import json
import math
from functools import partial
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
    FeedbackAlignment,
    Fromage,
    HeavyBall,
    Madam,
    MajorityVote,
    Nero,
    Rule,
    SignSGD,
    Signum,
    SphericalSGD,
)
from teacherstudent.rules.agd import automatic_rate
from tests.long import mostly_long

# Trajectories of two small networks in float64, of the rules' authors' own code where there is any.
# Weights are (out, in).
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
        {name: jnp.asarray(rng.standard_normal(shape), dtype) for name, shape in shapes.items()}
        for _ in range(count)
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
        N = layers["w"].shape[-1]
        layers, memory = rule.update(layers, gradient, memory, N)
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


def gradient_of(rule, loss, params, x, y):
    """The gradient over all samples, or, with a leading axis, that of each worker's share."""
    if not isinstance(rule, MajorityVote):
        return jax.grad(loss)(params, x, y)
    shares = [part.reshape(rule.workers, -1, part.shape[-1]) for part in (x, y)]
    return jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(params, *shares)


@partial(jax.jit, static_argnames="activation")
def reference_step(rule, activation: str, factor, X, Y, weights, state):
    """The loss, factor times the mean square over all samples, the weights and the state after one
    step.
    """

    def loss(weights, x, y):
        *inner, last = weights
        for W in inner:
            x = ACTIVATIONS[activation](x @ W.T)
        return factor * jnp.mean((x @ last.T - y) ** 2)

    changes, state = rule.optax().update(gradient_of(rule, loss, weights, X, Y), state, weights)
    return loss(weights, X, Y), optax.apply_updates(weights, changes), state


@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case, one in CASES.items() for name in one["rules"]]
)
def test_rule_follows_the_reference_trajectory(case, name):
    network, run = CASES[case], CASES[case]["rules"][name]
    rule, weights = reference_rule(run), tensors(network["W_init"])
    if isinstance(rule, Nero):
        weights = rule.projected(weights)
    assert_close(weights, tensors(run.get("W_init_as_used", network["W_init"])))
    factor = {"mse_mean": 1.0, "half_mse": 0.5}[run["loss_kind"]]
    samples = tensors([network["X"], network["Y"]])
    state, path, losses = rule.optax().init(weights), [], []
    for _ in range(21):
        path.append(weights)
        loss, weights, state = reference_step(
            rule, network["activation"], factor, *samples, weights, state
        )
        losses.append(loss)
    np.testing.assert_allclose(losses, run["loss"], rtol=0, atol=1e-10)
    for steps, wanted in run["W_after"].items():
        assert_close(path[int(steps)], tensors(wanted), rtol=0, atol=1e-10)
    if "eta" in run:
        np.testing.assert_allclose(agd_rates(rule, path), run["eta"], rtol=0, atol=1e-10)


def agd_rates(rule: AGD, path: list) -> list:
    """AGD's eta of each step, from how far the last matrix moved."""
    moves = [
        float(jnp.linalg.norm(after[-1] - before[-1]))
        for before, after in zip(path, path[1:], strict=False)
    ]
    outputs, inputs = path[0][-1].shape
    return [len(path[0]) * move / (rule.gain * math.sqrt(outputs / inputs)) for move in moves]


EDGE_RUNS = [(edge, name) for edge, one in EDGES.items() for name in one["rules"]]
HAS_NAN = [
    (edge, name) for edge, name in EDGE_RUNS if "nan" in json.dumps(EDGES[edge]["rules"][name])
]


def edge_path(edge: str, name: str) -> list:
    """The weights before the first of two steps along the same gradient, and after each."""
    rule, weights = reference_rule(EDGES[edge]["rules"][name]), tensors(EDGES[edge]["W_init"])
    if isinstance(rule, Nero):
        weights = rule.projected(weights)
    gradient = tensors(EDGES[edge]["grads"])
    return [weights] + [trained(rule.optax(), weights, [gradient] * steps) for steps in (1, 2)]


@pytest.mark.parametrize(("edge", "name"), [one for one in EDGE_RUNS if one not in HAS_NAN])
def test_zero_gradients_and_zero_weights_follow_the_reference(edge, name):
    run, path = EDGES[edge]["rules"][name], edge_path(edge, name)
    assert_close(path[1:], [tensors(one) for one in run["W_after"]], rtol=0, atol=1e-10)
    if "eta" in run:
        np.testing.assert_allclose(
            agd_rates(reference_rule(run), path), run["eta"], rtol=0, atol=1e-10
        )


@pytest.mark.parametrize(("edge", "name"), HAS_NAN)
def test_nero_projects_zero_rows_to_zero_and_stays_finite_where_the_reference_has_nan(edge, name):
    path, wanted = edge_path(edge, name), EDGES[edge]["rules"][name]["W_after"]
    assert not path[0][0].any()
    assert all(np.isfinite(W).all() for weights in path for W in weights)
    assert_close(path[2][1], jnp.asarray(wanted[1][1]), rtol=0, atol=1e-10)  # the other matrix


MATRICES = {"first": (K, N), "second": (2, 5)}


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        (SGD(0.1), optax.sgd(0.1)),
        (SGD(0.1, weight_decay=0.2), optax.chain(optax.sgd(0.1), optax.add_decayed_weights(-0.2))),
        (HeavyBall(0.1, beta=0.8), optax.sgd(0.1, momentum=0.8)),
        (SignSGD(0.1), optax.sign_sgd(0.1)),
        (Signum(0.1, beta=0.8), optax.signum(0.1, 0.8)),
        (Fromage(0.1), optax.fromage(0.1)),
    ],
)
def test_rule_agrees_with_the_library(rule, theirs):
    params, *gradients = random_trees(MATRICES, 6, seed=0)
    assert_close(trained(rule.optax(), params, gradients), trained(theirs, params, gradients))


@pytest.mark.parametrize(
    ("rule", "part"), [(SGD(0.5, weight_decay=0.01), 0), (HeavyBall(0.5, gamma=0.01), 1)]
)
def test_a_small_decay_is_not_rounded_to_another_in_float32(rule, part):
    N = 10_000  # 1 - 0.01 / N is 1.3 percent off in float32
    w = np.random.default_rng(0).standard_normal((20, N)).astype(np.float32)
    single = jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), rule)
    layers, still = {"w": jnp.asarray(w)}, {"w": jnp.zeros_like(w)}
    after = single.update(layers, still, layers, N)[part]["w"]
    exact = w.astype(float)
    assert -N * ((np.asarray(after, float) - exact) * exact).sum() / (
        exact**2
    ).sum() == pytest.approx(0.01, rel=2e-3)


MIXED = [(4, 3), (5, 4, 2, 3), (2, 5, 1, 2)]


def agd_by_hand(params: list, gradients: list, gain: float) -> list:
    """One step of AGD with loops over layers and kernel positions."""
    G = 0.0
    for g in gradients:
        positions = [()] if g.ndim == 2 else list(np.ndindex(g.shape[2:]))
        s = math.sqrt(g.shape[0] / g.shape[1]) / math.sqrt(len(positions))
        for at in positions:
            G += s * math.sqrt((g[(..., *at)] ** 2).sum()) / len(gradients)
    eta = math.log((1 + math.sqrt(1 + 4 * G)) / 2)
    moved = [W.copy() for W in params]
    for W, g in zip(moved, gradients, strict=True):
        positions = [()] if g.ndim == 2 else list(np.ndindex(g.shape[2:]))
        s = math.sqrt(g.shape[0] / g.shape[1]) / math.sqrt(len(positions))
        for at in positions:
            norm = math.sqrt((g[(..., *at)] ** 2).sum())
            if norm > 0:
                W[(..., *at)] -= gain * eta / len(gradients) * s * g[(..., *at)] / norm
    return moved


def mixed_network() -> tuple[list, list]:
    """Matrices and kernels, and gradients of which one is zero at one kernel position."""
    rng = np.random.default_rng(1)
    params, gradients = ([rng.standard_normal(shape) for shape in MIXED] for _ in range(2))
    gradients[1][:, :, 0, 2] = 0.0
    return params, gradients


def outputs_last(tensors: list) -> list:
    return [
        one.transpose(1, 0) if one.ndim == 2 else one.transpose(2, 3, 1, 0)
        for one in map(jnp.asarray, tensors)
    ]


def test_agd_normalises_each_kernel_position_by_itself():
    params, gradients = mixed_network()
    got = trained(AGD(1.5).optax(), tensors(params), [tensors(gradients)])
    assert_close(got, tensors(agd_by_hand(params, gradients, 1.5)))


def test_agd_with_outputs_last_is_agd_of_the_transposed_tensors():
    params, gradients = mixed_network()
    first = trained(AGD().optax("first"), tensors(params), [tensors(gradients)])
    last = trained(AGD().optax(outputs="last"), outputs_last(params), [outputs_last(gradients)])
    assert_close(last, outputs_last(first))


def test_agd_of_a_1x1_convolution_is_agd_of_the_matrix():
    params, *gradients = random_trees(MATRICES, 3, seed=2)
    as_kernels = partial(jax.tree.map, lambda W: W[:, :, None, None])
    got = trained(AGD().optax(), as_kernels(params), map(as_kernels, gradients))
    assert_close(got, as_kernels(trained(AGD().optax(), params, gradients)))


# Of every rule its settings, as functions of the learning rate (for AGD of the gain).
SETTINGS = {
    "SGD": [SGD, lambda rate: SGD(rate, 0.2, bias_learning_rate=0.4)],
    "SphericalSGD": [SphericalSGD, lambda rate: SphericalSGD(rate, 0.2, 0.3)],
    "HeavyBall": [
        lambda rate: HeavyBall(rate, beta=0.9),
        lambda rate: HeavyBall(rate, None, 0.5, 0.2, 0.3),
    ],
    "SignSGD": [SignSGD, lambda rate: SignSGD(rate, 0.2, 0.3)],
    "Signum": [Signum, lambda rate: Signum(rate, 0.5, 0.2, 0.3)],
    "MajorityVote": [
        MajorityVote,
        lambda rate: MajorityVote(rate, workers=4, adversaries=1, beta=0.5),
        lambda rate: MajorityVote(rate, workers=1, beta=0.5),
    ],
    "AGD": [AGD, lambda rate: AGD(rate, 0.2), lambda rate: AGD(rate, first_scale=1.0)],
    "Fromage": [Fromage, lambda rate: Fromage(rate, 0.2, p_bound=1.01)],
    "Nero": [
        Nero,
        lambda rate: Nero(rate, beta=0.5, readout_learning_rate=0.2, constraints=False),
        lambda rate: Nero(rate, gamma=0.5),
    ],
    "FeedbackAlignment": [
        lambda rate: FeedbackAlignment(rate, seed=1),
        lambda rate: FeedbackAlignment(rate, None, 1, 0.2, 0.3),
    ],
    "Madam": [Madam, lambda rate: Madam(rate, 0.2, p_scale=1.1, g_bound=0.5)],
}
LAYERS = {"w": (K, N), "v": (K,), "b": (K,)}


def contract(names) -> list:
    """Every setting of these rules, with an ordinary network ("optax") or with the layers that a
    simulator trains; of the first layer alone it takes as long, and tells less.
    """
    cases = []
    for name in names:
        for number, build in enumerate(SETTINGS[name]):
            memory_over_N = getattr(build(0.1), "gamma", None) is not None  # which optax() refuses
            kinds = ["wvb" if RULES[name].TRAINS_BIASES else "wv"]
            without_optax = memory_over_N or type(build(0.1)).optax is Rule.optax
            kinds += (["w"] if number == 0 else []) + ([] if without_optax else ["optax"])
            for kind in kinds:
                marks = [pytest.mark.long] if kind == "w" else []
                cases.append(pytest.param(build, kind, id=f"{name}-{number}-{kind}", marks=marks))
    return cases


every_rule = pytest.mark.parametrize(("build", "kind"), contract(SETTINGS))
both_dtypes = pytest.mark.parametrize("dtype", mostly_long([np.float32, np.float64], [np.float32]))


def begun(rule, kind: str, dtype=np.float64):
    """What training begins from: the parameters or layers, and the memory."""
    shapes = MATRICES if kind == "optax" else {name: LAYERS[name] for name in kind}
    (params,) = random_trees(shapes, 1, 3, dtype)
    if kind != "optax":
        layers = rule.begin(params)
        return layers, rule.memory(layers)
    params = rule.projected(params) if isinstance(rule, Nero) else params
    return params, rule.optax().init(params)


def some_gradient(rule, kind: str, params, seed: int = 4):
    """A gradient for one update: with a leading axis where the rule takes several."""
    workers = isinstance(rule, MajorityVote) if kind == "optax" else rule.gradients > 1
    shapes = {
        name: ((rule.gradients,) if workers else ()) + params[name].shape for name in sorted(params)
    }
    return random_trees(shapes, 1, seed, next(iter(params.values())).dtype)[0]


TRACES = []


def moved(rule, kind: str, params, gradient, memory):
    TRACES.append(rule)
    if kind != "optax":
        return rule.update(params, gradient, memory, params["w"].shape[-1])
    changes, memory = rule.optax().update(gradient, memory, params)
    return optax.apply_updates(params, changes), memory


compiled = jax.jit(moved, static_argnames="kind")


def kinds_of_leaves(tree):
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


def test_every_rule_is_under_contract():
    """All but gradient flow, which has no updates."""
    assert SETTINGS.keys() == RULES.keys() - {"GradientFlow"}


@every_rule
@both_dtypes
def test_update_keeps_shapes_dtypes_and_the_structure_of_the_memory(build, kind, dtype):
    rule = build(0.1)
    params, memory = begun(rule, kind, dtype)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(params))
    rest = (params, some_gradient(rule, kind, params), memory)
    with_numbers = jax.eval_shape(partial(moved, rule, kind), *rest)
    with_arguments = jax.eval_shape(lambda rule, *rest: moved(rule, kind, *rest), rule, *rest)
    for after, kept in (with_numbers, with_arguments):
        assert kinds_of_leaves(after) == kinds_of_leaves(params)
        assert kinds_of_leaves(kept) == kinds_of_leaves(memory)


@every_rule
def test_another_rate_needs_no_other_compilation(build, kind):
    slow, fast = build(0.1), build(0.3)
    rest = begun(slow, kind)
    gradient = some_gradient(slow, kind, rest[0])
    first, _ = compiled(slow, kind, rest[0], gradient, rest[1])
    traces = len(TRACES)
    second, _ = compiled(fast, kind, rest[0], gradient, rest[1])
    assert len(TRACES) == traces
    assert any((first[name] != second[name]).any() for name in first)


@every_rule
def test_update_is_the_same_compiled_or_not_and_in_float32_up_to_rounding(build, kind):
    rule, ends = build(0.1), []
    for step, dtype in ((compiled, np.float64), (moved, np.float64), (moved, np.float32)):
        params, memory = begun(rule, kind, dtype)
        for seed in (4, 5):
            params, memory = step(
                rule, kind, params, some_gradient(rule, kind, params, seed), memory
            )
        ends.append((params, memory))
    assert_close(ends[1], ends[0])
    assert_close(ends[2], ends[0], 1e-5, 1e-5)


@every_rule
@both_dtypes
def test_zero_gradients_give_finite_numbers(build, kind, dtype):
    rule = build(0.1)
    params, memory = begun(rule, kind, dtype)
    gradient = some_gradient(rule, kind, params)
    nothing = jax.tree.map(jnp.zeros_like, gradient)
    for one in (nothing, nothing, gradient, nothing):
        params, memory = moved(rule, kind, params, one, memory)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((params, memory)))


@pytest.mark.parametrize(
    ("build", "kind"), contract(["SGD", "HeavyBall", "SignSGD", "Signum", "MajorityVote", "AGD"])
)
def test_zero_gradients_move_nothing(build, kind):
    rule = build(0.1)
    params, memory = begun(rule, kind)
    nothing = jax.tree.map(jnp.zeros_like, some_gradient(rule, kind, params))
    after, _ = moved(rule, kind, params, nothing, memory)
    assert_close(after, params, rtol=0, atol=0)


@every_rule
@both_dtypes
def test_memory_survives_a_file(build, kind, dtype):
    rule = build(0.1)
    params, memory = begun(rule, kind, dtype)
    params, memory = moved(rule, kind, params, some_gradient(rule, kind, params), memory)
    leaves, structure = jax.tree.flatten(memory)
    file = io.BytesIO()
    np.savez(file, *leaves)
    file.seek(0)
    with np.load(file) as saved:
        restored = jax.tree.unflatten(
            structure, [saved[f"arr_{number}"] for number in range(len(leaves))]
        )
    assert kinds_of_leaves(restored) == kinds_of_leaves(memory)
    gradient = some_gradient(rule, kind, params, seed=5)
    wanted = moved(rule, kind, params, gradient, memory)
    assert_close(moved(rule, kind, params, gradient, restored), wanted, rtol=0, atol=0)


ROOT = math.sqrt(N)


def as_matrices(layers, scale: float) -> dict:
    """w times the scale, and the readout as a matrix with one row."""
    return {name: one * scale if name == "w" else one[..., None, :] for name, one in layers.items()}


def assert_same_rule(simulated, ordinary, names: str):
    """`simulated` on the stored weights w, v is `ordinary` on the matrices w / sqrt N, v of the
    network.
    """
    (layers,) = random_trees({name: LAYERS[name] for name in names}, 1, 6)
    layers = simulated.begin(layers)
    gradients = [some_gradient(simulated, names, layers, seed) for seed in (7, 8, 9)]
    matrices = [as_matrices(one, ROOT) for one in gradients]
    got = as_matrices(updated(simulated, layers, gradients), 1 / ROOT)
    assert_close(got, trained(ordinary.optax(), as_matrices(layers, 1 / ROOT), matrices))


@pytest.mark.parametrize("names", ["w", "wv"])
@pytest.mark.parametrize(
    ("simulated", "ordinary"),
    [
        (SGD(0.3), SGD(0.3 / N)),
        (SGD(0.3, weight_decay=0.4), SGD(0.3 / N, weight_decay=0.4 / N)),
        (HeavyBall(0.3, beta=0.8), HeavyBall(0.3 / N, beta=0.8)),
        (HeavyBall(0.3, gamma=0.7), HeavyBall(0.3 / N**2, beta=0.9)),
        (SignSGD(0.3), SignSGD(0.3 / N)),
        (Signum(0.3, 0.8), Signum(0.3 / N, 0.8)),
        (MajorityVote(0.3, 4, 1, 0.8), MajorityVote(0.3 / N, 4, 1, 0.8)),
        (AGD(1.5), AGD(1.5)),
        (AGD(1.5, readout_gain=1.5 * N), AGD(1.5)),
        (AGD(1.5, first_scale=math.sqrt(K / N)), AGD(1.5)),
        (Fromage(0.3, 0.3 * ROOT), Fromage(0.3 / ROOT)),
        (Fromage(0.3, 0.3 * ROOT, p_bound=1.01), Fromage(0.3 / ROOT, p_bound=1.01)),
        (Nero(0.3, 0.8, None, 0.3 * ROOT, False), Nero(0.3 / ROOT, 0.8, constraints=False)),
        (Nero(0.3, None, 0.7, 0.3 * ROOT, False), Nero(0.3 / ROOT, 0.9, constraints=False)),
        (Madam(0.3, 0.3 * ROOT), Madam(0.3 / ROOT)),
        (Madam(0.3, 0.3 * ROOT, 1.2, 0.8), Madam(0.3 / ROOT, None, 1.2, 0.8)),
    ],
)
def test_rule_of_the_stored_weights_is_the_rule_of_the_matrices(simulated, ordinary, names):
    assert_same_rule(simulated, ordinary, names)


def test_nero_of_the_stored_weights_is_nero_of_the_matrix():
    assert_same_rule(Nero(0.3, 0.8), Nero(0.3 / ROOT, 0.8), "w")


def test_spherical_sgd_of_the_stored_weights_is_that_of_the_matrix():
    (layers,) = random_trees({"w": (K, N)}, 1, 10)
    on_sphere = {"w": ROOT * layers["w"] / jnp.linalg.norm(layers["w"], axis=1, keepdims=True)}
    gradient = random_trees({"w": (K, N)}, 1, 11)[0]
    got = updated(SphericalSGD(0.3), on_sphere, [gradient])
    matrices = as_matrices(on_sphere, 1 / ROOT)
    wanted = trained(SphericalSGD(0.3 / N).optax(), matrices, [as_matrices(gradient, ROOT)])
    assert_close(as_matrices(got, 1 / ROOT), wanted)


def test_nero_keeps_rows_centred_and_of_length_root_n():
    layers, *gradients = random_trees({"w": (K, N), "v": (K,)}, 4, 12)
    for w in (Nero(0.3).begin(layers)["w"], updated(Nero(0.3), layers, gradients)["w"]):
        np.testing.assert_allclose(w.sum(1), 0.0, atol=1e-12)
        np.testing.assert_allclose((w**2).sum(1), N, rtol=1e-12)


@pytest.mark.parametrize("G", [0.0, 1e-3, 0.7, 1e3])
def test_automatic_rate_is_the_logarithm(G):
    assert automatic_rate(jnp.asarray(G)) == pytest.approx(
        math.log((1 + math.sqrt(1 + 4 * G)) / 2), rel=1e-12
    )


def test_automatic_rate_keeps_its_digits_in_float32():
    G = jnp.asarray(1e-7, jnp.float32)
    rate = automatic_rate(G)
    assert rate.dtype == jnp.float32
    assert float(rate) / float(G) == pytest.approx(1.0, abs=1e-5)


def one_step(rule, gradient) -> dict:
    """The layers after one step of this gradient, the same for every test."""
    (layers,) = random_trees(LAYERS, 1, 13)
    return updated(rule, layers, [gradient])


def for_workers(*gradients) -> dict:
    return {name: jnp.stack([one[name] for one in gradients]) for name in gradients[0]}


(SLOPE,) = random_trees(LAYERS, 1, 14)
OPPOSITE = {name: -one for name, one in SLOPE.items()}
STILL = {name: jnp.zeros_like(one) for name, one in SLOPE.items()}


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_vote_of_one_worker_is_signum(beta):
    rates = {"readout_learning_rate": 0.2, "bias_learning_rate": 0.1}
    one = MajorityVote(0.3, workers=1, beta=beta, **rates)
    assert one.gradients == 1  # so that the simulators' gradient has no axis of workers
    layers, *gradients = random_trees(LAYERS, 3, 18)
    assert_close(
        updated(one, layers, gradients), updated(Signum(0.3, beta, **rates), layers, gradients)
    )


def test_vote_of_one_worker_is_sign_sgd_for_ordinary_networks():
    params, gradient = random_trees(MATRICES, 2, 15)
    got = trained(MajorityVote(0.3, workers=1).optax(), params, [for_workers(gradient)])
    assert_close(got, trained(SignSGD(0.3).optax(), params, [gradient]))


def test_vote_of_adversaries_alone_is_sign_sgd_uphill():
    rule = MajorityVote(0.3, workers=3, adversaries=3)
    assert_close(one_step(rule, for_workers(SLOPE, SLOPE, SLOPE)), one_step(SignSGD(0.3), OPPOSITE))


def test_two_adversaries_of_five_are_outvoted():
    rule = MajorityVote(0.3, workers=5, adversaries=2)
    assert_close(one_step(rule, for_workers(*[SLOPE] * 5)), one_step(SignSGD(0.3), SLOPE))


def test_signum_without_memory_is_sign_sgd():
    params, *gradients = random_trees(LAYERS, 4, 16)
    assert_close(
        updated(Signum(0.3, beta=0.0), params, gradients), updated(SignSGD(0.3), params, gradients)
    )


@pytest.mark.parametrize(
    ("rule", "gradient"),
    [
        (SignSGD(0.3), STILL),
        (Signum(0.3), STILL),
        (MajorityVote(0.3), for_workers(STILL, STILL, STILL)),
        (MajorityVote(0.3, workers=2), for_workers(SLOPE, OPPOSITE)),
        (MajorityVote(0.3, workers=2, beta=0.5), for_workers(SLOPE, OPPOSITE)),
        (MajorityVote(0.3, workers=4, adversaries=2), for_workers(*[SLOPE] * 4)),
    ],
)
def test_zero_sums_of_signs_move_nothing(rule, gradient):
    (layers,) = random_trees(LAYERS, 1, 13)
    assert_close(one_step(rule, gradient), layers, rtol=0, atol=0)


PARAMS, GRADIENT = random_trees(MATRICES, 2, 17)
VECTOR = {"bias": jnp.ones(3)}


def without_params(rule):
    transform = rule.optax()
    return transform.update(GRADIENT, transform.init(PARAMS))


def task_problem(rule, readout: bool = False, **options):
    return ts.Problem(ts.TeacherStudent(2), ts.Student(2, train_readout=readout), rule, **options)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AGD(gain=0), "rule.gain = 0.0 is not allowed; give a finite number larger than 0"),
        (lambda: AGD(readout_gain=-1), "rule.readout_gain = -1.0 is not allowed"),
        (lambda: AGD(first_scale=0), "rule.first_scale = 0.0 is not allowed"),
        (
            lambda: MajorityVote(0.1, workers=0),
            ("rule.workers = 0 is not allowed; give an integer of at least 1"),
        ),
        (
            lambda: MajorityVote(0.1, 3, adversaries=4),
            ("rule.adversaries = 4 is more than rule.workers = 3"),
        ),
        (lambda: MajorityVote(0.1, beta=1), "rule.beta = 1 is not allowed"),
        (
            lambda: Signum(0.1, beta=1),
            ("rule.beta = 1 is not allowed; give a number from 0 to below 1"),
        ),
        (lambda: Signum(0.1, beta=-0.1), "rule.beta = -0.1 is not allowed"),
        (lambda: HeavyBall(0.1, beta=0.9, gamma=1.0), "rule.beta and rule.gamma are both given"),
        (lambda: HeavyBall(0.1), "rule.beta and rule.gamma are not given; give beta, .* or gamma"),
        (lambda: HeavyBall(0.1, beta=1), "rule.beta = 1 is not allowed"),
        (lambda: HeavyBall(0.1, gamma=0), "rule.gamma = 0.0 is not allowed"),
        (lambda: SignSGD(-1), "rule.learning_rate = -1.0 is not allowed"),
        (
            lambda: SignSGD(0.1, bias_learning_rate=-1),
            ("rule.bias_learning_rate = -1.0 is not allowed"),
        ),
        (lambda: Fromage(0.1, p_bound=0), "rule.p_bound = 0.0 is not allowed"),
        (lambda: Madam(p_scale=0), "rule.p_scale = 0.0 is not allowed"),
        (lambda: Nero(beta=1), "rule.beta = 1 is not allowed"),
        (lambda: Nero(beta=0.9, gamma=1.0), "rule.beta and rule.gamma are both given"),
        (
            lambda: Nero(constraints="yes"),
            ("rule.constraints = 'yes' is not known; known are True, False"),
        ),
        (
            lambda: AGD().optax(outputs="middle"),
            ("outputs = 'middle' is not known; known are 'first', 'last'"),
        ),
        (
            lambda: AGD().optax().init(VECTOR),
            r"a parameter has shape \(3,\), but AGD is defined for matrices",
        ),
        (lambda: AGD([1.0, 2.0]).optax(), "rule.gain is a sequence; optax.. needs one number"),
        (lambda: SGD([0.1, 0.2]).optax(), "rule.learning_rate is a sequence"),
        (
            lambda: Nero().optax().init({"k": jnp.ones((2, 2, 2, 2))}),
            ("Nero here is for matrices and vectors"),
        ),
        (
            lambda: HeavyBall(0.1, gamma=1.0).optax(),
            ("rule.gamma is the memory relative to N, .* give beta"),
        ),
        (lambda: Nero(gamma=1.0).optax(), "rule.gamma is the memory relative to N, .* give beta"),
        *[
            (
                partial(without_params, rule),
                ("params is missing; call update.gradients, state, params."),
            )
            for rule in (
                SGD(0.1),
                AGD(),
                HeavyBall(0.1, 0.9),
                Fromage(0.1),
                Madam(),
                Nero(),
                MajorityVote(0.1),
            )
        ],
        (
            lambda: trained(MajorityVote(0.1).optax(), PARAMS, [GRADIENT]),
            r"a gradient has shape \(3, 7\); give every gradient a leading axis of workers = 3",
        ),
        (
            lambda: ts.Problem(ts.SpikedCumulant(5.0), ts.Student(2, train_bias=True), AGD()),
            "student.train_bias = true, but AGD is defined for matrices, .* use one of SGD, "
            "SphericalSGD, HeavyBall, SignSGD",
        ),
        (
            lambda: task_problem(AGD(), batch_ratio=0.0),
            ("batch_ratio = 0.0 is not allowed; give alpha > 0"),
        ),
        (lambda: task_problem(AGD(), batch_ratio=float("nan")), "batch_ratio = nan is not allowed"),
        (
            lambda: task_problem(SGD(0.1), batch_ratio=1.0),
            ("batch_ratio is for AGD, .*; SGD has learning rates over N"),
        ),
        (
            lambda: task_problem(AGD(), batch_ratio=1.0, batch_size=2),
            ("batch_size = 2 and batch_ratio are both given"),
        ),
        (
            lambda: task_problem(AGD(readout_gain=1.0)),
            ("rule.readout_gain is given but the student's readout is frozen"),
        ),
        (
            lambda: task_problem(AGD(readout_gain=1.0), True, batch_ratio=1.0),
            "rule.readout_gain is over N, .* with batch_ratio leave it out",
        ),
    ],
)
def test_bad_values_are_refused_with_their_names(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    "rule",
    [
        AGD(),
        pytest.param(MajorityVote(0.01, workers=4), marks=pytest.mark.long),
        pytest.param(Nero(), marks=pytest.mark.long),
        pytest.param(Madam(0.03), marks=pytest.mark.long),
    ],
)
def test_rule_trains_an_equinox_network(rule):
    with jax.numpy_rank_promotion("allow"):
        losses = losses_of_an_equinox_network(rule)
    assert losses[100] < losses[0] / 2


def losses_of_an_equinox_network(rule):
    """The loss of a three-layer network on a regression before each of 101 steps over all
    samples.
    """
    network = eqx.nn.MLP(
        8, 8, 8, 2, jnp.tanh, use_bias=False, use_final_bias=False, key=jax.random.key(0)
    )
    params, rest = eqx.partition(network, eqx.is_array)
    params = rule.projected(params) if isinstance(rule, Nero) else params
    rng = np.random.default_rng(19)
    x = rng.standard_normal((32, 8))
    y = np.tanh(x @ rng.standard_normal((8, 8)) / 2)
    loss = lambda params, x, y: jnp.mean((jax.vmap(eqx.combine(params, rest))(x) - y) ** 2) / 2
    transform = rule.optax()

    def step(carry, _):
        params, state = carry
        gradient = gradient_of(rule, loss, params, x, y)
        changes, state = transform.update(gradient, state, params)
        return (optax.apply_updates(params, changes), state), loss(params, x, y)

    return jax.lax.scan(step, (params, transform.init(params)), length=101)[1]
