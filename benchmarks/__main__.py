"""`python -m benchmarks`: one table, each row a ratio measured side by side in this run."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

import teacherstudent as ts
from benchmarks import plain_modes
from benchmarks.activations import PAIRS
from benchmarks.plain_chain import reduced_chain
from benchmarks.plain_euler import euler
from benchmarks.plain_training import train
from benchmarks.side_by_side import Ratio, compare, seconds
from odes.inputs.one_update import Fixed, State
from odes.solving.moments import CHEAP_ERROR
from odes.solving.precision import exact
from odes.solving.solve import solve_all
from odes.solving.trajectory import by_mode
from odes.solving.vector_field import vector_field
from sims import simulate  # noqa: F401 (it registers the inputs of the tasks)
from sims.inputs.normals import normal_numbers
from sims.inputs.source import normal_rows, set_up as set_up_networks
from sims.reduced.draws import draws
from sims.reduced.training import ReducedTraining
from sims.running.devices import Place
from sims.weights.training import WeightsTraining
from teacherstudent.averages.arcsin import arcsin
from teacherstudent.observables.generalisation import averages_of
from teacherstudent.programs.compilation import options
from teacherstudent.results.datasets import as_tree, description

STOP, DT = 1000.0, 0.01
TRANSIENT = 5.0  # when learning is fast; later all methods come to the same fixed point


def set_up(K: int, M: int) -> tuple[ts.Problem, ts.OrderParameters]:
    """A noisy committee and a random start of dimension 1000."""
    problem = ts.Problem(ts.TeacherStudent(M, noise=0.1), ts.Student(K), ts.SGD(0.2))
    return problem, ts.random_start(problem, N=1000, seed=1, T=np.eye(M))


def theory_against_euler(table: Table, K: int, M: int, stop: float, repeats: int) -> None:
    """Warm `integrate` at rtol 1e-6 against NumPy's Euler steps, and the error of each against rtol
    1e-11.
    """
    problem, start = set_up(K, M)
    eta = problem.rule.learning_rate
    ours = lambda: ts.integrate(problem, start, [0.0, STOP], rtol=1e-6, atol=1e-8)
    plain = lambda until: euler(start.Q, start.R, start.T, start.v, np.ones(M), eta, 0.1, until, DT)
    ratio = compare(ours, lambda: plain(stop), repeats)
    scale = STOP / stop  # Euler's cost is proportional to the time integrated
    exact, fast = (
        float(ts.integrate(problem, start, [TRANSIENT], rtol=rtol, atol=rtol / 100).eps_g[0])
        for rtol in (1e-11, 1e-6)
    )
    off = (
        f"eps_g({TRANSIENT:g}) off by {abs(fast - exact):.0e} and "
        f"{abs(plain(TRANSIENT)[2] - exact):.0e}"
    )
    run = f"Euler run to t = {stop:g} and scaled" if scale > 1 else f"to t = {STOP:g}"
    row(
        table,
        f"theory K={K} M={M}, rtol 1e-6",
        "NumPy Euler dt=0.01",
        Ratio(ratio.ours, scale * ratio.other, *(scale * r for r in ratio[2:])),
        f"{run}; {off}",
    )


def sweep_against_single(table: Table) -> None:
    """256 learning rates in one call against 256 times one."""
    problem, start = set_up(4, 2)
    swept = ts.Problem(problem.task, problem.student, ts.SGD(np.linspace(0.05, 0.35, 256)))
    batch = lambda: ts.integrate(swept, start, [0.0, STOP], rtol=1e-6, atol=1e-8)
    single = lambda: ts.integrate(problem, start, [0.0, STOP], rtol=1e-6, atol=1e-8)
    ratio = compare(batch, single)
    per_curve = Ratio(ratio.ours / 256, ratio.other, *(256 * r for r in ratio[2:]))
    row(table, "theory, one of 256 learning rates", "one alone", per_curve, "K=4 M=2, same call")


def any_activation(table: Table, name: str, K: int, M: int) -> None:
    """A warm theory by quadrature against erf's closed forms, to t = 20."""

    def call(student, teacher):
        task = ts.TeacherStudent(M, teacher, noise=0.1)
        problem = ts.Problem(task, ts.Student(K, student), ts.SGD(0.3))
        start = ts.random_start(problem, N=1000, seed=1)
        return lambda: ts.integrate(problem, start, [0.0, 20.0], rtol=1e-6, atol=1e-8)

    theory = call(*PAIRS[name])
    error = description(theory())["report"]["quadrature_error"]
    ratio = compare(theory, call("erf", "erf"), 3)
    note = f"to t = 20, error of averages at most {error:.0e}"
    row(table, f"theory of {name}, K={K} M={M}", "erf, closed forms", ratio, note)


