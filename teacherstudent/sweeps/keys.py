"""Names of points by their content: a hash of all that decides a point's numbers.

A point that was computed once, in whichever sweep, is found under its name again.  The name depends
on the version of the package, so that what another one computed is computed anew.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

import teacherstudent
from odes.inputs.one_update import InputTheory
from odes.models.theory import ModelTheory
from odes.rules.theory import RuleTheory
from sims.models.simulation import ModelSimulation
from teacherstudent.checking import contracts
from teacherstudent.extensions.own_sources import content_of
from teacherstudent.sweeps.points import Point

# What is known of the classes of rules, tasks and models.
REGISTERS: tuple[dict[Any, Any], ...] = (
    RuleTheory.registered,
    InputTheory.registered,
    ModelTheory.registered,
    ModelSimulation.registered,
)


class Keys:
    """Makes the names of points that share options.

    - `kind`: "theory" or "simulation".
    - `settings`: what else decides the numbers.
    """

    def __init__(self, kind: str, times: np.ndarray, settings: Mapping[str, Any]):
        outline = [kind, teacherstudent.__version__, content_of(dict(settings))]
        self._common = hashlib.sha256(json.dumps(outline).encode())
        self._common.update(np.ascontiguousarray(times, np.float64).tobytes())
        # Many points share a part, which is kept with its digest so that its id stays its own.
        self._parts: dict[int, tuple[Any, bytes]] = {}

    def of(self, point: Point, N: int | None = None) -> str:
        """The name of a point."""
        problem = point.problem
        digest = self._common.copy()
        for part in (*problem.named_parts.values(), point.start):
            digest.update(self._digest_of(part))
        digest.update(repr((N, getattr(problem, "resolution", None))).encode())
        return digest.hexdigest()

    def _digest_of(self, part: Any) -> bytes:
        known = self._parts.get(id(part))
        if known is None:
            content = [content_of(part), *map(content_of, theories_of(part))]
            known = (part, hashlib.sha256("\n".join(content).encode()).digest())
            self._parts[id(part)] = known
        return known[1]


def theories_of(part: Any) -> list[type]:
    """The classes that hold the theory of a rule or a task, or theory and simulation of a model;
    none of anything else.
    """
    found = []
    for registered in REGISTERS:
        owner = contracts.nearest(type(part), registered)
        if owner is not None:
            found.append(type(registered[owner]))
    return found
