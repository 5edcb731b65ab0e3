"""A primitive of JAX that runs a function in float64: the rules by which it is differentiated,
transposed, mapped and compiled all apply where float64 is enabled.

A context, `with jax.enable_x64(True):`, around a function is not enough: JAX applies these rules
later, outside of it, and where the caller has float64 switched off they would make float32 numbers
of parts of a float64 program.

Three kinds of calls follow from one another.  With f the function,

    Call                      x -> f(x)
    Call.with_tangents        x, dx -> f(x), f'(x) dx       forward mode
    Tangent                   x, dx -> f'(x) dx             linear in dx; its transpose is
    Pullback                  x, c -> f'(x)^T c             reverse mode

A solve knows two forms of f.  One, a plain loop over steps, can be differentiated in forward mode
any number of times; the other, with checkpoints, once in reverse mode.  Values and tangents are of
the first, pullbacks of the second.  Where a pullback itself is differentiated (`jax.hessian`), it
is made of columns of the Jacobian in forward mode: as many tangents as there are numbers with
respect to which it is.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, partial_eval

REVERSE_ONLY = (
    "forward-mode derivatives (jax.jvp, jax.jacfwd, jax.hessian) need a rule for each function, "
    "but one of the problem, an activation of your own perhaps, is a jax.custom_vjp, which has "
    "reverse mode only; write it with jax.custom_jvp, which has both."
)


class Call:
    """A function of arrays that answers a list of arrays, and how it is differentiated.

    - `run`: the function.
    - `forward`: the same, for forward mode; None is `run`.
    - `reverse`: the same, for reverse mode; None if there is none but by columns of the Jacobian.
    """

    def __init__(self, run: Callable, reverse: Callable | None, forward: Callable | None = None):
        self.run = run
        self.reverse = reverse
        self.forward = forward or run

    def with_tangents(self, moving: Sequence[bool]) -> "Call":
        """The call that also answers the tangents of all float numbers that it answers."""
        count = len(moving)

        def forward(*arrays):
            still, moved = _split(arrays[:count], moving)

            def of_moved(*moved):
                found = self.forward(*_merged(still, moved, moving))
                return _floats(found), found

            tangents = _like(moved, arrays[count:])
            try:
                _, tangents, found = jax.jvp(of_moved, moved, tangents, has_aux=True)
            except TypeError as error:
                if "custom_vjp" not in str(error):
                    raise
                raise TypeError(REVERSE_ONLY) from error
            return [*found, *tangents]

        return Call(forward, None)

    def over(self, axes: Sequence[int | None], varies: Sequence[bool]) -> "Call":
        """The call for every entry along the axes of some arguments; what does not vary with the
        entry is answered once.
        """

        def mapped(function: Callable) -> Callable:
            def of_all(*arrays):
                found = jax.vmap(function, axes)(*arrays)
                return [one if many else one[0] for one, many in zip(found, varies, strict=True)]

            return of_all

        run = mapped(self.run)
        forward = run if self.forward is self.run else mapped(self.forward)
        if self.reverse is None:
            return Call(run, None, forward)
        reverse = forward if self.reverse is self.forward else mapped(self.reverse)
        return Call(run, reverse, forward)

    def varying(self, axes: Sequence[int | None], arrays: Sequence) -> list[bool]:
        """Which of the answers vary along the axes of some arguments."""
        varies: list[bool] = []

        def observed(*arrays):
            found = self.run(*arrays)
            varies[:] = map(_is_batched, found)
            return found

        jax.eval_shape(jax.vmap(observed, axes), *map(_shape, arrays))
        return varies


class Tangent(Call):
    """x, dx -> f'(x) dx: the tangents alone, of the arguments that move.

    - `pull_back`: of a call that has run already, its pullback.
    """

    def __init__(self, of: Call, moving: Sequence[bool], pull_back: Callable | None = None):
        self.of = of
        self.moving = moving
        self.pull_back = pull_back
        both = of.with_tangents(moving).run

        def run(*arrays):
            found = both(*arrays)
            return found[_count_of_answers(found) :]

        super().__init__(run, None)


def _count_of_answers(found: list) -> int:
    """How many of an answer with tangents at its end are none: tangents belong to floats alone."""
    for count in range(len(found) + 1):
        if len(_floats(found[:count])) == len(found) - count:
            return count
    raise AssertionError("every float has one tangent")


class Pullback(Call):
    """x, c -> f'(x)^T c of the arguments that move."""

    def __init__(self, of: Call, moving: Sequence[bool]):
        count = len(moving)

        def by_vjp(*arrays):
            still, moved = _split(arrays[:count], moving)
            found, pull_back = jax.vjp(_of_moved(of.reverse, still, moving), *moved)
            return list(pull_back(_like(found, arrays[count:])))

        def by_columns(*arrays):
            still, moved = _split(arrays[:count], moving)
            function = _of_moved(of.forward, still, moving)

            def contracted(flat):
                found = function(*_unraveled(flat, moved))
                cotangents = _like(found, arrays[count:])
                return sum(map(_product, found, cotangents))

            return _unraveled(jax.jacfwd(contracted)(_raveled(moved)), moved)

        if of.reverse is None:
            super().__init__(by_columns, None)
        elif of.reverse is of.forward:
            super().__init__(by_vjp, by_vjp)
        else:
            super().__init__(by_vjp, None, by_columns)


def _of_moved(function: Callable, still: list, moving: Sequence[bool]) -> Callable:
    """The floats that a function answers, of those of its arguments that move."""

    def of_moved(*moved):
        return _floats(function(*_merged(still, moved, moving)))

    return of_moved


def _floats(arrays: Sequence) -> list:
    return [one for one in arrays if jnp.issubdtype(one.dtype, jnp.floating)]