def call_around_solve(table: Table) -> None:
    """A warm `integrate` against its solve alone, and that against its right-hand sides alone."""
    problem, start = set_up(4, 2)
    tolerances = (1e-6, 1e-8)
    call = lambda: ts.integrate(problem, start, [0.0, STOP], rtol=1e-6, atol=1e-8)
    report = description(call())["report"]
    with jax.enable_x64(True):
        begin = by_mode(problem, start)
        given = (problem.for_programs(), begin, np.array([0.0, STOP]), *tolerances, 0.0, 100_000)
        given = (*exact(given), None, np.ones(2))
    static = ((), report["solver"], 100_000, False, (CHEAP_ERROR,), None)
    quick = options("cpu", quick=True)
    compiled = jax.jit(solve_all, static_argnums=range(9, 15), compiler_options=quick)

    def solve():
        with jax.enable_x64(True):
            jax.block_until_ready(compiled(*given, *static))

    evaluations = 6 * report["steps"]
    name = "integrate, K=4 M=2, rtol 1e-6, warm"
    row(table, name, "its solve alone", compare(call, solve, 31), f"{report['steps']} steps")
    fields = right_hand_sides(given[0], given[1], evaluations, quick)
    row(
        table,
        "its solve alone",
        "its right-hand sides",
        compare(solve, fields, 31),
        f"{evaluations} of them",
    )


def right_hand_sides(problem, begin, count: int, compiler_options):
    """So many right-hand sides, one after the other."""
    fixed = Fixed(begin.rho, begin.weights, begin.t, begin.T, begin.noise)
    state = State(begin.q, begin.r, begin.v, begin.b)

    def run(problem, fixed, state):
        def small_step(_, state):
            velocity = vector_field(problem, fixed, state)
            return jax.tree.map(lambda part, change: part + 1e-9 * change, state, velocity)

        return jax.lax.fori_loop(0, count, small_step, state)

    compiled = jax.jit(run, compiler_options=compiler_options)

    def call():
        with jax.enable_x64(True):
            jax.block_until_ready(compiled(problem, fixed, state))

    return call


def cold_start(table: Table) -> None:
    """A whole process: import, compile, integrate K=4, M=2 to t = 1000."""
    code = (
        "import numpy as np, teacherstudent as ts;"
        "p = ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(4), ts.SGD(0.1));"
        "ts.integrate(p, ts.random_start(p, N=1000), [0.0, 1000.0], rtol=1e-6, atol=1e-8)"
    )
    process = lambda: subprocess.run([sys.executable, "-c", code], check=True)
    times = sorted(seconds(process) for _ in range(3))
    table.add_row(
        "whole process, K=4 M=2",
        "-",
        f"{times[1]:.2f} s",
        "-",
        "-",
        "start, compile, integrate to t = 1000",
    )


