"""The reduced chain as one kernel: every seed's numbers stay in registers over a block of updates
(Pallas, GPU).

The steps are those of `sims.reduced.chain`, with every column a tuple of its entries, from the same
random numbers; only the order of additions may differ.  Where there is no GPU the kernel can be
interpreted, which is how it is tested.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Key, UInt32

from sims.reduced.chain import Chain, Sample, Setting, filled, step
from sims.reduced.draws import Draw, Law, draws
from sims.reduced.elementary import elementary
from sims.reduced.rules import update_by_columns
from sims.running.blocks import Span, over_blocks

SEEDS_AT_ONCE = 128  # of one program: a number of every seed is a register of every thread


def fits(setting: Setting, law: Law) -> bool:
    """Whether the kernel can run this: its activations and its rule are written for it, and the
    numbers of a seed fit into registers.
    """
    known = elementary(setting.activation) is not None and (
        setting.teacher is None or elementary(setting.teacher) is not None
    )
    written = setting.task is None and update_by_columns(setting.rule) is not None
    # A kernel compiles our losses; a user's own may need functions that GPU kernels lack.
    written = written and isinstance(setting.loss, str)
    return known and written and law.samples <= 4 and law.rows * (law.directions + law.rows) <= 100


def _with_elementary(setting: Setting) -> Setting:
    own, teacher = elementary(setting.activation), elementary(setting.teacher)
    return dataclasses.replace(setting, activation=own, teacher=teacher)


def run_chain_in_kernel(
    setting: Setting,
    law: Law,
    keys: Key[Array, " seeds"],
    chain: Chain,
    first: UInt32[Array, ""],
    count: UInt32[Array, ""],
    block: int,
    interpret: bool = False,
) -> Chain:
    """The chains after `count` more updates, of which the first has the number `first`; as
    `sims.reduced.chain.run_chain`.
    """
    seeds = len(keys)
    # A program reads and writes a full block, whatever lies beyond the last seed.
    keys, chain = filled(keys, chain, SEEDS_AT_ONCE)
    listed, structure = jax.tree.flatten(_with_elementary(setting))
    numbers = jnp.stack(listed)
    one = lambda array: pl.BlockSpec(array.shape, lambda i: (0,) * array.ndim)
    split = lambda array: pl.BlockSpec(
        (*array.shape[:-1], SEEDS_AT_ONCE), lambda i: (*(0,) * (array.ndim - 1), i)
    )

    def of_block(span: Span, chain: Chain) -> Chain:
        drawn, drawn_shape = jax.tree.flatten(draws(law, keys, span.numbers(block)))
        state, shape = jax.tree.flatten(chain)

        def kernel(span, numbers, *refs):
            draw = jax.tree.unflatten(drawn_shape, refs[: len(drawn)])
            begin, end = refs[len(drawn) : len(drawn) + len(state)], refs[len(drawn) + len(state) :]
            own = jax.tree.unflatten(structure, [numbers[i] for i in range(numbers.shape[0])])
            entries = [tuple(ref[pl.ds(k, 1), :] for k in range(ref.shape[0])) for ref in begin]
            start = jax.tree.unflatten(shape, entries)
            kind = start.v[0].dtype

            def one_step(at, chain):
                sample = partial(_sample, draw, at, kind)
                factor = [
                    draw.factor[at, pl.ds(i, 1), :].astype(kind)
                    for i in range(draw.factor.shape[1])
                ]
                single = chain._replace(diverged=chain.diverged[0])
                moved = step(
                    own, single, law.samples, sample, factor, span[0] + at.astype(jnp.uint32)
                )
                return moved._replace(diverged=(moved.diverged,))

            bounds = (span[1].astype(jnp.int32), span[2].astype(jnp.int32))
            last = jax.lax.fori_loop(*bounds, one_step, start)
            for ref, entries in zip(end, shape.flatten_up_to(last), strict=True):
                for k, entry in enumerate(entries):
                    ref[pl.ds(k, 1), :] = entry

        steps = jnp.stack(span)
        new = pl.pallas_call(
            kernel,
            grid=(len(keys) // SEEDS_AT_ONCE,),
            in_specs=[one(steps), one(numbers), *map(split, drawn), *map(split, state)],
            out_specs=[*map(split, state)],
            out_shape=[jax.ShapeDtypeStruct(part.shape, part.dtype) for part in state],
            compiler_params=triton.CompilerParams(num_warps=SEEDS_AT_ONCE // 32),
            interpret=interpret,
        )(steps, numbers, *drawn, *state)
        return jax.tree.unflatten(shape, new)

    last = over_blocks(of_block, chain, first, count, block)
    return jax.tree.map(lambda part: part[:, :seeds], last)


def _sample(draw: Draw, at, kind, index) -> Sample:
    lines = lambda ref: [ref[at, index, pl.ds(j, 1), :].astype(kind) for j in range(ref.shape[2])]
    sigma = None if draw.sigma is None else draw.sigma[at, pl.ds(index, 1), :].astype(kind)
    return Sample(
        lines(draw.s), lines(draw.e), draw.label[at, pl.ds(index, 1), :].astype(kind), sigma
    )
