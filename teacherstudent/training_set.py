"""Fixed training sets: the samples that networks train on over and over, as in batch learning.

Online learning sees every sample once, and its theory has no memory of them.  Here P samples are
given once and for all,

    (x_p, y_p),  p = 1..P,   y_p = sum_m v*_m g*(w*_m . c_p / sqrt D) + sigma zeta_p,

with their noise, so that a network can learn the noise by heart: its training error is then smaller
than its generalisation error.
"""

from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray
from teacherstudent.display import Described

LARGEST_SEED = 2**32 - 1
MOST_SAMPLES = 2**31 - 1  # that 32 bits can count, with a sum of two of them


class Dataset(Described):
    """A fixed set of P samples, on which `simulate(..., data=)` trains networks over and over.

        update s takes the samples p = pi_k(s B + j mod P), j = 0..B-1, of the pass
        k = floor((s B + j) / P)

    - `x`: the inputs, shape (P, N).
    - `c`: the latents that the teacher sees, shape (P, D).  Left out they are the inputs, for tasks
      whose latents are the inputs, and for samples with labels.
    - `y`: the labels, shape (P,), with their noise; the classes +-1 for tasks of two classes, which
      need them.  They are of one teacher, so that the start is to have weights
      (`start_from_weights`).  Left out, each network learns from labels of its own teacher,
      y_p = phi*(c_p) + sigma zeta_p, with one zeta_p ~ N(0, 1) for each sample.
    - `noise`: sigma, the standard deviation of that noise; left out, it is the task's own.  With
      `y` the noise is in the labels, and the task's own is not used.
    - `order`: "in order", pi_k = 1 in all passes; "shuffled", a permutation for each pass from the
      network's own random stream; "with replacement", each sample drawn from all P.
    - `seed`: of zeta; the same for all networks.

    A batch may run over the end of a pass, into the next one.  With B = P all orders but the last
    are the gradient of the whole set, and "in order" takes the least time and memory.  The arrays
    are copied and cannot be changed.

    Raises ValueError for arrays that do not fit each other or are not finite, for `noise` beside
    `y`, and for an order that is not known.  `simulate` raises it for those that do not fit the
    problem.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> x = np.random.default_rng(0).standard_normal((150, 50))
    >>> data = ts.Dataset(x, noise=0.5)
    >>> data
    Dataset(x=<array (150, 50) ...>, noise=0.5)
    >>> len(data)
    150
    """

    ORDERS: ClassVar = ("in order", "shuffled", "with replacement")

    x: Float[AnyArray, "samples inputs"]
    c: Float[AnyArray, "samples latents"] | None
    y: Float[AnyArray, " samples"] | None
    noise: float | None
    order: str = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    @arguments.of("data.")
    def __init__(self, x, c=None, y=None, noise=None, order: str = "shuffled", seed: int = 0):
        self.x = _rows("x", x)
        self.c = None
        if c is not None:
            self.c = _rows("c", c)
            _check_count("c", self.c, len(self.x))
        self.y = None
        if y is not None:
            self.y = _labels(y)
            _check_count("y", self.y, len(self.x))
        self.noise = _noise(noise, y)
        checks.one_of("data.order", order, self.ORDERS)
        self.order = order
        self.seed = checks.integer("data.seed", seed, minimum=0, maximum=LARGEST_SEED)

    def __len__(self) -> int:
        """The number P of samples."""
        return len(self.x)

    @property
    def latents(self) -> Float[AnyArray, "samples latents"]:
        """What the teacher sees: `c`, or the inputs."""
        if self.c is None:
            return self.x
        return self.c

    def zeta(self) -> Float[np.ndarray, " samples"]:
        """One standard normal number for each sample, for the noise of its label."""
        return np.random.default_rng(self.seed).standard_normal(len(self))


def _rows(name: str, given) -> Float[np.ndarray, "samples size"]:
    """A matrix with one row for each sample."""
    rows = _fixed(name, given)
    if rows.ndim != 2 or 0 in rows.shape:
        columns = {"x": "N", "c": "D"}[name]
        raise ValueError(
            f"data.{name} has shape {rows.shape}; give (samples, {columns}), one row for each "
            "sample."
        )
    if len(rows) > MOST_SAMPLES:
        raise ValueError(f"data.{name} has {len(rows)} rows; give at most {MOST_SAMPLES}.")
    return rows


def _labels(given) -> Float[np.ndarray, " samples"]:
    """One label for each sample."""
    y = _fixed("y", given)
    if y.ndim != 1:
        raise ValueError(f"data.y has shape {y.shape}; give (samples,), one label for each sample.")
    return y


def _fixed(name: str, given) -> np.ndarray:
    """A float64 copy of finite numbers that nobody can change."""
    if checks.is_traced(given):
        raise ValueError(
            f"data.{name} is an array of a running JAX transformation; make the Dataset outside "
            "of it."
        )
    array = checks.finite_array(f"data.{name}", given)
    array.flags.writeable = False
    return array


def _check_count(name: str, array: np.ndarray, samples: int) -> None:
    """Raise ValueError unless there is one entry for each row of x."""
    if len(array) != samples:
        raise ValueError(
            f"data.{name} has {len(array)} entries but data.x has {samples} rows; give one for "
            "each sample."
        )


def _noise(noise, y) -> float | None:
    """The standard deviation of the label noise, if it is given."""
    if noise is None:
        return None
    if y is not None:
        raise ValueError(
            f"data.noise = {checks.shortened(noise)} and data.y are both given, but the noise is "
            "in the labels; leave one of them out."
        )
    return checks.single("data.noise", noise)