LARGE = """
import resource, time, numpy as np, teacherstudent as ts
problem = ts.Problem(ts.TeacherStudent(8, noise=0.1), ts.Student(64), ts.SGD(0.2))
start = ts.random_start(problem, N=1000, seed=1, T=np.eye(8))
for _ in range(2):
    began = time.perf_counter()
    ts.integrate(problem, start, [0.0, 100.0], rtol=1e-6, atol=1e-8)
    print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def large_theory(table: Table) -> None:
    """K = 64, M = 8 in a process of its own: seconds, cold and warm, and the most memory it held
    (Linux: GiB).
    """
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    (cold, _), (warm, memory) = (map(float, line.split()) for line in done.stdout.splitlines())
    note = f"to t = 100; first call {cold:.1f} s; process at most {memory:.2f} GiB"
    table.add_row("theory K=64 M=8, rtol 1e-6", "-", readable(warm), "-", "-", note)


IMPORTS = "import jax, xarray, equinox, h5netcdf, pydantic, typer"


def command_line(table: Table) -> None:
    """Whole processes of the command line, with a cache folder of their own that is empty at
    first.
    """
    with tempfile.TemporaryDirectory() as folder:
        flags = os.environ | {"XDG_CACHE_HOME": folder}

        def python(*arguments):
            subprocess.run([sys.executable, *arguments], env=flags, check=True, capture_output=True)

        only = (
            "--theory-only",
            "--quiet",
            "--no-figure",
            "--force",
            "--out",
            f"{folder}/theory.h5",
        )
        run = lambda: python("-m", "teacherstudent", "run", "goldt-2019-scm-k4", *only)
        imports, names = lambda: python("-c", IMPORTS), IMPORTS.removeprefix("import ")

        def first():
            shutil.rmtree(f"{folder}/teacherstudent", ignore_errors=True)
            run()

        row(
            table,
            "command line: run, theory only",
            "its imports",
            compare(first, imports),
            f"K=4 M=2, first time; {names}",
        )
        row(table, "the same again", "its imports", compare(run, imports), "from the programs kept")
        for name in ("--help", "list"):
            best = min(
                seconds(lambda name=name: python("-m", "teacherstudent", name)) for _ in range(3)
            )
            table.add_row(f"command line: {name}", "-", f"{best:.2f} s", "-", "-", "best of 3")


def result_files(table: Table) -> None:
    """Forty variants with a theory and networks each, and one large sweep, to a file and back."""
    problem, start = set_up(4, 2)
    times = np.linspace(0, 10, 60)
    theory = ts.integrate(problem, start, times)
    networks = ts.simulate(problem, start, times, N=100, seeds=8)
    one = as_tree(theory=theory, simulation=networks, comparison=ts.compare(theory, networks))
    variants = as_tree(variants={f"v{number}": one for number in range(40)})
    numbers = np.random.default_rng(0).standard_normal((10_000, *theory.Q.shape))
    large = theory.assign(Q=(("learning_rate", *theory.Q.dims), numbers))
    with tempfile.TemporaryDirectory() as folder:
        for name, tree in (("40 variants", variants), ("a sweep", as_tree(theory=large))):
            file_both_ways(table, name, tree, folder)


def file_both_ways(table: Table, name: str, tree: xr.DataTree, folder: str) -> None:
    """`save` and `load` against xarray's own, which check nothing."""
    ours, other = f"{folder}/ours.h5", f"{folder}/other.h5"

    def write():
        tree.to_netcdf(other, engine="h5netcdf")

    def read():
        with xr.open_datatree(other, engine="h5netcdf") as opened:
            opened.load()

    size = f"{tree.nbytes / 2**20:.0f} MiB"
    saving = compare(lambda: ts.save(ours, tree, force=True), write, 3)
    row(table, f"save {name}", "DataTree.to_netcdf", saving, size)
    loading = compare(lambda: ts.load(ours), read, 3)
    row(table, f"load {name}", "xarray.open_datatree", loading, size)
    validating = compare(lambda: ts.validate(ours), lambda: ts.load(ours), 3)
    row(table, f"validate {name}", "load", validating, size)


