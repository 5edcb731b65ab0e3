"""Problems and starts that several tests share."""

import numpy as np

import teacherstudent as ts


def random_overlaps(K: int, M: int, seed: int = 0, v=None) -> ts.OrderParameters:
    """Order parameters in generic position: correlated student units, teacher units of different
    norms.
    """
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((K + M, 3 * (K + M)))
    C = rows @ rows.T / rows.shape[1]
    return ts.OrderParameters(C[:K, :K], C[:K, K:], C[K:, K:], v)


def committee(
    K: int = 3, M: int = 2, *, activation="erf", noise: float = 0.2, **options
) -> ts.Problem:
    """A student with K units and a teacher with M; further options go to SGD."""
    trained = "readout_learning_rate" in options
    options.setdefault("learning_rate", 0.3)
    batch_size = options.pop("batch_size", 1)
    return ts.Problem(
        ts.TeacherStudent(M, activation, noise=noise),
        ts.Student(K, activation, trained),
        ts.SGD(**options),
        batch_size=batch_size,
    )
