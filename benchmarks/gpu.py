"""What a GPU makes of the simulators: `python -m benchmarks.gpu`, beside the floors of the same
device.

Rates are updates times seeds in a second, the best of several runs of about half a second each.
"""

import time

import jax
import jax.numpy as jnp

import teacherstudent as ts
from sims import simulate  # noqa: F401 (it registers the inputs of the tasks)
from sims.inputs.source import set_up
from sims.reduced import draws as reduced_draws, training as reduced_training
from sims.reduced.training import ReducedTraining
from sims.running.devices import place
from sims.weights.training import WeightsTraining

K, M, N = 4, 2, 1000
ROUNDS = 4


def best(run, least=0.3) -> float:
    """Seconds of one call of `run(repeats)` over its repeats."""
    repeats = 1
    run(repeats)
    while True:
        began = time.perf_counter()
        run(repeats)
        seconds = time.perf_counter() - began
        if seconds > least:
            break
        repeats = max(2 * repeats, int(1.2 * repeats * least / max(seconds, 1e-4)))
    times = [seconds]
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run(repeats)
        times.append(time.perf_counter() - began)
    return min(times) / repeats


def stepper(training):
    """Updates in one call of the training's program."""

    def run(count):
        training.run = training.advanced(jnp.uint32(0), jnp.uint32(count))
        jax.block_until_ready(training.run)

    return run


def chain(seeds: int, fused: bool, there, dtype="float32") -> float:
    problem = ts.Problem(ts.TeacherStudent(M, noise=0.1), ts.Student(K), ts.SGD(0.3))
    start = ts.random_start(problem, N=N, seed=0)
    training = ReducedTraining(problem, [start], N, list(range(seeds)), [0, 1], dtype, there)
    training.fused = fused
    return seeds / best(stepper(training))


def random_numbers_of_chain(seeds: int, there) -> float:
    problem = ts.Problem(ts.TeacherStudent(M, noise=0.1), ts.Student(K), ts.SGD(0.3))
    start = ts.random_start(problem, N=N, seed=0)
    training = ReducedTraining(problem, [start], N, list(range(seeds)), [0, 1], "float32", there)
    block = training.block

    @jax.jit
    def draw(law, keys, count):
        def more(index, kept):
            numbers = index * block + jnp.arange(block, dtype=jnp.uint32)
            new = reduced_draws.draws(law, keys, numbers)
            return jax.tree.map(lambda a, b: jax.lax.optimization_barrier((a, b))[1], kept, new)

        first = reduced_draws.draws(law, keys, jnp.arange(block, dtype=jnp.uint32))
        return jax.lax.fori_loop(jnp.uint32(0), count, more, first)

    run = lambda count: jax.block_until_ready(draw(training.law, training.keys, jnp.uint32(count)))
    return seeds * block / best(run)


def weights(seeds: int, fused: bool, there) -> float:
    problem = ts.Problem(ts.TeacherStudent(M, noise=0.1), ts.Student(K), ts.SGD(0.3))
    start = ts.random_start(problem, N=N, seed=0)
    numbers = list(range(seeds))
    training = WeightsTraining(
        problem, set_up(problem.task, start, N, numbers), numbers, [0, 1], "float32", 0, place=there
    )
    training.fused = fused
    return seeds / best(stepper(training))


def normals_per_second(there) -> float:
    from sims.inputs.normals import normal_numbers

    draw = jax.jit(lambda key: normal_numbers(key, 2**26, "float32"))
    key = jax.random.key(0)
    return 2**26 / best(lambda count: _again(draw, key, count))


def bytes_per_second(there) -> float:
    x = jnp.ones(2**28, "float32")
    copy = jax.jit(lambda x: x + 1)
    return 2 * 4 * 2**28 / best(lambda count: _again(copy, x, count))


def _again(f, x, count: int) -> None:
    for _ in range(min(count, 2000)):
        f(x).block_until_ready()


def main() -> None:
    """Print the table."""
    with jax.enable_x64(True):
        there = place(None)
        name = there.devices[0].device_kind
        print(f"{name}, jax {jax.__version__}; K = {K}, M = {M}, float32")
        print(
            f"floor: {normals_per_second(there):.3g} normal numbers/s, "
            f"{bytes_per_second(there):.3g} bytes/s (read + write)"
        )
        on_gpu = there.platform != "cpu"
        for seeds in (2**14, 2**17) if on_gpu else (2**8, 2**12):
            for fused in (True, False) if on_gpu else (False,):
                kind = "kernel" if fused else "scan"
                print(
                    f"reduced, {kind:6} {seeds:8} seeds: {chain(seeds, fused, there):.3g} updates "
                    "x seeds/s",
                    flush=True,
                )
                reduced_training.program.cache_clear()
            print(
                f"its random numbers {seeds:6} seeds: "
                f"{random_numbers_of_chain(seeds, there):.3g}/s",
                flush=True,
            )
        for seeds in (256, 1024, 4096, 16384) if on_gpu else (8, 64):
            for fused in (True, False) if on_gpu else (False,):
                kind, rate = "kernel" if fused else "loop", weights(seeds, fused, there)
                print(
                    f"weights N = {N}, {kind:6} {seeds:8} seeds: {rate:.3g} updates x seeds/s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