def simulation_against_numpy_and_floor(table: Table, seeds: int) -> None:
    """Microseconds per step and seed against a NumPy loop, and against drawing the inputs alone."""
    N, K, M, steps = 1000, 4, 2, 2000
    problem, start = set_up(K, M)
    times = [0.0, steps / N]
    report = {}

    def ours():
        report.update(
            description(ts.simulate(problem, start, times, N=N, seeds=seeds, progress=False))[
                "report"
            ]
        )

    rng = np.random.default_rng(0)
    w, w_star = (rng.standard_normal((units, N)).astype(np.float32) for units in (K, M))
    plain = lambda: train(w, np.ones(K, np.float32), w_star, 0.1, 0.1, steps)
    per_step = lambda ratio, factor: Ratio(
        ratio.ours / steps / seeds,
        ratio.other / steps / factor,
        *(r * seeds / factor for r in ratio[2:]),
    )
    loop = training_loop(problem, start, N, seeds, steps)
    row(
        table,
        f"step, {seeds} seeds, N={N} K={K} M={M}",
        "NumPy loop",
        per_step(compare(loop, plain, 7), 1),
        "per step and seed",
    )
    draws = drawing_alone(N, seeds, steps)
    row(
        table,
        f"step, {seeds} seeds, N={N} K={K} M={M}",
        "its random numbers",
        per_step(compare(loop, draws, 7), seeds),
        "the floor",
    )
    row(
        table,
        f"step, {seeds} seeds, N={N} K={K} M={M}",
        "its memory traffic",
        per_step(compare(loop, traffic_alone(N, K, seeds, steps), 7), seeds),
        "the weights read and written once",
    )
    row(
        table,
        f"simulate, {seeds} seeds, whole call",
        "its random numbers",
        per_step(compare(ours, draws, 5), seeds),
        "with start and records",
    )


def training_loop(problem, start, N, seeds, steps, dtype="float32"):
    """The compiled steps of the simulator, without starting weights and records."""
    numbers = list(range(seeds))
    with jax.enable_x64(True):
        networks = set_up_networks(problem.task, start, N, numbers)
        training = WeightsTraining(problem, networks, numbers, [steps], dtype, 0)
    return stepping(training, steps)


def chain_loop(problem, start, N, seeds, steps, dtype="float32"):
    """The compiled updates of the reduced chain alone, on one device."""
    with jax.enable_x64(True):
        numbers = list(range(seeds))
        training = ReducedTraining(
            problem, [start], N, numbers, [steps], dtype, Place((jax.local_devices()[0],))
        )
    return stepping(training, steps)


def stepping(training, steps: int):
    """A call of so many updates."""

    def call():
        with jax.enable_x64(True):
            training.run = training.advanced(jnp.uint32(0), jnp.uint32(steps))
            jax.block_until_ready(training.run)

    call.training = training
    return call


def as_simulated(function):
    """Compiled as the simulators are; otherwise a floor draws its random numbers twice."""
    return jax.jit(function, compiler_options=options(jax.default_backend()))


def traffic_alone(N: int, K: int, seeds: int, steps: int):
    """All weights read, scaled and written, once for each step."""
    w = jnp.ones((seeds, K, N), jnp.float32)
    scaled = jax.jit(lambda w: jax.lax.fori_loop(0, steps, lambda _, w: jnp.float32(0.999) * w, w))
    return lambda: jax.block_until_ready(scaled(w))


