"""A fixed training set as the source of inputs: each step takes its samples by its number.

The samples of step s are those at the positions s B, ..., s B + B - 1 of an endless sequence, which
goes through the P samples once in each pass.  Which sample is at a position depends on nothing but
the position and the seed's key, so that numbers do not depend on where a run is cut.

A pass is shuffled without sorting P numbers for each few steps: the sample at a place is computed
from the place alone, by the swap-or-not shuffle of Hoang, Morris & Rogaway (CRYPTO 2012).  One
round pairs the samples i and K - i (mod P), K random, and swaps each pair with probability 1/2;
any number of rounds is a permutation, and after 6 log2 P it is as good as uniform.
"""

import hashlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32, UInt64

from sims.inputs.source import Inputs, LabelledInputs, SetUp, Source, label
from sims.running.network import EXACT
from teacherstudent.checking.checks import AnyArray
from teacherstudent.extensions.own_classes import changed_inputs, labels_by_method
from teacherstudent.problem import Problem
from teacherstudent.schedules import schedules_in
from teacherstudent.starts import Start
from teacherstudent.tasks import Task
from teacherstudent.tasks.base import with_fields
from teacherstudent.training_set import Dataset

LEAST_ROUNDS = 24  # of a shuffle; the more samples, the more rounds


class FixedSet(Source):
    """Inputs x, which all seeds share, with the labels y of each seed, noise included."""

    x: Float[AnyArray, "samples inputs"]
    y: Float[AnyArray, "*seeds samples"]
    order: str = eqx.field(static=True)

    def draw(self, keys: Key[Array, " samples"]) -> LabelledInputs:
        """Samples drawn with replacement."""

        def choose(key):
            return jax.random.randint(key, (), 0, len(self.x))

        return self._taken(jax.vmap(choose)(keys))

    def draw_steps(
        self, steps: UInt32[Array, " steps"], key: Key[Array, ""], keys: Key[Array, " samples"]
    ) -> LabelledInputs:
        if self.order == "with replacement":
            return self.draw(keys)
        P = len(self.x)
        places = positions(steps, len(keys) // len(steps))
        chosen = (places % P).astype(jnp.uint32)
        if self.order == "shuffled":
            chosen = shuffled(key, places // P, chosen, P)
        return self._taken(chosen)

    def axes(self, shared: bool) -> "FixedSet":
        """Inputs are shared, and labels are not, whatever the fresh inputs of the task are."""
        return with_fields(self, {"x": None, "y": 0})

    def _taken(self, chosen) -> LabelledInputs:
        """The samples with these numbers."""
        return LabelledInputs(self.x[chosen], self.y[chosen])


def positions(steps: UInt32[Array, " steps"], per_step: int) -> UInt64[Array, " samples"]:
    """s B + j of the samples of these steps; 32 bits cannot count those of the longest runs."""
    first = steps.astype(jnp.uint64) * per_step
    return (first[:, None] + jnp.arange(per_step, dtype=jnp.uint64)[None, :]).reshape(-1)


def shuffled(
    key: Key[Array, ""],
    passes: UInt64[Array, " samples"],
    places: UInt32[Array, " samples"],
    P: int,
) -> UInt32[Array, " samples"]:
    """Which of P samples is at each place of its pass, in a random order for each pass.

    `passes` do not decrease, and go up by one at most from a sample to the next.
    """
    if P == 1:
        return places
    rounds = LEAST_ROUNDS + 6 * (P - 1).bit_length()
    most = min(len(places), (len(places) - 2) // P + 2)  # passes that these samples can be of
    numbers = passes[0] + jnp.arange(most, dtype=jnp.uint64)
    words = jax.vmap(lambda number: _words(key, number, rounds))(numbers)
    which = (passes - passes[0]).astype(jnp.uint32)

    def one_round(number, places):
        pivot = (words[:, number, 0] % P)[which]
        salt = words[:, number, 1][which]
        partner = pivot - places
        partner = jnp.where(places > pivot, partner + P, partner)
        # Both partners toss the same coin.
        swapped = _coin(jnp.maximum(places, partner) ^ salt)
        return jnp.where(swapped, partner, places)

    return jax.lax.fori_loop(0, rounds, one_round, places, unroll=4)


def _words(
    key: Key[Array, ""], number: UInt64[Array, ""], rounds: int
) -> UInt32[Array, "rounds 2"]:
    """The random numbers of the rounds of one pass."""
    of_pass = jax.random.fold_in(key, number.astype(jnp.uint32))
    return jax.random.bits(of_pass, (rounds, 2), jnp.uint32)


def _coin(word: UInt32[Array, " samples"]):
    """A bit that depends on all bits of a word, as a coin: the end of MurmurHash3."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word >> 31 == 1


@jax.jit
def labels_of_teachers(
    task: Task,
    latents: Float[Array, "samples latents"],
    zeta: Float[Array, " samples"],
    w_star: Float[Array, "seeds teachers latents"],
) -> Float[Array, "seeds samples"]:
    """The noisy labels of all samples under the teacher of each seed."""
    inputs = Inputs(latents, latents, zeta)

    def one_seed(w_star):
        return label(task, inputs, w_star).noisy

    with jax.default_matmul_precision(EXACT):
        return jax.lax.map(one_seed, w_star)


def with_noise(task: Task, data: Dataset) -> Task:
    """The task with the noise of a training set, where that has its own."""
    if data.noise is None:
        return task
    return with_fields(task, {"noise": jnp.asarray(data.noise, jnp.float64)})


def prepared(data: Dataset, problem: Problem, start: Start, N: int) -> Dataset:
    """The training set of a user with the task's mean subtracted from its inputs.

    Raises ValueError if it does not fit the problem, the start or N.
    """
    task = problem.task
    _check_size("x", data.x, N, f"the networks have N = {N} inputs")
    per_step = problem.rule.gradients * problem.samples(N)
    if per_step > len(data):
        raise ValueError(
            f"batch_size: a step of all workers takes {per_step} samples, but data has "
            f"{len(data)}; give a smaller batch, or more samples."
        )
    if task.HAS_CLASSES:
        _check_classes(data, problem)
    else:
        _check_latents(data, problem, N)
        _check_noise(data, problem)
    if data.y is not None and start.network is None:
        raise ValueError(
            "data.y are labels of one teacher, but this start gives every seed a teacher of its "
            "own; start from weights (start_from_weights), or leave y out."
        )
    if task.HAS_CLASSES or not np.any(problem.teacher.input_mean):
        return data
    return with_fields(data, {"x": data.x - problem.teacher.input_mean, "c": data.latents})


def check_shared(networks: SetUp, problem: Problem) -> None:
    """Raise ValueError where every seed has inputs of its own, such as a manifold: one set of
    samples is of one of them.
    """
    if not networks.shared and not problem.task.HAS_CLASSES:
        raise ValueError(
            "data holds one set of inputs, but this start gives every seed its own; start from "
            "weights."
        )


def mark(data: Dataset) -> dict:
    """What a result file says of a training set: it does not keep the samples."""
    digest = hashlib.sha256()
    for part in (data.x, data.c, data.y):
        if part is not None:
            digest.update(np.ascontiguousarray(part).tobytes())
    said = {"samples": len(data), "order": data.order, "sha256": digest.hexdigest()[:16]}
    if data.y is not None:
        return said | {"labels": "given"}
    said |= {"labels": "of each network's teacher", "seed": data.seed}
    if data.noise is not None:
        said["noise"] = data.noise
    return said


def _check_size(name: str, rows: np.ndarray, size: int, holder: str) -> None:
    if rows.shape[1] != size:
        raise ValueError(
            f"data.{name} has shape {rows.shape}, but {holder}; give (samples, {size})."
        )


def _check_classes(data: Dataset, problem: Problem) -> None:
    """Raise ValueError unless a training set for two classes has classes, and nothing that only a
    teacher needs.
    """
    kind = type(problem.task).__name__
    for name in ("c", "noise"):
        if getattr(data, name) is not None:
            raise ValueError(
                f"data.{name} is for a teacher, but the task {kind} has none; leave it out."
            )
    if data.y is None:
        raise ValueError(
            f"data.y is missing, but {kind} has no teacher that labels inputs; give the class +1 "
            "or -1 of each sample."
        )
    wrong = ~np.isin(data.y, (-1.0, 1.0))
    if wrong.any():
        raise ValueError(
            f"data.y has the entry {data.y[wrong][0]:g}, but the labels of {kind} are +1 and -1; "
            "give these."
        )


def _check_latents(data: Dataset, problem: Problem, N: int) -> None:
    """Raise ValueError unless it is known what the teacher sees."""
    task = problem.task
    kind = type(task).__name__
    are_inputs = not task.HAS_MODES and changed_inputs(task) is None
    if data.c is not None:
        D = task.latent_dimension(N)
        _check_size("c", data.c, D, f"the teacher of {kind} sees D = {D} latents")
        if are_inputs and not np.array_equal(data.c, data.x):
            raise ValueError(
                f"data.c is not data.x, but the teacher of {kind} sees the inputs themselves; "
                "leave c out."
            )
    elif data.y is None and not are_inputs:
        raise ValueError(
            f"data.c is missing, but the teacher of {kind} sees latents that are not the inputs; "
            "give c, or the labels y."
        )


def _check_noise(data: Dataset, problem: Problem) -> None:
    """Raise ValueError for two different noises, or a noise that labels of one's own may not
    know.
    """
    if schedules_in(problem.task):
        raise ValueError(
            "data has fixed labels, but the noise or the readout of the task changes with time; "
            "give numbers, or the labels y."
        )
    if data.noise is None:
        return
    if labels_by_method(problem.task):
        raise ValueError(
            f"data.noise = {data.noise:g}, but {type(problem.task).__name__} makes noisy labels "
            "in its own way; leave it out, or give the labels y."
        )
    noise = float(problem.teacher.noise)
    if noise not in (0.0, data.noise):
        raise ValueError(
            f"data.noise = {data.noise:g} and task.noise = {noise:g} are both given and differ; "
            "leave one of them out."
        )
