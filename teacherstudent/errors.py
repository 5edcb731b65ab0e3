"""Failures of long work, with the time reached."""


class SolverError(RuntimeError):
    """A differential-equation solver stopped before the last time asked for.

    - `time`: the time reached, in the units of `times` (t = updates / N).

    >>> import teacherstudent as ts
    >>> error = ts.SolverError("stopped at t = 2.5", time=2.5)
    >>> error.time
    2.5
    """

    def __init__(self, message: str, time: float):
        super().__init__(message)
        self.time = time


class DivergenceError(SolverError):
    """Order parameters or weights grew without bound.

    - `time`: when they did, in the units of `times` (t = updates / N).
    - `partial`: the dataset up to the last time before it; None if there is none.

    Whoever catches `SolverError` catches this too:

    >>> import teacherstudent as ts
    >>> issubclass(ts.DivergenceError, ts.SolverError)
    True
    """

    def __init__(self, message: str, time: float, partial=None):
        super().__init__(message, time)
        self.partial = partial


class ThresholdError(ValueError):
    """A phase of a protocol did not reach the threshold that ends it, and others were to follow.

    - `time`: the last time asked for, in the units of `times` (t = updates / N).
    - `partial`: the dataset up to there.

    >>> import teacherstudent as ts
    >>> ts.ThresholdError("not reached by t = 10", time=10.0).time
    10.0
    """

    def __init__(self, message: str, time: float, partial=None):
        super().__init__(message)
        self.time = time
        self.partial = partial
