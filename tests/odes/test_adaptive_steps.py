"""The plain loop takes the steps of diffrax's own, and ends where that ends."""

import itertools
from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from odes.solving.adaptive_steps import adaptive_steps
from odes.solving.solve import by_diffrax
from tests.long import mostly_long

TIMES = {
    "from zero": [0.0, 0.1, 0.11, 5.0, 20.0],
    "later": [3.0, 7.0],
    "only zero": [0.0],
    "many in one step": list(np.linspace(0.0, 1e-3, 50)),
}


SOLVERS = ("Tsit5", "Dopri8")


@pytest.fixture(params=mostly_long(SOLVERS, ["Dopri8"]))
def solver(request):
    return getattr(diffrax, request.param)()


def oscillator(t, y, damping):
    """Van der Pol's, whose steps must change."""
    x, speed = y
    return jnp.stack([speed, damping * (1 - x**2) * speed - x])


def explosion(t, y, rate):
    return rate * y**2


def root_mean_square(errors):
    return jnp.sqrt(jnp.mean(errors**2))


def solved(loop, solver, field, y, argument, times, max_steps=10_000, meter=None):
    controller = diffrax.PIDController(
        rtol=1e-7, atol=1e-9, dtmin=1e-12, force_dtmin=False, norm=root_mean_square
    )
    if meter is None:
        meter = diffrax.NoProgressMeter()

    def observe(t, y, args):
        return {"y": y, "t": t}

    def diverged(y):
        return jnp.max(jnp.abs(y)) > 1e6

    zero = jnp.zeros(())

    @jax.jit
    def solve(y, argument, times):
        found = loop(
            field, y, argument, zero, times, observe, diverged, solver, controller, max_steps, meter
        )
        return found._replace(loop=None)  # which diffrax does not tell

    return solve(jnp.asarray(y), jnp.asarray(argument), jnp.asarray(times))


def both(*arguments, **options):
    return [
        solved(loop, *arguments, **options)
        for loop in (adaptive_steps, partial(by_diffrax, diffrax.ForwardMode()))
    ]


def assert_same(ours, theirs):
    for name in ("steps", "rejected", "failed"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("solver", "name"),
    mostly_long(
        list(itertools.product(SOLVERS, TIMES)),
        [("Tsit5", "from zero"), ("Dopri8", "many in one step")],
    ),
    indirect=["solver"],
)
def test_the_steps_are_those_of_diffrax(solver, name):
    times = TIMES[name]
    ours, theirs = both(solver, oscillator, [2.0, 0.1], 3.0, times)
    assert_same(ours, theirs)
    assert ours.reached == times[-1] and not ours.failed
    np.testing.assert_array_equal(ours.observed["t"], times)
    if times[-1] == 20:
        assert ours.steps > 50 and ours.rejected > 0


def test_a_divergence_ends_it(solver):
    ours, theirs = both(solver, explosion, [1.0], 1.0, [0.0, 0.5, 2.0])
    assert_same(ours, theirs)
    assert ours.failed and 0.99 < ours.reached < 1.01
    assert np.isinf(ours.observed["y"][2]).all() and ours.observed["y"][1] == pytest.approx(
        2.0, rel=1e-6
    )


@pytest.mark.parametrize(
    ("solver", "first"),
    mostly_long(list(itertools.product(SOLVERS, [0.0, 90.0])), [("Dopri8", 90.0)]),
    indirect=["solver"],
)
def test_too_many_steps_end_it(solver, first):
    ours, theirs = both(solver, oscillator, [2.0, 0.1], 3.0, [first, 100.0], max_steps=20)
    assert_same(ours, theirs)
    assert ours.steps == 20 and 0 < ours.reached < 90 and not ours.failed
    assert np.isinf(ours.observed["y"][0]).all() == (first > 0)


@pytest.mark.parametrize(
    ("solver", "times"),
    mostly_long(
        list(itertools.product(SOLVERS, [[2.0, 4.0], [0.0, 4.0], [4.0]])),
        [("Dopri8", [0.0, 4.0])],
    ),
    indirect=["solver"],
    ids=str,
)
def test_nothing_is_answered_after_a_failure(solver, times):
    for field, failing in (
        (explosion, [1.0]),
        (lambda t, y, rate: jnp.where(t > 0.7, jnp.nan, -rate * y), [1.0]),
    ):
        ours, theirs = both(solver, field, failing, 1.0, times)
        assert_same(ours, theirs)
        assert ours.failed and np.isinf(ours.observed["y"][np.asarray(times) > ours.reached]).all()


def test_a_start_beyond_all_bounds_goes_nowhere(solver):
    ours, theirs = both(solver, oscillator, [2e6, 0.1], 3.0, [0.0, 1.0])
    assert_same(ours, theirs)
    assert ours.failed and ours.reached == 0 and ours.steps == 0


def test_a_step_into_nowhere_is_taken_anew(solver):
    """A velocity that does not exist beyond the next step, as those of averages of overlaps that no
    networks have.
    """

    def field(t, y, rate):
        return -rate * jnp.sqrt(y - 1e-3)

    ours, theirs = both(solver, field, [1.0], 1.0, [0.0, 1.5])
    assert_same(ours, theirs)
    assert ours.observed["y"][-1][0] == pytest.approx((np.sqrt(0.999) - 0.75) ** 2 + 1e-3, rel=1e-6)


@pytest.mark.parametrize(
    ("field", "begin", "times"),
    [(oscillator, [2.0, 0.1], [0.0, 1.0, 20.0]), (explosion, [1.0], [0.3, 0.6])],
    ids=["all arrive", "some fail"],
)
def test_members_of_a_batch_step_by_themselves(solver, field, begin, times):
    argument = jnp.asarray([0.5, 2.0, 8.0])

    def run(argument):
        return solved(adaptive_steps, solver, field, begin, argument, times)

    together = jax.vmap(run)(argument)
    assert len(set(np.asarray(together.steps).tolist())) == 3
    assert together.failed.any() == (field is explosion) and not together.failed.all()
    for member, alone in enumerate(map(run, argument)):
        assert_same(jax.tree.map(lambda part, member=member: part[member], together), alone)


def test_a_meter_hears_how_far_it_is(solver):
    heard = []

    class Meter(diffrax.AbstractProgressMeter):
        def init(self):
            return jnp.zeros(())

        def step(self, state, progress):
            jax.debug.callback(lambda progress: heard.append(float(progress)), progress)
            return state + 1

        def close(self, state):
            jax.debug.callback(lambda count: heard.append(("steps", int(count))), state)

    ours = solved(adaptive_steps, solver, oscillator, [2.0, 0.1], 3.0, [0.0, 20.0], meter=Meter())
    jax.effects_barrier()
    assert ("steps", ours.steps) in heard
    assert max(entry for entry in heard if isinstance(entry, float)) == 1.0
