"""The contract of an activation function g of the hidden units."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Float

from teacherstudent.activations.polynomial import Polynomial
from teacherstudent.activations.singularities import Singularities, find_singularities
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray

if TYPE_CHECKING:  # the averages import the activations
    from teacherstudent.averages.base import Averages
    from teacherstudent.averages.shifted import ShiftedAverages


@dataclass(frozen=True, eq=False)
class Activation:
    """An activation g: R -> R, applied to each field.

    To add one:

    1. Write g as an elementwise function with jax.numpy; g' is found by differentiation.
    2. Give it a name that none of ours has: `Activation("cosine", jnp.cos)`.
    3. Points where g, g' or g'' jumps are found when it is first used (`singularities`), and
       averages are taken between them.  Name only features that are too narrow to be seen, by one
       of the ends of an interval below 0.01 in which g differs: `kinks=(0.5,)`.
    4. This is enough: averages over Gaussian fields are then taken by quadrature.
    5. Closed forms of these averages make theory faster, and exact.  `averages` is a function

           averages(student, teacher, students, teachers) -> Averages or None

       of two activations and of the numbers K and M of units.  It answers with an object of a class
       derived from `teacherstudent.averages.Averages` for the teachers it has formulas for, and
       None for all others.  It is asked where this activation is the student's.
    6. Biases and classes give the fields means.  For them `shifted_averages` is a function

           shifted_averages(student, students) -> ShiftedAverages or None

       with a class derived from `teacherstudent.averages.ShiftedAverages`.
    7. One of ours is a file in this folder and a line in `named.py`.

    Both functions should first compare `student` with the activation they are for, since
    `dataclasses.replace` hands them on to another g.  Activations are equal if all their parts are;
    a subclass with methods of its own is never taken for another activation, and has no closed
    forms.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> hinge = ts.Activation("hinge", lambda x: jnp.maximum(x - 1, 0))
    >>> hinge.singularities.kinks()
    [(1.0, 1.0)]
    >>> float(hinge.derivative(jnp.array(3.0)))
    1.0

    Raises ValueError if the name is one of ours for another function, or a part is of another kind
    than these.
    """

    name: str
    function: Callable
    kinks: tuple[float, ...] = ()
    averages: "Callable[[Activation, Activation, int, int], Averages | None] | None" = None
    shifted_averages: "Callable[[Activation, int], ShiftedAverages | None] | None" = None

    def __post_init__(self):
        checks.text("Activation name", self.name)
        if not callable(self.function):
            raise ValueError(
                f"Activation function = {checks.shortened(self.function)} is not a JAX function "
                "of one field."
            )
        for part in ("averages", "shifted_averages"):
            given = getattr(self, part)
            if given is not None and not callable(given):
                raise ValueError(
                    f"Activation {part} = {checks.shortened(given)} is not a function that gives "
                    "closed forms; see help(ts.Activation), or leave it out."
                )
        kinks = checks.finite_array("Activation kinks", self.kinks)
        if kinks.ndim != 1:
            raise ValueError(
                f"Activation kinks = {checks.shortened(self.kinks)}: give a sequence of points, "
                "(0.0,)."
            )
        object.__setattr__(self, "kinks", tuple(kinks.tolist()))
        known = ACTIVATIONS.get(self.name)
        if known is not None and known.function is not self.function:
            raise ValueError(
                f"Activation({checks.shortened(self.name)}, ...) would be mistaken for ours; give "
                "it another name."
            )

    def __eq__(self, other) -> bool:
        """Two activations are one if all their parts are.

        An object of a subclass may have parts that are not known here: it is only itself.
        """
        if type(self) is Activation and type(other) is Activation:
            return self._parts() == other._parts()
        return self is other

    def __hash__(self) -> int:
        if type(self) is Activation:
            return hash(self._parts())
        return object.__hash__(self)

    def _parts(self) -> tuple:
        return self.name, self.function, self.kinks, self.averages, self.shifted_averages

    def __call__(self, x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        """g(x)."""
        return self.function(x)

    def derivative(self, x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        """g'(x), by forward differentiation; 0 where g jumps."""
        return jax.jvp(self.function, (x,), (jnp.ones_like(x),))[1]

    @property
    def singularities(self) -> Singularities:
        """Where g, g' or g'' jumps, and by how much g and g' do.

        Raises ValueError if g cannot be evaluated, or is too rough for averages.
        """
        return _singularities_of(self)

    @property
    def cuts(self) -> tuple[float, ...]:
        """The points at which an integral over a field of g is divided."""
        return self.singularities.points


# A dataclass writes its own constructor; this one also checks the names of its arguments.
Activation.__init__ = arguments.checked(Activation.__init__)  # type: ignore[method-assign]

SMOOTH = Singularities()

ACTIVATIONS: dict[str, Activation] = {}
# What is known of an activation spares a short run the search.  It is looked up by the activation
# itself, because the name may be given to another one.
_KNOWN_SINGULARITIES: dict[Activation, Singularities] = {}


def register(activation: Activation, singularities: Singularities = SMOOTH) -> None:
    """Give an activation's name to everyone, with where it is singular."""
    ACTIVATIONS[activation.name] = activation
    _KNOWN_SINGULARITIES[activation] = singularities


def polynomial_of(activation: Activation) -> Polynomial | None:
    """The polynomial that an activation is; None for any other, a subclass that may be something
    else included.
    """
    function = activation.function
    if type(activation) is not Activation or type(function) is not Polynomial:
        return None
    return function


@lru_cache(maxsize=256)
def _singularities_of(activation: Activation) -> Singularities:
    known = _KNOWN_SINGULARITIES.get(activation)
    if known is not None:
        return known
    if polynomial_of(activation) is not None:
        return SMOOTH
    return find_singularities(activation.function, activation.name, activation.kinks)
