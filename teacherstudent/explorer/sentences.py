"""What goes wrong, and what is warned of, as sentences on the page."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_of_thread = threading.local()


def listen_to_warnings() -> None:
    """From now on each thread collects its own warnings, every one each time.

    `warnings.catch_warnings` is one for all threads, of which several compute at once here.
    """
    warnings.simplefilter("always", UserWarning)
    shown = warnings.showwarning

    def show(message, category, *where, **more) -> None:
        heard = getattr(_of_thread, "heard", None)
        if heard is None:
            shown(message, category, *where, **more)
        elif issubclass(category, UserWarning):
            heard.append(str(message))

    warnings.showwarning = show


@contextmanager
def warnings_heard() -> Iterator[list[str]]:
    """The warnings of this thread within the block."""
    heard: list[str] = []
    _of_thread.heard = heard
    try:
        yield heard
    finally:
        _of_thread.heard = None


def sentence_of(error: BaseException) -> str:
    """What an error says; one that is none of ours also says its type."""
    if isinstance(error, ValueError | RuntimeError | OSError):
        return str(getattr(error, "strerror", None) or error)
    return f"{type(error).__name__}: {error}"
