"""The options of the verb `integrate`, checked."""

import os
from typing import Any, NamedTuple

from odes.solving.trajectory import SOLVERS
from teacherstudent.averages.resolution import Quadrature
from teacherstudent.checking import checks


class Options(NamedTuple):
    """The options of the verb `integrate`."""

    rtol: float
    atol: float
    solver: str
    max_steps: int
    spectral: bool
    observables: Any
    quadrature: Quadrature | None
    progress: bool | None
    curve: bool
    checkpoint: str | os.PathLike | None = None
    stages: Any = None  # of the checkpoint, where its solve is under way


def checked(options: Options) -> Options:
    """The options, each in its range."""
    checks.one_of("solver", options.solver, ("auto", *SOLVERS))
    checks.one_of("spectral", options.spectral, (True, False))
    checks.one_of("curve", options.curve, (True, False))
    if options.quadrature is not None and not isinstance(options.quadrature, Quadrature):
        raise ValueError(
            f"quadrature = {checks.shortened(options.quadrature)}; give a ts.Quadrature, such as "
            "ts.Quadrature(accuracy=1e-6)."
        )
    return options._replace(
        rtol=checks.positive("rtol", options.rtol),
        atol=checks.positive("atol", options.atol),
        max_steps=checks.integer("max_steps", options.max_steps),
    )
