"""Work on request in a thread of its own, of which only the latest request counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class LatestWins(Generic[Request, Answer]):
    """Answers requests one at a time; of those that wait, only the latest.

    - `work`: from a request to its answer; it must not raise.
    - `deliver(request, answer, is_latest)`: called in the thread after each answer.

    >>> answers = []
    >>> worker = LatestWins(lambda x: x**2, lambda *answer: answers.append(answer))
    >>> worker.ask(3)
    >>> worker.close()
    >>> answers
    [(3, 9, True)]
    """

    def __init__(
        self,
        work: Callable[[Request], Answer],
        deliver: Callable[[Request, Answer, bool], object],
    ):
        self._work = work
        self._deliver = deliver
        self._changed = threading.Condition()
        self._waiting: list[Request] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self, request: Request) -> None:
        """Answer this next, instead of any that waits."""
        with self._changed:
            self._waiting = [request]
            self._changed.notify()

    def close(self) -> None:
        """End after what is asked already."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def leave(self) -> None:
        """End without waiting for the work at hand."""
        with self._changed:
            self._closed = True
            self._waiting = []
            self._changed.notify()

    def _next(self) -> list[Request]:
        """The next request, once there is one; none after the end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            waiting, self._waiting = self._waiting, []
            return waiting

    def _run(self) -> None:
        while requests := self._next():
            answer = self._work(requests[0])
            with self._changed:
                is_latest = not self._waiting
            self._deliver(requests[0], answer, is_latest)
