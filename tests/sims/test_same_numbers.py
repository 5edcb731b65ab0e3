"""A seed's numbers, bit for bit, however fast the machine is, wherever a run is cut, and whenever
it is looked at.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from sims.running.blocks import over_blocks
from sims.running.loop import CALL_SECONDS, NEVER, Pace
from tests.long import mostly_long
from tests.sims.clocks import CLOCKS, bytes_of, clock, erratic, last_networks
from tests.sims.interruption import interrupted_after

STUDENT = ts.Student(2, "erf", train_readout=True)
MIXTURE = ts.GaussianMixture.xor(0.3)
RULES = {"SGD": ts.SGD(0.3, 0.2), "votes": ts.MajorityVote(0.2, workers=3)}
CASES = {
    "spike": (ts.Problem(ts.SpikedCumulant(5.0), ts.Student(1), ts.SGD(0.3)), "weights", "float32"),
    "mixture": (ts.Problem(MIXTURE, STUDENT, ts.SGD(0.3, 0.2), batch_size=3), "weights", "float64"),
    "mixture, float32": (ts.Problem(MIXTURE, STUDENT, RULES["votes"]), "weights", "float32"),
    "manifold": (
        ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.5), STUDENT, RULES["SGD"]),
        "weights",
        "float32",
    ),
    "chain": (
        ts.Problem(ts.TeacherStudent(2, noise=0.2), STUDENT, RULES["SGD"]),
        "reduced",
        "float32",
    ),
}
KEPT = ["spike", "chain"]  # whole weights and overlaps
SIZES = {"spike": 1000}  # whose blocks, 13 steps of 5 seeds, no vector of the processor divides
LAST = 284
STEPS = [0, LAST]
MORE_STEPS = [0, *range(1, LAST, 37), LAST]


def run(name: str, steps=STEPS, **options):
    """A simulation, and its networks at the end."""
    problem, method, dtype = CASES[name]
    N = SIZES.get(name, 71)
    start = ts.random_start(problem, N, seed=1)
    given = {"N": N, "seeds": 5, "method": method, "dtype": dtype, "progress": False}
    with last_networks() as networks:
        data = ts.simulate(problem, start, np.asarray(steps) / N, **given, **options)
    return data, networks


@cache
def straight(name: str):
    """The simulation without any disturbance."""
    return run(name)


def check_same(name: str, data, networks) -> None:
    usual, usual_networks = straight(name)
    assert bytes_of(networks) == bytes_of(usual_networks)
    for variable in usual.data_vars:
        first, last = (data[variable], usual[variable])
        if "time" in first.dims:
            first = first.sel(time=usual.time)
        np.testing.assert_array_equal(first, last)


@pytest.mark.parametrize("name", mostly_long(CASES, KEPT))
@pytest.mark.parametrize("speed", list(CLOCKS))
def test_a_slow_machine_has_the_numbers_of_a_fast_one(name, speed):
    with clock(CLOCKS[speed]()):
        data, networks = run(name)
    check_same(name, data, networks)


@pytest.mark.parametrize("name", mostly_long(CASES, KEPT))
def test_numbers_do_not_depend_on_the_recorded_times(name):
    check_same(name, *run(name, MORE_STEPS))


@pytest.mark.parametrize("name", mostly_long(CASES, KEPT))
@pytest.mark.parametrize("steps", [0, 38, 200])
def test_a_run_that_was_killed_goes_on_with_the_same_numbers(name, steps, tmp_path):
    path = tmp_path / "run.npz"
    with clock(erratic(steps)), interrupted_after(steps):
        run(name, MORE_STEPS, checkpoint=path)
    check_same(name, *run(name, MORE_STEPS, checkpoint=path))


@pytest.mark.parametrize(
    ("done", "target", "block", "stop"),
    [
        (0, 1000, 64, 256),  # whole blocks
        (10, 1000, 64, 256),  # to where a block ends
        (10, 40, 64, 40),  # to a recorded time
        (250, 1000, 300, 300),  # never less than what is left of a block
        (300, 1000, 300, 600),
    ],
)
def test_a_call_ends_with_a_block(done, target, block, stop):
    assert done + Pace().count(done, target, block) == stop


def test_calls_grow_to_the_time_between_two_looks():
    pace = Pace()
    for _ in range(20):
        pace.measure(pace.steps, pace.steps * 1e-4)
    assert pace.steps == pytest.approx(CALL_SECONDS / 1e-4, abs=1)
    pace.measure(1000, 0.0)
    assert pace.steps == pytest.approx(2 * CALL_SECONDS / 1e-4, abs=2)
    pace.measure(1, 100.0)
    assert pace.steps == 1


@pytest.mark.parametrize("block", [1, 3, 64])
@pytest.mark.parametrize(
    ("first", "count"), [(0, 0), (5, 0), (0, 7), (2, 1), (6, 130), (NEVER - 9, 9)]
)
def test_every_step_is_taken_once_at_its_place_in_a_block(first, count, block):
    visits = jnp.zeros(count + 1, jnp.int32)

    def visit(span, visited):
        def one_step(index, visited):
            number = span.numbers(block)[index]
            return visited.at[number - first].add(jnp.where(number % block == index, 1, 100))

        return jax.lax.fori_loop(span.first, span.stop, one_step, visited)

    walk = jax.jit(lambda first, count: over_blocks(visit, visits, first, count, block))
    visited = walk(jnp.uint32(first), jnp.uint32(count))
    assert visited.tolist() == [1] * count + [0]
