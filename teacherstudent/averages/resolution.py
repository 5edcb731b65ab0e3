"""How finely averages by quadrature are computed."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from teacherstudent.checking import arguments, checks

COARSER = 1.08  # how much farther apart the nodes are by which the error is estimated


@dataclass(frozen=True)
class Resolution:
    """The nodes and terms of averages over Gaussian fields without closed forms.

    - `spacing`, `radius`: of equidistant nodes for the fields that are integrated over directly,
      in standard deviations.
    - `hidden_spacing`, `hidden_radius`: the same for the fields that are averaged over given those.
    - `terms`: of Mehler's series for the correlation that is left between two of the latter.
    - `piece_nodes`: Gauss-Legendre nodes on each piece between two kinks.
    - `log2_points`: the base-2 logarithm of the number of frozen points, where fields are too many
      for nodes.
    """

    spacing: float = 0.25
    radius: float = 6.6
    hidden_spacing: float = 0.3
    hidden_radius: float = 9.1
    terms: int = 32
    piece_nodes: int = 16
    log2_points: int = 14

    def of_lines(self) -> "Resolution":
        """That of averages over two fields: finer, since they cost little."""
        return replace(
            self,
            spacing=self.spacing / 2,
            radius=self.radius + 0.5,
            hidden_spacing=self.hidden_spacing / 2,
            hidden_radius=self.hidden_radius + 0.5,
            piece_nodes=2 * self.piece_nodes,
        )

    def coarser(self) -> "Resolution":
        """One with fewer nodes and terms, to estimate errors from the difference.

        Its nodes do not sit where those of this one do, but for zero.
        """
        return replace(
            self,
            spacing=self.spacing * COARSER,
            radius=self.radius - 0.2,
            hidden_spacing=self.hidden_spacing * COARSER,
            hidden_radius=self.hidden_radius - 0.2,
            terms=max(3, math.ceil(self.terms / COARSER) - 1),
            piece_nodes=max(4, math.ceil(self.piece_nodes / COARSER) - 1),
        )

    @property
    def description(self) -> str:
        """One line for the results."""
        return (
            f"nodes at distances of {self.spacing:.3g}, {self.terms} terms for the correlation of "
            "two other fields"
        )


DEFAULT = Resolution()

FINEST, ROUGHEST = 1e-11, 1e-2  # the accuracies that can be asked for
LARGEST_SPACING, MOST_TERMS, MOST_PIECE_NODES = 2.0, 400, 200
LARGEST_RADIUS = 20.0
LOG2_POINTS = (8, 20)


@dataclass(frozen=True)
class Quadrature:
    """How averages without closed forms are to be computed, `integrate(..., quadrature=)`.

    - `accuracy`: the absolute error that averages may have (relative, of averages above 1).  Unless
      given it is the solver's `rtol`, at least 1e-10 and at most 1e-5.

    Nodes and terms follow from the accuracy, unless they are given, too:

    - `spacing`, `radius`: of equidistant nodes for the fields that are integrated over directly, in
      standard deviations of the field.
    - `hidden_spacing`, `hidden_radius`: the same for the fields that are averaged over given those.
    - `terms`: of Mehler's series sum_n rho^n gamma_an gamma_bn for the correlation rho that is left
      between two of the latter.
    - `piece_nodes`: Gauss-Legendre nodes on each piece between two kinks of an activation.
    - `log2_points`: the base-2 logarithm of the number of frozen points for losses other than
      "square" and "correlation" and K >= 4 units.

    The report of a theory names what was used, and estimates the error.

    Raises ValueError for an accuracy that double precision cannot give, and for nodes out of range.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(
    ...     ts.TeacherStudent(1, "tanh"), ts.Student(1, "tanh"), ts.SGD(learning_rate=0.5)
    ... )
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]], T=[[1.0]])
    >>> rough = ts.Quadrature(accuracy=1e-4)
    >>> theory = ts.integrate(problem, start, [0.0, 1.0], quadrature=rough)
    >>> round(float(theory.eps_g[1]), 3)
    0.198
    """

    accuracy: Any = None
    spacing: Any = None
    radius: Any = None
    hidden_spacing: Any = None
    hidden_radius: Any = None
    terms: Any = None
    piece_nodes: Any = None
    log2_points: Any = None

    def __post_init__(self):
        if self.accuracy is not None:
            accuracy = checks.positive("quadrature.accuracy", self.accuracy)
            if not FINEST <= accuracy <= ROUGHEST:
                raise ValueError(
                    f"quadrature.accuracy = {accuracy:.3g} cannot be had: averages are sums of "
                    f"float64 numbers, and nodes are known for {FINEST:g} to {ROUGHEST:g}; give a "
                    "number in this range."
                )
            object.__setattr__(self, "accuracy", accuracy)
        for name in ("spacing", "hidden_spacing"):
            self._check(name, checks.positive, 1e-3, LARGEST_SPACING)
        for name in ("radius", "hidden_radius"):
            self._check(name, checks.positive, 3.0, LARGEST_RADIUS)
        self._check("terms", checks.integer, 2, MOST_TERMS)
        self._check("piece_nodes", checks.integer, 4, MOST_PIECE_NODES)
        self._check("log2_points", checks.integer, *LOG2_POINTS)

    def _check(self, name: str, kind: Callable, least, most) -> None:
        """Raise ValueError unless a number that is given is of its kind and in its range."""
        given = getattr(self, name)
        if given is None:
            return
        number = kind(f"quadrature.{name}", given)
        if not least <= number <= most:
            raise ValueError(
                f"quadrature.{name} = {number:g} is out of range; give {least:g} to {most:g}."
            )
        object.__setattr__(self, name, number)

    @property
    def is_complete(self) -> bool:
        """Whether all nodes and terms are given."""
        return len(self._given()) == len(dataclasses.fields(Resolution))

    def changed(self, chosen: Resolution) -> Resolution:
        """A resolution with the nodes and terms that are given."""
        return replace(chosen, **self._given())

    def of_nodes(self) -> Resolution:
        """The resolution, where all is given."""
        return Resolution(**self._given())

    def _given(self) -> dict:
        names = [field.name for field in dataclasses.fields(Resolution)]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


# A dataclass writes its own constructor; this one also checks the names of its arguments.
Quadrature.__init__ = arguments.checked(Quadrature.__init__)  # type: ignore[method-assign]
