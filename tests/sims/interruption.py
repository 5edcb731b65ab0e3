"""A run that is interrupted after it has written its checkpoint."""

from contextlib import contextmanager

import pytest

from sims.running import checkpoints
from teacherstudent.results import checkpoint_files


class Stopped(Exception):
    """The interruption of a run."""


@contextmanager
def interrupted_after(updates: int):
    """What runs inside writes its checkpoint at every occasion, and is stopped at the first one
    after so many updates.
    """
    with pytest.raises(Stopped), stopping_after(updates):
        yield


@contextmanager
def stopping_after(updates: int):
    """The same, but `Stopped` is raised out of it; not if there is no occasion after so many
    updates.
    """
    keep = checkpoints.Keeper.keep_if_due

    def keep_then_stop(self, run, done, rows):
        keep(self, run, done, rows)
        if done > updates:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_files, "EVERY_SECONDS", 0.0)
        patch.setattr(checkpoints.Keeper, "keep_if_due", keep_then_stop)
        yield
