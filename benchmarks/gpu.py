"""What a GPU makes of simulators and theory: `python -m benchmarks.gpu`, beside the floors of the
same device and the targets.

Rates are updates times seeds in a second, the best of several runs of about 0.3 s each.  A part
that fails says so, and the others go on.  On a machine without a GPU the same parts run with a few
seeds each, as a rehearsal.
"""

import time
import traceback
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import teacherstudent as ts
from benchmarks.__main__ import product_alone
from sims import simulate  # noqa: F401 (it registers the inputs of the tasks)
from sims.inputs.normals import normal_numbers
from sims.inputs.source import set_up
from sims.reduced import draws as reduced_draws
from sims.reduced.training import ReducedTraining
from sims.running.devices import Place
from sims.running.network import EXACT
from sims.weights.training import WeightsTraining
from teacherstudent.programs.compilation import options

K, M, N = 4, 2, 1000
ROUNDS = 4
CHAIN_TARGET, WEIGHTS_TARGET = 1e9, 5e7
LEAST_SECONDS = 0.3
SWEPT, SWEPT_UNTIL = 1024, 100.0

PROBLEM = ts.Problem(ts.TeacherStudent(M, noise=0.1), ts.Student(K), ts.SGD(0.3))


def best(run: Callable[[int], None], least: float = LEAST_SECONDS) -> float:
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


def stepper(training) -> Callable[[int], None]:
    """Updates in one call of the training's program."""

    def run(count):
        training.run = training.advanced(jnp.uint32(0), jnp.uint32(count))
        jax.block_until_ready(training.run)

    return run


def chain(seeds: int, there: Place) -> ReducedTraining:
    """The reduced chain: random numbers in float32, rows in float64."""
    start = ts.random_start(PROBLEM, N=N, seed=0)
    return ReducedTraining(PROBLEM, [start], N, list(range(seeds)), [0, 1], "float32", there)


def weights(seeds: int, there: Place, problem: ts.Problem = PROBLEM) -> WeightsTraining:
    """Whole weights in float32."""
    start = ts.random_start(problem, N=N, seed=0)
    numbers = list(range(seeds))
    networks = set_up(problem.task, start, N, numbers)
    return WeightsTraining(problem, networks, numbers, [0, 1], "float32", 0, place=there)


def programs(training, platform: str) -> list[bool]:
    """Whether to run the kernel: with and without it, where it runs."""
    if training.fused:
        return [True, False]
    if platform != "cpu":
        print("  (no kernel: the warning above says why)", flush=True)
    return [False]


def random_numbers_of_chain(seeds: int, there: Place) -> float:
    """Updates of the chain's random numbers in a second."""
    training = chain(seeds, there)
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


def normals_per_second(size: int) -> float:
    """Numbers of the stream, written to memory."""
    draw = jax.jit(
        lambda key: normal_numbers(key, size, "float32"),
        compiler_options=options(jax.default_backend()),
    )
    key = jax.random.key(0, impl="threefry2x32")
    return size / best(lambda count: _again(draw, key, count))


def bytes_per_second(size: int) -> float:
    """Read and written."""
    x = jnp.ones(size, "float32")
    copy = jax.jit(lambda x: x + 1)
    return 2 * 4 * size / best(lambda count: _again(copy, x, count))


def products_per_second(size: int, precision: str) -> float:
    """Multiplications and additions of a large matrix product."""
    x = jnp.ones((size, size), "float32")
    multiply = jax.jit(lambda x: jnp.matmul(x, x, precision=precision))
    return 2 * size**3 / best(lambda count: _again(multiply, x, count))


def _again(f: Callable, x, count: int) -> None:
    """As many calls; a device works them off in a row."""
    for _ in range(min(count, 2000) - 1):
        f(x)
    f(x).block_until_ready()


def floors(there: Place) -> None:
    """What the device can do at most."""
    size = 2**26 if there.platform != "cpu" else 2**20
    normals, traffic = normals_per_second(size), bytes_per_second(4 * size)
    print(f"floors: {normals:.3g} normal numbers/s, {traffic:.3g} bytes/s (read + write)")
    side = 4096 if there.platform != "cpu" else 512
    exact, default = (products_per_second(side, one) for one in ("highest", "default"))
    print(
        f"  matrix products: {exact:.3g} flop/s in float32, {default:.3g} as JAX would by default"
    )
    # The weights' floors: their random numbers, and reading and writing the weights at each step.
    print(f"  of weights at N = {N}: random numbers {normals / N:.3g} updates x seeds/s", end="")
    per_update = 4 * N * (2 * K + M + 2)
    print(f", traffic of a loop {traffic / per_update:.3g} (a kernel has none of it)", flush=True)