def _split(arrays: Sequence, moving: Sequence[bool]) -> tuple[list, list]:
    """The arrays that stay, and those that move."""
    arrays = [jnp.asarray(one, one.dtype) for one in arrays]  # a literal is a number of JAX's own
    still = [one for one, moves in zip(arrays, moving, strict=True) if not moves]
    moved = [one for one, moves in zip(arrays, moving, strict=True) if moves]
    return still, moved


def _merged(still: Sequence, moved: Sequence, moving: Sequence[bool]) -> list:
    """The arrays in their order."""
    still_left, moved_left = iter(still), iter(moved)
    return [next(moved_left if moves else still_left) for moves in moving]


def _like(found: Sequence, cotangents: Sequence) -> list:
    """Tangents or cotangents of the types of what they belong to: where the caller has float64
    switched off, he may have made float32 of them.
    """
    return [
        jax.lax.convert_element_type(one, part.dtype)
        for part, one in zip(found, cotangents, strict=True)
    ]


def _shape(array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(array), array.dtype)


def _product(one, other):
    return jnp.sum(one * other)


def _raveled(arrays: Sequence):
    return jnp.concatenate([jnp.ravel(one).astype(jnp.float64) for one in arrays])


def _unraveled(flat, like: Sequence) -> list:
    """The arrays of one flat vector, of the shapes and types of others."""
    arrays, begin = [], 0
    for one in like:
        arrays.append(flat[begin : begin + one.size].reshape(one.shape).astype(one.dtype))
        begin += one.size
    return arrays


primitive = Primitive("call_in_float64")
primitive.multiple_results = True


def run_call(call: Call, arrays: Sequence) -> list:
    """What a call answers for its arrays, which may be traced."""
    return primitive.bind(*arrays, call=call)


@primitive.def_impl
def _run(*arrays, call: Call) -> list:
    with jax.enable_x64(True):
        return call.run(*arrays)


@primitive.def_abstract_eval
def _shapes(*arrays, call: Call) -> list:
    with jax.enable_x64(True):
        found = jax.eval_shape(call.run, *map(_shape, arrays))
        return [jax.core.ShapedArray(one.shape, one.dtype) for one in found]


def _compiled(context, *arrays, call: Call):
    with jax.enable_x64(True):
        return mlir.lower_fun(call.run, multiple_results=True)(context, *arrays)


def _mapped(arrays, axes, *, call: Call) -> tuple[list, list]:
    with jax.enable_x64(True):
        varies = call.varying(axes, arrays)
    found = run_call(call.over(axes, varies), arrays)
    return found, [0 if many else None for many in varies]


def _differentiated(primals, tangents, *, call: Call) -> tuple[list, list]:
    """What the call answers, and its tangents."""
    moving = tuple(not isinstance(one, ad.Zero) for one in tangents)
    moved = [one for one in tangents if not isinstance(one, ad.Zero)]
    with jax.enable_x64(True):  # where a known number is not rounded
        primals = [jnp.asarray(one) for one in primals]
    if any(isinstance(one, partial_eval.JaxprTracer) for one in moved):
        found, found_tangents = _linearized(call, primals, moving, moved)
    else:
        both = run_call(call.with_tangents(moving), [*primals, *moved])
        count = _count_of_answers(both)
        found, found_tangents = both[:count], both[count:]
    left = iter(found_tangents)
    filled = []
    for one in found:
        has_tangent = jnp.issubdtype(one.dtype, jnp.floating)
        filled.append(next(left) if has_tangent else _no_tangent(one))
    return found, filled


def _no_tangent(of) -> ad.Zero:
    return ad.Zero(jax.typeof(of).to_tangent_aval())


def _linearized(call: Call, primals, moving, moved) -> tuple[list, list]:
    """The same where the tangents are not known yet: to be transposed, as in `jax.grad`.

    Where all numbers are known, the pass that gives the value is kept for the pass backward.
    Traced numbers may be differentiated once more, which the kept pass cannot be: there the
    backward pass begins anew, and compilers leave out what is done twice where nobody needs it.
    """
    pull_back = None
    if call.reverse is not None and all(map(_is_known, primals)):
        with jax.enable_x64(True):
            still, moves = _split(primals, moving)

            def of_moved(*moves):
                found = call.reverse(*_merged(still, moves, moving))
                return _floats(found), found

            floats, pull_back_floats, found = jax.vjp(of_moved, *moves, has_aux=True)

        def pull_back(cotangents):
            return pull_back_floats(_like(floats, cotangents))

    else:
        found = run_call(call, primals)
    return found, run_call(Tangent(call, moving, pull_back), [*primals, *moved])


def _is_known(array) -> bool:
    """Whether a number, or each of a batch, is known, not traced for another transformation."""
    while _is_batched(array):
        array = array.val
    return not isinstance(array, jax.core.Tracer)


def _is_batched(array) -> bool:
    """Whether it is a tracer of jax.vmap, which JAX does not export."""
    return hasattr(array, "batch_dim")


def _transposed(cotangents, *arrays, call: Call) -> list:
    """The cotangents of the tangents that a `Tangent` has been given."""
    assert isinstance(call, Tangent), "only tangents are linear"
    primals = arrays[: len(call.moving)]
    with jax.enable_x64(True):
        cotangents = [ad.instantiate_zeros(one) for one in cotangents]
        if call.pull_back is not None:
            found = call.pull_back(cotangents)
        else:
            found = run_call(Pullback(call.of, call.moving), [*primals, *cotangents])
    return [None] * len(primals) + list(found)


mlir.register_lowering(primitive, _compiled)
batching.primitive_batchers[primitive] = _mapped
ad.primitive_jvps[primitive] = _differentiated
ad.primitive_transposes[primitive] = _transposed
