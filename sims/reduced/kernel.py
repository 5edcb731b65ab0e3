"""The reduced chain as one kernel on a GPU (Pallas).

Every seed's numbers stay in registers over a block of updates.  The steps are those of
`sims.reduced.chain`, with every column a tuple of its entries, from the same random numbers; only
the order of additions may differ.  Where there is no GPU the kernel can be interpreted, which is
how it is tested.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Key, UInt32

from sims.reduced.chain import Chain, Sample, Setting, filled, step
from sims.reduced.draws import Draw, Law, draws
from sims.reduced.rules import update_by_columns
from sims.running.blocks import Span, over_blocks
from sims.running.elementary import elementary
from sims.running.triton import triton_of_pallas

# Seeds of one program: a number of every seed is a register of every thread.
SEEDS_AT_ONCE = 128


def fits(setting: Setting, law: Law) -> bool:
    """Whether the kernel can run this.

    Its activations and its rule must be written for a kernel, its numbers be constant, and those
    of a seed fit into registers.
    """
    if elementary(setting.activation) is None:
        return False
    if setting.teacher is not None and elementary(setting.teacher) is None:
        return False
    if setting.task is not None or update_by_columns(setting.rule) is None:
        return False
    if setting.changes_with_time or setting.moving is not None:
        return False
    # A kernel compiles our losses; a user's own may need functions that GPU kernels lack.
    if not isinstance(setting.loss, str):
        return False
    return law.samples <= 4 and law.rows * (law.directions + law.rows) <= 100


def _with_elementary(setting: Setting) -> Setting:
    """The setting with activations that a kernel has."""
    return dataclasses.replace(
        setting,
        activation=elementary(setting.activation),
        teacher=elementary(setting.teacher),
    )


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
    """The chains after `count` more updates, of which the first has the number `first`.

    As `sims.reduced.chain.run_chain`.
    """
    seeds = len(keys)
    # A program reads and writes a full block, whatever lies beyond the last seed.
    keys, chain = filled(keys, chain, SEEDS_AT_ONCE)
    leaves, setting_structure = jax.tree.flatten(_with_elementary(setting))
    numbers = jnp.stack(leaves)

    def steps_of_block(span: Span, chain: Chain) -> Chain:
        drawn, draw_structure = jax.tree.flatten(draws(law, keys, span.numbers(block)))
        state, chain_structure = jax.tree.flatten(chain)
        steps = jnp.stack(span)
        state_specs = [_seeds_at_once(array) for array in state]
        draw_specs = [_seeds_at_once(array) for array in drawn]
        new = pl.pallas_call(
            _kernel(law.samples, setting_structure, draw_structure, chain_structure),
            grid=(len(keys) // SEEDS_AT_ONCE,),
            in_specs=[_whole(steps), _whole(numbers), *draw_specs, *state_specs],
            out_specs=state_specs,
            out_shape=[jax.ShapeDtypeStruct(part.shape, part.dtype) for part in state],
            compiler_params=triton_of_pallas().CompilerParams(num_warps=SEEDS_AT_ONCE // 32),
            interpret=interpret,
        )(steps, numbers, *drawn, *state)
        return jax.tree.unflatten(chain_structure, new)

    last = over_blocks(steps_of_block, chain, first, count, block)
    return jax.tree.map(lambda part: part[:, :seeds], last)


def _whole(array) -> pl.BlockSpec:
    """An array that every program reads whole."""
    return pl.BlockSpec(array.shape, lambda program: (0,) * array.ndim)


def _seeds_at_once(array) -> pl.BlockSpec:
    """An array of which every program takes its seeds, along the last axis."""
    shape = (*array.shape[:-1], SEEDS_AT_ONCE)
    return pl.BlockSpec(shape, lambda program: (*(0,) * (array.ndim - 1), program))


def _kernel(samples: int, setting_structure, draw_structure, chain_structure):
    """The program of `SEEDS_AT_ONCE` seeds: all updates of a block."""

    def kernel(span, numbers, *refs):
        draws_end = draw_structure.num_leaves
        state_end = draws_end + chain_structure.num_leaves
        draw = jax.tree.unflatten(draw_structure, refs[:draws_end])
        begin, end = refs[draws_end:state_end], refs[state_end:]
        leaves = [numbers[i] for i in range(numbers.shape[0])]
        setting = jax.tree.unflatten(setting_structure, leaves)
        columns = [tuple(ref[pl.ds(k, 1), :] for k in range(ref.shape[0])) for ref in begin]
        start = jax.tree.unflatten(chain_structure, columns)
        dtype = start.v[0].dtype

        def one_step(index, chain):
            entries = range(draw.factor.shape[1])
            factor = [draw.factor[index, pl.ds(i, 1), :].astype(dtype) for i in entries]
            sample = partial(_sample, draw, index, dtype)
            number = span[0] + index.astype(jnp.uint32)
            single = chain._replace(diverged=chain.diverged[0])
            updated = step(setting, single, samples, sample, factor, number)
            return updated._replace(diverged=(updated.diverged,))

        first, stop = span[1].astype(jnp.int32), span[2].astype(jnp.int32)
        last = jax.lax.fori_loop(first, stop, one_step, start)
        for ref, column in zip(end, chain_structure.flatten_up_to(last), strict=True):
            for k, entry in enumerate(column):
                ref[pl.ds(k, 1), :] = entry

    return kernel


def _sample(draw: Draw, update, dtype, index) -> Sample:
    """The numbers of one sample of one update, each as an array (1, seeds)."""

    def lines(ref):
        return [ref[update, index, pl.ds(j, 1), :].astype(dtype) for j in range(ref.shape[2])]

    label = draw.label[update, pl.ds(index, 1), :].astype(dtype)
    sigma = None
    if draw.sigma is not None:
        sigma = draw.sigma[update, pl.ds(index, 1), :].astype(dtype)
    return Sample(lines(draw.s), lines(draw.e), label, sigma)
