"""The state of a model: arrays by their names, where a run begins or has come to."""

from typing import Any

import equinox as eqx
import numpy as np

from teacherstudent.checking import checks
from teacherstudent.display import Described, shown_value


class State(Described):
    """The state of a model: its order parameters by name, as the model's `STATE` names them.

        ts.State(Q=[[1.0]], R=[[0.1]])

    - The arrays: as many and of the shapes that the model says; it checks them where a run begins.
    - `time`: the time t that it is of, 0 unless it is the state of another run.

    The arrays are read by their names, `state.Q`, or `state.values["Q"]`.

    Raises ValueError if an entry is no array of finite numbers, or the time is negative.

    >>> import teacherstudent as ts
    >>> ts.State(Q=[[1.0]], R=[[0.1]]).R
    array([[0.1]])
    """

    values: dict[str, np.ndarray]
    time: float = eqx.field(static=True)
    kept: Any = eqx.field(static=True)  # what another run goes on from, of a state of its end
    before: Any = eqx.field(static=True)  # the model of the run that it is a state of, if known

    def __init__(self, *, time: float = 0.0, kept: Any = None, before: Any = None, **values):
        self.values = {
            name: np.asarray(checks.finite_array(f"state.{name}", value), np.float64)
            for name, value in values.items()
        }
        self.time = checks.single("state.time", time)
        self.kept = kept
        self.before = before

    def __getattr__(self, name: str) -> np.ndarray:
        values = vars(self).get("values", {})  # empty while a copy of a state is made
        if name in values and vars(self).get("kept") is not None:
            raise AttributeError(
                f"the state is that of {len(self.kept.seeds)} networks, each with {name} of its "
                "own; read them from the simulation, isel(time=-1)."
            )
        if name in values:
            return values[name]
        raise AttributeError(f"the state has no {name}; it has {', '.join(values)}.")

    @property
    def batch(self) -> tuple[int, ...]:
        """The shape of a batch of starts: models begin from one."""
        return ()

    @property
    def network(self) -> None:
        """The weights that the state is of: a state of a model has none."""

    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = dict(self.values)
        if self.kept is not None:
            shown = {"networks": len(self.kept.seeds)}
        if self.time:
            shown["time"] = self.time
        return shown

    def __repr__(self) -> str:
        parts = [f"{name}={shown_value(value)}" for name, value in self.shown().items()]
        return f"State({', '.join(parts)})"
