"""Names of points by their content: a hash of all that decides a point's numbers.

A point that was computed once, in whichever sweep, is found under its name again.  The name depends
on the version of the package, so that what another one computed is computed anew.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

import teacherstudent
from odes.inputs.one_update import InputTheory
from odes.rules.theory import RuleTheory
from teacherstudent.checking import contracts
from teacherstudent.extensions.own_sources import own_sources, text_of
from teacherstudent.results.description import describe_problem
from teacherstudent.sweeps.points import Point


class Keys:
    """Makes the names of points that share options.

    - `kind`: "theory" or "simulation".
    - `settings`: what else decides the numbers, as JSON can hold it; of `observables` these are the
      names, and what they compute is in their text.
    """

    def __init__(
        self,
        kind: str,
        times: np.ndarray,
        settings: Mapping[str, Any],
        observables: Sequence[Any] = (),
    ):
        self.observables = observables
        outline = [kind, teacherstudent.__version__, dict(settings)]
        self._common = hashlib.sha256(json.dumps(outline, sort_keys=True).encode())
        self._common.update(np.ascontiguousarray(times, np.float64).tobytes())
        self._outlines: dict[Any, bytes] = {}
        self._starts: dict[int, tuple[Any, bytes]] = {}

    def of(self, point: Point, N: int | None = None) -> str:
        """The name of a point."""
        leaves, structure = jax.tree.flatten(point.problem)
        digest = self._common.copy()
        digest.update(self._outline(point, structure))
        digest.update(_bytes_of(leaves))
        digest.update(self._start(point.start))
        digest.update(str(N).encode())
        return digest.hexdigest()

    def _outline(self, point: Point, structure: Any) -> bytes:
        """All of a problem but its numbers, which points of one structure share."""
        if structure not in self._outlines:
            described = _without_numbers(describe_problem(point.problem))
            texts = own_texts(point.problem, self.observables)
            outline = json.dumps([described, texts], sort_keys=True)
            self._outlines[structure] = outline.encode()
        return self._outlines[structure]

    def _start(self, start: Any) -> bytes:
        """The digest of a start, which many points share."""
        known = self._starts.get(id(start))
        if known is None:
            digest = hashlib.sha256(type(start).__name__.encode())
            digest.update(_bytes_of(jax.tree.leaves(start)))
            digest.update(repr((start.time, start.batch)).encode())
            if start.kept is not None:
                parts = vars(start.kept)
                digest.update(_bytes_of(jax.tree.leaves([parts[name] for name in sorted(parts)])))
            known = (start, digest.digest())  # with the start, so that its id stays its own
            self._starts[id(start)] = known
        return known[1]


def _without_numbers(described: Any) -> Any:
    """A description in which every float is left out: the leaves of a problem have them."""
    if isinstance(described, dict):
        return {name: _without_numbers(value) for name, value in described.items()}
    if isinstance(described, list):
        return [_without_numbers(value) for value in described]
    if isinstance(described, float):
        return None
    return described


def _bytes_of(leaves: Iterable[Any]) -> bytes:
    """Numbers and arrays with their shapes; anything else by its text."""
    parts = []
    for leaf in leaves:
        if isinstance(leaf, str):
            parts.append(leaf.encode())
            continue
        array = np.asarray(leaf)
        if array.dtype.hasobject:
            parts.append(str(leaf).encode())
            continue
        parts.append(f"{array.dtype.kind}{array.shape}".encode())
        parts.append(np.ascontiguousarray(array, np.float64).tobytes())
    return b"\0".join(parts)


def own_texts(problem: Any, observables: Sequence[Any]) -> list[str]:
    """What the user's own classes and functions compute, of a problem and of observables."""
    owners = [getattr(one, name, None) for one in observables for name in ("of", "of_weights")]
    theories: list[tuple[Any, dict[Any, Any]]] = [
        (problem.rule, RuleTheory.registered),
        (problem.task, InputTheory.registered),
    ]
    for part, registered in theories:
        owner = contracts.nearest(type(part), registered)
        owners.append(type(registered.get(owner)))
    return own_sources(problem) + [text for text in map(text_of, owners) if text]
