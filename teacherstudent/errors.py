"""Failures of long work, with the time reached."""


class SolverError(RuntimeError):
    """A differential-equation solver stopped before the last time asked for.

    `time` is the time reached, t = updates / N.
    """

    def __init__(self, message: str, time: float):
        super().__init__(message)
        self.time = time


class DivergenceError(SolverError):
    """Order parameters or weights grew without bound.

    `time` is when; `partial` is the dataset up to the last time before it, if there is one.
    """

    def __init__(self, message: str, time: float, partial=None):
        super().__init__(message, time)
        self.partial = partial