def drawing_alone(N: int, seeds: int, steps: int):
    """The same number of float32 normals, in blocks of the same memory, summed so that they are not
    optimised away.
    """
    block = max(1, min(64, 2**18 // (4 * N * seeds)))

    @as_simulated
    def draw(keys):
        def one_block(total, number):
            fresh = jax.vmap(
                lambda key: normal_numbers(jax.random.fold_in(key, number), block * N, "float32")
            )(keys)
            return total + fresh.sum(), None

        return jax.lax.scan(one_block, jnp.float32(0), jnp.arange(steps // block))[0]

    keys = jax.random.split(jax.random.key(0), seeds)

    def call():
        with jax.enable_x64(True):
            jax.block_until_ready(draw(keys))

    return call


def chain_against_weights(table: Table) -> None:
    """An update of the reduced chain against the random numbers it takes, NumPy, and the weights at
    two sizes.
    """
    K, M, seeds, steps = 4, 2, 512, 2000
    problem, start = set_up(K, M)
    chain = chain_loop(problem, start, 1000, seeds, steps)
    per_step = lambda ratio, ours, other: Ratio(
        ratio.ours / ours, ratio.other / other, *(r * ours / other for r in ratio[2:])
    )
    name, updates = f"reduced, {seeds} seeds, K={K} M={M}", seeds * steps
    numbers = compare(chain, chain_numbers(chain.training, steps))
    row(table, name, "its random numbers", per_step(numbers, updates, updates), "one device")
    plain = lambda: reduced_chain(start, 0.2, 0.1, 1000, 500)
    row(
        table,
        name,
        "NumPy, one seed",
        per_step(compare(chain, plain, 3), updates, 500),
        "Gram form, loop over updates",
    )
    for N, networks, count in ((1000, 8, 2000), (10_000, 8, 200)):
        weights = training_loop(problem, start, N, networks, count)
        row(
            table,
            name,
            f"weights, N={N}",
            per_step(compare(chain, weights), updates, networks * count),
            "same law",
        )
    large = chain_loop(problem, start, 10**6, seeds, steps)
    row(
        table,
        "reduced, N=1000000",
        "reduced, N=1000",
        per_step(compare(large, chain), updates, updates),
        "",
    )
    double = chain_loop(problem, start, 1000, seeds, steps, "float64")
    row(table, name, "in float64", per_step(compare(chain, double), updates, updates), "")
    for students, teachers in ((2, 1), (8, 4), (16, 8)):
        other = chain_loop(*set_up(students, teachers), 1000, seeds, 200)
        ratio = per_step(compare(chain, other, 3), updates, seeds * 200)
        row(table, name, f"K={students} M={teachers}", ratio, "growth in K and M")
    for count in (128, 4096):
        other = chain_loop(problem, start, 1000, count, updates // count)
        ratio = per_step(compare(chain, other, 3), updates, updates)
        row(table, name, f"{count} seeds", ratio, "growth in seeds, per update and seed")


def growth_of_weights(table: Table) -> None:
    """A step and seed of whole weights beside other numbers of seeds, inputs and units."""
    N, seeds, steps = 1000, 8, 2000
    loop = training_loop(*set_up(4, 2), N, seeds, steps)
    for label, (K, M), other_N, other_seeds in (
        ("1 seed", (4, 2), N, 1),
        ("128 seeds", (4, 2), N, 128),
        ("N=4000", (4, 2), 4 * N, seeds),
        ("K=16 M=8", (16, 8), N, seeds),
    ):
        count = max(100, steps * seeds * N // (other_seeds * other_N))
        other = training_loop(*set_up(K, M), other_N, other_seeds, count)
        ratio = compare(loop, other, 5)
        ours, others = steps * seeds, count * other_seeds
        per_step = Ratio(
            ratio.ours / ours, ratio.other / others, *(r * ours / others for r in ratio[2:])
        )
        row(
            table,
            f"step, {seeds} seeds, N={N} K=4 M=2",
            label,
            per_step,
            "growth, per step and seed",
        )


def chain_numbers(training, steps: int):
    """The random numbers of so many updates of a chain."""
    block = training.block

    @as_simulated
    def draw(law, keys):
        def one_block(number, total):
            drawn = draws(law, keys, number * block + jnp.arange(block, dtype=jnp.uint32))
            return total + sum(jnp.sum(part) for part in jax.tree.leaves(drawn))

        return jax.lax.fori_loop(
            jnp.uint32(0), jnp.uint32(steps // block), one_block, jnp.float32(0)
        )

    def call():
        with jax.enable_x64(True):
            jax.block_until_ready(draw(training.law, training.keys))

    return call


TWO_DEVICES = """
import jax, time
import teacherstudent as ts
problem = ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(4), ts.SGD(0.2))
start = ts.random_start(problem, N=1000, seed=1)
for method, N, seeds, t in (("reduced", 10**5, 1024, 0.3), ("weights", 1000, 16, 4.0)):
    best = {}
    for _ in range(4):
        for device in ("cpu:0", "cpu"):
            began = time.perf_counter()
            ts.simulate(problem, start, [0, t], N=N, seeds=seeds, method=method, device=device)
            best[device] = min(best.get(device, 1e9), time.perf_counter() - began)
    print(method, best["cpu:0"], best["cpu"])
"""


def two_devices(table: Table) -> None:
    """A whole `simulate` on one and on two devices of this host."""
    flags = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], env=flags, capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        method, one, two = line.split()
        ratio = float(one) / float(two)
        row(
            table,
            f"{method}, two devices",
            "one device",
            Ratio(float(two), float(one), *[ratio] * 3),
            "best of 4, whole call",
        )


def growth_of_theory(table: Table, K: int, M: int) -> None:
    """The fourth average as K and M grow, beside the arcsines it needs."""
    problem, start = set_up(K, M)
    entries = K * (K + 1) // 2 * (K + M) * (K + M + 1) // 2
    with jax.enable_x64(True):
        fourth = jax.jit(averages_of(problem).I4, compiler_options=options(jax.default_backend()))
        arcsines = jax.jit(lambda x: jnp.sum(arcsin(x)))
        C, u, x = (
            jnp.asarray(start.C),
            jnp.linspace(1.0, -1.0, K + M),
            jnp.linspace(-0.9, 0.9, entries),
        )
        ours = lambda: jax.block_until_ready(fourth(C, u))
        floor = lambda: jax.block_until_ready(arcsines(x))
        row(
            table,
            f"fourth average, K={K} M={M}",
            "its arcsines alone",
            compare(ours, floor, 15),
            f"{entries} of them",
        )


def modes_against_scipy(table: Table) -> None:
    """1000 eigenvalues of a hidden manifold, N = 4000, D = 1000, to t = 1000: against NumPy and
    SciPy at the same tolerances.
    """
    problem = ts.Problem(
        ts.HiddenManifold(2, "erf", "sign", 0.25, noise=0.1), ts.Student(2), ts.SGD(0.2)
    )
    start = ts.random_start(problem, N=4000, seed=0)
    ours = lambda: ts.integrate(problem, start, [0.0, STOP], rtol=1e-6, atol=1e-8)
    plain = lambda: plain_modes.solve(start, np.ones(2), 0.2, 0.1, STOP, 1e-6, 1e-8)
    told = f"to t = {STOP:g}; R differs by {abs(ours().R.values[-1] - plain()[1]).max():.0e}"
    row(table, "theory, 1001 modes, K=M=2", "NumPy, SciPy DOP853", compare(ours, plain, 3), told)
    spectrum = lambda: ts.random_start(problem, N=4000, seed=0)
    table.add_row(
        "its start: draw F, decompose it",
        "-",
        readable(seconds(spectrum)),
        "-",
        "-",
        "N=4000 D=1000",
    )


def manifold_against_product(table: Table, delta: float, seeds: int, own: bool = False) -> None:
    """Microseconds per step and seed on a hidden manifold against the matrix product that makes its
    inputs.
    """
    N, K, M = 1000, 4, 2
    steps = 2048 if delta < 1 else 512
    problem = ts.Problem(
        ts.HiddenManifold(M, "erf", "sign", delta, noise=0.1), ts.Student(K), ts.SGD(0.1)
    )
    start = (
        ts.OrderParameters(np.eye(K), np.zeros((K, M)))
        if own
        else ts.random_start(problem, N=N, seed=1)
    )
    loop = training_loop(problem, start, N, seeds, steps)
    whose = "own F each" if own else "one F"
    name = f"step, {seeds} seeds, manifold D={round(delta * N)}"
    for drawn, floor in ((False, "its matrix product"), (True, "product and latents")):
        product = product_alone(
            N, round(delta * N), min(512, seeds * loop.training.block), seeds * steps, drawn
        )
        ratio = compare(loop, product, 5)
        per_step = Ratio(ratio.ours / steps / seeds, ratio.other / steps / seeds, *ratio[2:])
        row(table, name, floor, per_step, f"N={N} K={K} M={M}, {whose}")


def product_alone(N: int, D: int, rows: int, samples: int, drawn: bool):
    """c F^T for the same number of latents c, in blocks of as many rows; the latents drawn as well,
    or not.
    """
    F, c, key = jnp.ones((N, D), jnp.float32), jnp.ones((rows, D), jnp.float32), jax.random.key(0)

    @as_simulated
    def multiply(c, F):
        def one_block(
            number, total
        ):  # the latents change, so that the product is not taken out of the loop
            keys = jax.random.split(jax.random.fold_in(key, number), rows)
            latents = normal_rows(keys, D, jnp.float32) if drawn else c + number.astype(jnp.float32)
            return total + jnp.einsum("br,nr->bn", latents, F)[:, ::100].sum()

        return jax.lax.fori_loop(0, samples // rows, one_block, jnp.float32(0))

    def run():
        with jax.enable_x64(True):  # for the words of the random numbers
            jax.block_until_ready(multiply(c, F))

    return run


RULES = (
    ts.SphericalSGD(0.1),
    ts.HeavyBall(0.01, beta=0.9),
    ts.SignSGD(0.1),
    ts.Signum(0.1, beta=0.9),
    ts.MajorityVote(0.1, workers=3),
    ts.AGD(),
    ts.Fromage(0.1),
    ts.Nero(0.1),
    ts.Madam(0.1),
)


def rules_against_sgd(table: Table) -> None:
    """A simulated step of every rule against one of SGD; a vote of three workers takes three times
    the samples.
    """
    N, seeds, steps = 1000, 8, 2000
    task, student = ts.TeacherStudent(2, noise=0.1), ts.Student(4, train_readout=True)
    start = ts.OrderParameters(np.eye(4), np.full((4, 2), 0.1), v=np.ones(4))
    loop = lambda rule: training_loop(ts.Problem(task, student, rule), start, N, seeds, steps)
    sgd = loop(ts.SGD(0.1))
    for rule in RULES:
        ratio = compare(loop(rule), sgd, 5)
        per_step = Ratio(ratio.ours / steps / seeds, ratio.other / steps / seeds, *ratio[2:])
        row(
            table,
            f"step of {type(rule).__name__}",
            "step of SGD",
            per_step,
            "N=1000 K=4 M=2, both layers, 8 seeds",
        )


def sign_theory(table: Table) -> None:
    """Warm and cold solves of sign-SGD's theory with batches of 16."""
    problem = ts.Problem(
        ts.TeacherStudent(2, noise=0.2), ts.Student(2), ts.SignSGD(0.3), batch_size=16
    )
    start = ts.OrderParameters([[0.5, 0.1], [0.1, 0.3]], [[0.1, -0.05], [0.02, 0.15]])
    solve = lambda: ts.integrate(problem, start, np.linspace(0, 20, 21))
    cold, warm = seconds(solve), seconds(solve)
    table.add_row(
        "theory, sign-SGD, K=M=2, B=16",
        "-",
        readable(warm),
        "-",
        "-",
        f"to t = 20, warm; cold {cold:.1f} s",
    )


def row(table: Table, ours: str, other: str, ratio: Ratio, note: str) -> None:
    """One line: what, against what, both times, their ratio with its range."""
    shown = f"{ratio.ratio:.3g} ({ratio.least:.3g} to {ratio.most:.3g})"
    table.add_row(ours, other, readable(ratio.ours), readable(ratio.other), shown, note)


def readable(value: float) -> str:
    """Seconds with a unit."""
    unit, size = next((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("us", 0.0)) if value >= s)
    return f"{value / (size or 1e-6):.3g} {unit}"


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    table = Table(
        "ours",
        "other",
        "ours takes",
        "other takes",
        "other / ours (range)",
        "",
        title="medians of runs in turn",
    )
    theory_against_euler(table, 4, 2, STOP, repeats=3)
    theory_against_euler(table, 16, 8, 5.0, repeats=3)
    for K, M in ((1, 1), (2, 2), (3, 2), (5, 3)):
        any_activation(table, "tanh, tanh", K, M)
    any_activation(table, "gelu, relu", 2, 2)
    sweep_against_single(table)
    call_around_solve(table)
    cold_start(table)
    command_line(table)
    result_files(table)
    large_theory(table)
    for seeds in (8, 32):
        simulation_against_numpy_and_floor(table, seeds)
    growth_of_weights(table)
    chain_against_weights(table)
    two_devices(table)
    for K, M in ((4, 2), (8, 4), (16, 8), (32, 8), (64, 8)):
        growth_of_theory(table, K, M)
    modes_against_scipy(table)
    for delta in (0.1, 0.5, 2.0):
        manifold_against_product(table, delta, 8)
    manifold_against_product(table, 0.5, 32)
    manifold_against_product(table, 0.5, 8, own=True)
    rules_against_sgd(table)
    sign_theory(table)
    Console(width=170).print(table)
    device = jax.devices()[0]
    print(
        f"{device.platform}: {device.device_kind}; jax {jax.__version__}; "
        f"{time.perf_counter() - began:.0f} s in all"
    )


if __name__ == "__main__":
    main()
