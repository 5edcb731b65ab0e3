"""Whole weight vectors as one kernel on a GPU (Pallas).

A seed's weights stay in registers over a block of steps.  The steps are those of
`sims.weights.steps` under SGD, with the same inputs, which are drawn into memory for a block of
steps, up to the order of additions and the error of `ElementaryErf`.  Arrays in such a kernel have
powers of two as their sizes: units beyond K and entries beyond N are zeros, and stay zeros.  Where
there is no GPU the kernel can be interpreted, which is how it is tested.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Key, UInt32

from sims.inputs.source import Inputs, Source
from sims.running.blocks import Span, over_blocks
from sims.running.elementary import elementary
from sims.running.loop import NEVER
from sims.running.triton import triton_of_pallas
from sims.weights.steps import Run, draw_inputs
from teacherstudent.problem import Problem
from teacherstudent.rules import SGD, Network
from teacherstudent.tasks import TeacherStudent

# The most numbers of a student and its teacher, filled up to powers of two.
MOST_NUMBERS = 2**14
# How many of these the registers of one thread hold.
NUMBERS_PER_THREAD = 48


def fits(problem: Problem, N: int, seeds: int) -> bool:
    """Whether the kernel can run this.

    It takes SGD with constant numbers on isotropic inputs, with activations that a kernel has, if
    the weights of a seed fit into registers and 32 bits can count the entries of every array.
    """
    if type(problem.rule) is not SGD or type(problem.task) is not TeacherStudent:
        return False
    if problem.changes_with_time or problem.student.frozen or problem.student.train_bias:
        return False
    activations = (problem.student.activation, problem.task.activation)
    known = all(elementary(g) is not None for g in activations)
    rows = max(problem.student.width, problem.task.directions, problem.samples(N))
    return known and _numbers(problem, N) <= MOST_NUMBERS and seeds * rows * N < 2**31


def _numbers(problem: Problem, N: int) -> int:
    filled = pl.next_power_of_2
    return (filled(problem.student.width) + filled(problem.task.directions)) * filled(N)


@partial(jax.jit, static_argnames=("block", "interpret"), donate_argnames="run")
def train_weights_in_kernel(
    problem: Problem,
    source: Source,
    w_star: Float[Array, "seeds teachers inputs"],
    keys: Key[Array, " seeds"],
    run: Run,
    first: UInt32[Array, ""],
    count: UInt32[Array, ""],
    block: int,
    interpret: bool = False,
) -> Run:
    """The runs after `count` more steps, of which the first has the number `first`.

    As `sims.weights.steps.train_weights`, for SGD:

        w_k <- w_k - eta / sqrt N < v_k g'(lambda_k) (phi - y) x > - (kappa / N) w_k
        v_k <- v_k - eta_v / N < g(lambda_k) (phi - y) > - (kappa / N) v_k

    the latter if the readout is trained.
    """
    seeds, K, N = run.student.w.shape
    M = w_star.shape[1]
    k, m, n = (pl.next_power_of_2(size) for size in (K, M, N))
    rule, task = problem.rule, problem.task
    assert isinstance(rule, SGD) and isinstance(task, TeacherStudent), "see fits"
    numbers = jnp.stack([rule.learning_rate, rule.eta_v, rule.weight_decay, task.noise])
    numbers = numbers.astype(run.student.w.dtype)
    v_star = task.v_star.astype(run.student.w.dtype)
    kernel = _kernel(problem, M, N, block)
    state = [_of_seed(k, n), _of_seed(k), _of_seed(1)]

    def steps_of_block(span: Span, run: Run) -> Run:
        draw = partial(draw_inputs, problem, source, N, span.numbers(block))
        inputs = jax.vmap(draw)(keys)
        assert isinstance(inputs, Inputs), "see fits"
        arrays = (run.student.w, run.student.v, run.diverged[:, None])
        samples = inputs.x.shape[1]
        new = pl.pallas_call(
            kernel,
            grid=(seeds,),
            in_specs=[
                _whole(3),
                _whole(4),
                _whole(m),
                _of_seed(m, n),
                _of_seed(samples, n),
                _of_seed(samples),
                *state,
            ],
            out_specs=state,
            out_shape=[jax.ShapeDtypeStruct(part.shape, part.dtype) for part in arrays],
            # Each program reads and writes the state of its own seed, in place.
            input_output_aliases={6: 0, 7: 1, 8: 2},
            compiler_params=triton_of_pallas().CompilerParams(num_warps=_warps(problem, N)),
            interpret=interpret,
        )(jnp.stack(span), numbers, v_star, w_star, inputs.x, inputs.zeta, *arrays)
        w, v, diverged = new
        return Run(Network(w, v, run.student.b), run.memory, diverged[:, 0])

    return over_blocks(steps_of_block, run, first, count, block)


def _whole(*shape: int) -> pl.BlockSpec:
    """An array that every program reads whole."""
    return pl.BlockSpec(shape, lambda seed: (0,) * len(shape))


def _of_seed(*shape: int) -> pl.BlockSpec:
    """An array with one entry of this shape for each seed."""
    return pl.BlockSpec((None, *shape), lambda seed: (seed, *(0,) * len(shape)))


def _known(size: int, filled: int):
    """Which entries of an array filled up to a power of two carry something."""
    return jax.lax.broadcasted_iota(jnp.int32, (filled,), 0) < size


def _load_weights(triton, ref, units, entries):
    return triton.load(ref, mask=units[:, None] & entries[None, :], other=0.0)


def _kernel(problem: Problem, M: int, N: int, block: int):
    """The program of one seed: all steps of a block, with its weights in registers."""
    triton = triton_of_pallas()
    activation = elementary(problem.student.activation)
    teacher = elementary(problem.teacher.activation)
    train_readout = problem.student.train_readout
    K = problem.student.width
    k, m, n = (pl.next_power_of_2(size) for size in (K, M, N))

    def fields(weights, x):
        return jnp.sum(weights * x[None, :], axis=1) / math.sqrt(N)

    def kernel(span, numbers, v_star, w_star, x, zeta, w, v, diverged, *end):
        eta, eta_v, kappa, sigma = (numbers[i] for i in range(4))
        units, teachers, entries = _known(K, k), _known(M, m), _known(N, n)
        w_star = _load_weights(triton, w_star, teachers, entries)
        v_star = triton.load(v_star, mask=teachers, other=0.0)
        samples = x.shape[0] // block

        def gradient(sample, w, v):
            """d l / d w sqrt N and d l / d v of one sample, and whether its output is finite."""
            x_row = triton.load(x.at[sample], mask=entries, other=0.0)
            lam = fields(w, x_row)
            hidden = jnp.where(units, activation(lam), 0)
            phi = jnp.sum(v * hidden)
            clean = jnp.sum(v_star * teacher(fields(w_star, x_row)))
            slope = (phi - clean - sigma * zeta[sample]) / samples
            delta = v * activation.derivative(lam) * slope
            return delta[:, None] * x_row[None, :], hidden * slope, jnp.isfinite(phi)

        def one_step(index, state):
            w, v, diverged = state
            begin = index * samples

            def add(sample, sums):
                g_w, g_v, finite = sums
                one_w, one_v, one_finite = gradient(begin + sample, w, v)
                return g_w + one_w, g_v + one_v, finite & one_finite

            g_w, g_v, finite = gradient(begin, w, v)
            if samples > 1:
                g_w, g_v, finite = jax.lax.fori_loop(1, samples, add, (g_w, g_v, finite))
            step = jnp.where(finite, jnp.uint32(NEVER), span[0] + index.astype(jnp.uint32))
            new_w = w - (eta / math.sqrt(N) * g_w + kappa / N * w)
            new_v = v
            if train_readout:
                new_v = v - (eta_v / N * g_v + kappa / N * v)
            return new_w, new_v, jnp.minimum(diverged, step)

        w = _load_weights(triton, w, units, entries)
        v = triton.load(v, mask=units, other=0.0)
        first, stop = span[1].astype(jnp.int32), span[2].astype(jnp.int32)
        w, v, step = jax.lax.fori_loop(first, stop, one_step, (w, v, diverged[0]))
        triton.store(end[0], w, mask=units[:, None] & entries[None, :])
        triton.store(end[1], v, mask=units)
        end[2][0] = step

    return kernel


def _warps(problem: Problem, N: int) -> int:
    """Groups of 32 threads of one program."""
    warps = math.ceil(_numbers(problem, N) / (32 * NUMBERS_PER_THREAD))
    return min(16, max(1, pl.next_power_of_2(warps)))
