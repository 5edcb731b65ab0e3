"""States of the page that are quick to integrate and to simulate."""

from teacherstudent.explorer import controls
from teacherstudent.explorer.state import default_state, tables_of

QUICK = {"stop": 2, "K": 2, "M": 1, "start_size": 50, "spacing": "linear"}
LINEAR = {"activation": "linear", "teacher_activation": "linear"}


def state(**changes):
    """The default state with quick numbers, and some changes."""
    return default_state() | QUICK | LINEAR | changes


def tables(**changes):
    """The tables of such a state."""
    return tables_of(state(**changes))


TASKS = {
    controls.TEACHER_STUDENT: {"start": controls.RANDOM},
    controls.HIDDEN_MANIFOLD: {"start": controls.OVERLAPS},
    controls.SPIKED_CUMULANT: {"start": controls.OVERLAPS, "train_bias": True},
    controls.XOR: {"start": controls.OVERLAPS, "train_readout": True},
}
