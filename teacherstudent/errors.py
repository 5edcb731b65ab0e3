"""Failures of long work, with how far it came."""


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


class FixedPointError(RuntimeError):
    """There is no fixed point of the order-parameter equations near the given state.

    - `residual`: the smallest of the largest |dy/dt| that was reached.
    - `state`: the order parameters there, by name.

    >>> import teacherstudent as ts
    >>> error = ts.FixedPointError("none found", residual=0.1, state={"Q[0,0]": 1.0})
    >>> error.residual
    0.1
    """

    def __init__(self, message: str, residual: float, state: dict[str, float]):
        super().__init__(message)
        self.residual = residual
        self.state = state
