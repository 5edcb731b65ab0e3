"""How far a sweep is, by the notes in its folder."""

import time
from pathlib import Path

from teacherstudent.sweeps.store import folder_of, is_in_use, progress_of


def status_of(out: Path) -> str:
    """One sentence on how far the sweep of an output is.

    Raises FileNotFoundError if there is none.
    """
    folder = folder_of(out)
    facts = progress_of(folder)
    if facts is None:
        raise FileNotFoundError(f"there is no sweep beside {out} (no folder {folder}).")
    done, total = facts["done"], facts["total"]
    share = f"{done} of {total} points are done"
    if facts["found"]:
        share += f" ({facts['found']} of them by an earlier sweep)"
    if facts["finished"]:
        return f"{out}: finished, {share}."
    elapsed = max(facts["time"] - facts["began"], 1e-9)
    new = done - facts["found"]
    speed = ""
    if new:
        left = (total - done) * elapsed / new
        speed = f", {new / elapsed:.3g} points a second, about {_readable(left)} left"
    if is_in_use(folder):
        return f"{out}: running, {share}{speed}."
    ago = _readable(max(time.time() - facts["time"], 0.0))
    return f"{out}: stopped {ago} ago, {share}; the same command goes on from there."


def kept_of(out: Path) -> str:
    """What of a sweep that ends too early is there; "" if nothing is."""
    folder = folder_of(out)
    kept = sum(1 for _ in folder.glob("*.npz"))
    if not kept:
        return ""
    return f"what is finished is in {folder}: the same command goes on from there."


def _readable(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} seconds"
