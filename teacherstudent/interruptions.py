"""Interruptions: Ctrl-C, and the signals by which a cluster or a closed terminal ends a process.

Python answers a signal between any two of its instructions, also where a state is half changed.
Work that must not be torn is done inside `deferred`; a signal that arrives meanwhile is answered
at its end.
"""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# The last two are not known to Windows.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# Seconds that a process which is told to end waits for work that can go on later from where it
# stops.  A cluster kills what has not ended after 30.
UNTIL_A_STOP = 20.0
UNTIL_WRITTEN = math.inf

Handler = Callable[[int, FrameType | None], object]

_waits: list[float] = []


@contextmanager
def waited_for(seconds: float) -> Iterator[None]:
    """Work for whose end a process that is told to end waits so many seconds."""
    _waits.append(seconds)
    try:
        yield
    finally:
        _waits.pop()


def patience() -> float:
    """For how many seconds the present work is waited for."""
    return max([*_waits, 0.0])


@contextmanager
def deferred() -> Iterator[None]:
    """Answer signals at the end of what is done inside; a second one is answered at once.

    Only the main thread hears of signals, and only those that somebody listens to are deferred.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = _listening()
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        if len(noted) > 1:
            handlers[number](number, frame)

    try:
        for number in handlers:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if noted:
        handlers[noted[0]](noted[0], None)


def _listening() -> dict[int, Handler]:
    """The signals to which Python code listens, and that code."""
    found = {}
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler):
            found[int(number)] = handler
    return found