def rates_of_chain(there: Place) -> None:
    """The chain beside its random numbers and its target."""
    for seeds in (2**14, 2**17) if there.platform != "cpu" else (2**8, 2**10):
        floor = random_numbers_of_chain(seeds, there)
        print(f"reduced, random numbers {seeds:8} seeds: {floor:.3g} updates x seeds/s", flush=True)
        training = chain(seeds, there)
        for fused in programs(training, there.platform):
            training.fused = fused
            rate = seeds / best(stepper(training))
            told(f"reduced, {training.program:14} {seeds:8} seeds", rate, CHAIN_TARGET, floor)


def rates_of_weights(there: Place) -> None:
    """Whole weights beside their random numbers and their target."""
    size = 2**26 if there.platform != "cpu" else 2**20
    floor = normals_per_second(size) / N
    for seeds in (256, 1024, 4096, 16384) if there.platform != "cpu" else (8, 32):
        training = weights(seeds, there)
        for fused in programs(training, there.platform):
            training.fused = fused
            rate = seeds / best(stepper(training))
            told(f"weights, {training.program:14} {seeds:8} seeds", rate, WEIGHTS_TARGET, floor)


def told(what: str, rate: float, target: float, floor: float) -> None:
    """One line: a rate, its part of the target and of the rate of the random numbers."""
    print(
        f"{what}: {rate:.3g} updates x seeds/s, {rate / target:.2f} of the target {target:.0e}, "
        f"{rate / floor:.2f} of its random numbers",
        flush=True,
    )


def rates_of_manifold(there: Place) -> None:
    """A hidden manifold beside the matrix product of its latents."""
    seeds = 1024 if there.platform != "cpu" else 8
    for D in (100, 500):
        task = ts.HiddenManifold(M, "erf", "sign", D / N, noise=0.1)
        problem = ts.Problem(task, ts.Student(K), ts.SGD(0.1))
        training = weights(seeds, there, problem)
        samples = max(seeds * training.block, 512)
        with jax.default_matmul_precision(EXACT):
            multiply = product_alone(N, D, min(samples, 2**16), samples, False)
            per_product = best(lambda count, run=multiply: [run() for _ in range(count)]) / samples
        per_step = best(stepper(training)) / seeds
        print(
            f"manifold D = {D:4}, {seeds} seeds: {1 / per_step:.3g} updates x seeds/s, "
            f"{per_step / per_product:.2f} times its matrix product",
            flush=True,
        )


def sweep_of_theory(there: Place) -> None:
    """`integrate` with as many learning rates, on this device and on the CPU of this machine."""
    count = SWEPT if there.platform != "cpu" else 64
    until = SWEPT_UNTIL if there.platform != "cpu" else 5.0
    start = ts.random_start(PROBLEM, N=N, seed=1, T=np.eye(M))
    rates = np.linspace(0.05, 0.35, count)
    swept = ts.Problem(PROBLEM.task, PROBLEM.student, ts.SGD(rates))
    found, seconds = [], []
    for device in (there.devices[0], jax.devices("cpu")[0]):
        with jax.default_device(device):
            solve = lambda: ts.integrate(swept, start, [0.0, until], rtol=1e-6, atol=1e-8)
            solve()
            began = time.perf_counter()
            found.append(solve())
            seconds.append(time.perf_counter() - began)
    differ = float(abs(found[0].eps_g - found[1].eps_g).max())
    print(
        f"theory, {count} learning rates to t = {until:g}: {seconds[0]:.3g} s here, "
        f"{seconds[1]:.3g} s on the CPU; eps_g differs by {differ:.0e}",
        flush=True,
    )


PARTS = (floors, rates_of_chain, rates_of_weights, rates_of_manifold, sweep_of_theory)


def main() -> None:
    """Print the table."""
    there = Place((jax.local_devices()[0],))
    kind = there.devices[0].device_kind
    print(f"{kind}, jax {jax.__version__}; K = {K}, M = {M}, N = {N}, float32", flush=True)
    for part in PARTS:
        began = time.perf_counter()
        try:
            with jax.enable_x64(True):
                part(there)
        except Exception:  # one part of a rare hour on a card must not lose the others
            traceback.print_exc()
            print(f"{part.__name__} FAILED", flush=True)
        print(f"  ({part.__name__}: {time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
