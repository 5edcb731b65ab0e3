"""What a job answers of its points: arrays with the names of their dimensions."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

FORMAT = 1


class Values(NamedTuple):
    """One quantity of several points, which come first; `dims` are those of one point."""

    dims: tuple[str, ...]
    array: np.ndarray
    attributes: dict[str, str]


class Answers(NamedTuple):
    """What was computed of some points of the same shapes.

    - `keys`: their names.
    - `values`: the quantities, by name.
    - `errors`: why a point has no numbers, or none to the end; "" of one that has all.
    - `seconds`: what each took, about.
    - `report`: what the verb says of how the numbers were made.
    """

    keys: list[str]
    values: dict[str, Values]
    errors: list[str]
    seconds: np.ndarray
    report: dict[str, Any]

    def lasting(self) -> "Answers":
        """Those of points that have numbers, or diverge: any other failure may be one of the
        machine, or of a version, and is tried again.
        """
        places = [
            place
            for place, error in enumerate(self.errors)
            if not error or error.startswith(("DivergenceError", "SolverError"))
        ]
        values = {name: one._replace(array=one.array[places]) for name, one in self.values.items()}
        return self._replace(
            keys=[self.keys[place] for place in places],
            values=values,
            errors=[self.errors[place] for place in places],
            seconds=self.seconds[places],
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """The same as arrays by name, which a file holds."""
        about = {
            "format": FORMAT,
            "report": self.report,
            "values": {name: [one.dims, one.attributes] for name, one in self.values.items()},
        }
        arrays = {f"value.{name}": one.array for name, one in self.values.items()}
        arrays["about"] = np.asarray(json.dumps(about))
        arrays["keys"] = np.asarray(self.keys, dtype=str)
        arrays["errors"] = np.asarray(self.errors, dtype=str)
        arrays["seconds"] = np.asarray(self.seconds, np.float64)
        return arrays


def answers_from(arrays: Mapping[str, np.ndarray]) -> Answers:
    """What was written as arrays.

    Raises ValueError or KeyError for arrays of something else.
    """
    about: dict[str, Any] = json.loads(str(arrays["about"]))
    if about["format"] != FORMAT:
        raise ValueError(f"written in the format {about['format']}, which is not {FORMAT}.")
    values = {}
    for name, (dims, attributes) in about["values"].items():
        values[name] = Values(tuple(dims), arrays[f"value.{name}"], attributes)
    keys, errors = arrays["keys"].tolist(), arrays["errors"].tolist()
    return Answers(keys, values, errors, arrays["seconds"], about["report"])
