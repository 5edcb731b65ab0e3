"""Whole weight vectors as one kernel: a seed's weights stay in registers over a block of steps
(Pallas, GPU).

The steps are those of `sims.weights.steps` under SGD, with the same inputs, which are drawn into
memory for a block of steps, up to the order of additions and the error of `ElementaryErf`.  Arrays
in such a kernel have powers of two as their sizes: units beyond K and entries beyond N are zeros,
and stay zeros.  Where there is no GPU the kernel can be interpreted, which is how it is tested.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Key, UInt32

from sims.inputs.source import Source
from sims.reduced.elementary import elementary
from sims.running.blocks import Span, over_blocks
from sims.running.loop import NEVER
from sims.weights.steps import Run, drawn
from teacherstudent.problem import Problem
from teacherstudent.rules import SGD, Network
from teacherstudent.tasks import TeacherStudent

MOST = 2**14  # numbers of a student and its teacher, filled up to powers of two
OF_THREAD = 48  # of these in the registers of one thread


def fits(problem: Problem, N: int, seeds: int) -> bool:
    """Whether the kernel can run this: SGD on isotropic inputs, its activations, the weights of a
    seed in registers, and no array whose entries 32 bits cannot count."""
    if type(problem.rule) is not SGD or type(problem.task) is not TeacherStudent:
        return False
    known = all(
        elementary(g) is not None for g in (problem.student.activation, problem.task.activation)
    )
    rows = max(problem.student.width, problem.task.directions, problem.samples(N))
    return known and _numbers(problem, N) <= MOST and seeds * rows * N < 2**31


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
    """The runs after `count` more steps, of which the first has the number `first`; as
    `sims.weights.steps.train_weights`.

    w_k <- w_k - eta / sqrt N < v_k g'(lambda_k) (phi - y) x > - (kappa / N) w_k
    v_k <- v_k - eta_v / N < g(lambda_k) (phi - y) > - (kappa / N) v_k          (if the readout is
    trained)
    """
    (seeds, K, N), M = run.student.w.shape, w_star.shape[1]
    rule, task = problem.rule, problem.task
    assert isinstance(rule, SGD) and isinstance(task, TeacherStudent), "see fits"
    k, m, n = map(pl.next_power_of_2, (K, M, N))
    kind = run.student.w.dtype
    own, teacher = elementary(problem.student.activation), elementary(task.activation)
    numbers = jnp.stack([rule.learning_rate, rule.eta_v, rule.weight_decay, task.noise]).astype(
        kind
    )

    def kernel(span, numbers, v_star, w_star, x, zeta, w, v, diverged, *end):
        eta, eta_v, kappa, sigma = (numbers[i] for i in range(4))
        within = lambda size, full: jax.lax.broadcasted_iota(jnp.int32, (full,), 0) < size
        units, entries = within(K, k), within(N, n)
        weights_of = lambda ref, known: triton.load(
            ref, mask=known[:, None] & entries[None, :], other=0.0
        )
        w_star, v_star = (
            weights_of(w_star, within(M, m)),
            triton.load(v_star, mask=within(M, m), other=0.0),
        )
        samples = x.shape[0] // block

        def of_sample(sample, w, v):
            """d l / d w sqrt N and d l / d v of one sample, and its output."""
            row = triton.load(x.at[sample], mask=entries, other=0.0)
            field = lambda weights: jnp.sum(weights * row[None, :], axis=1) / math.sqrt(N)
            lam = field(w)
            hidden = jnp.where(units, own(lam), 0)
            phi = jnp.sum(v * hidden)
            slope = (
                phi - jnp.sum(v_star * teacher(field(w_star))) - sigma * zeta[sample]
            ) / samples
            return (
                (v * own.derivative(lam) * slope)[:, None] * row[None, :],
                hidden * slope,
                jnp.isfinite(phi),
            )

        def one_step(at, now):
            w, v, diverged = now
            g_w, g_v, finite = of_sample(at * samples, w, v)
            if samples > 1:
                both = lambda a, b: (a[0] + b[0], a[1] + b[1], a[2] & b[2])
                more = lambda sample, sums: both(sums, of_sample(at * samples + sample, w, v))
                g_w, g_v, finite = jax.lax.fori_loop(1, samples, more, (g_w, g_v, finite))
            step = jnp.where(finite, jnp.uint32(NEVER), span[0] + at.astype(jnp.uint32))
            new_w = w - (eta / math.sqrt(N) * g_w + kappa / N * w)
            new_v = v - (eta_v / N * g_v + kappa / N * v) if problem.student.train_readout else v
            return new_w, new_v, jnp.minimum(diverged, step)

        begin = weights_of(w, units), triton.load(v, mask=units, other=0.0), diverged[0]
        bounds = (span[1].astype(jnp.int32), span[2].astype(jnp.int32))
        w, v, diverged = jax.lax.fori_loop(*bounds, one_step, begin)
        triton.store(end[0], w, mask=units[:, None] & entries[None, :])
        triton.store(end[1], v, mask=units)
        end[2][0] = diverged

    whole = lambda *shape: pl.BlockSpec(shape, lambda i: (0,) * len(shape))
    of_seed = lambda *shape: pl.BlockSpec((None, *shape), lambda i: (i, *(0,) * len(shape)))
    state = [of_seed(k, n), of_seed(k), of_seed(1)]

    def of_block(span: Span, run: Run) -> Run:
        inputs = jax.vmap(partial(drawn, problem, source, N, span.numbers(block)))(keys)
        x, zeta = inputs.x.reshape(seeds, -1, N), inputs.zeta.reshape(seeds, -1)
        arrays = (run.student.w, run.student.v, run.diverged[:, None])
        w, v, diverged = pl.pallas_call(
            kernel,
            grid=(seeds,),
            in_specs=[
                whole(3), whole(4), whole(m), of_seed(m, n), of_seed(x.shape[1], n), of_seed(x.shape[1]), *state
            ],
            out_specs=state,
            out_shape=[jax.ShapeDtypeStruct(part.shape, part.dtype) for part in arrays],
            input_output_aliases={6: 0, 7: 1, 8: 2},  # each program reads and writes its own seed's
            compiler_params=triton.CompilerParams(num_warps=_warps(problem, N)),
            interpret=interpret,
        )(
            jnp.stack(span), numbers, task.v_star.astype(kind), w_star, x, zeta, *arrays,
        )  # fmt: skip
        return Run(Network(w, v, run.student.b), run.memory, diverged[:, 0])

    return over_blocks(of_block, run, first, count, block)


def _warps(problem: Problem, N: int) -> int:
    """Groups of 32 threads of one program."""
    return min(16, max(1, pl.next_power_of_2(math.ceil(_numbers(problem, N) / (32 * OF_THREAD)))))
