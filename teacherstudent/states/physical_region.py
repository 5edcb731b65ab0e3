"""Which overlaps weights can have, and from where on theory and simulation call them divergent.

Overlaps are a covariance: [[Q, R], [R^T, T]] has no negative eigenvalue, nor has Q - m m^T of two
classes, where T = 1.  How large they are is not bounded; beyond `DIVERGED` the fields are of order
1000, and no learning rate that anyone would use leads there and back.  That is a criterion, not a
proof: a network whose activation saturates may stay finite with any weights.
"""

import numpy as np
from jaxtyping import Float

from teacherstudent.checking.checks import AnyArray
from teacherstudent.states.order_parameters import PSD_TOLERANCE, covariance

# Overlaps, readouts and biases beyond this many times max(1, their start) are called divergent.
DIVERGED = 1e6


def bound_of_divergence(*start) -> float:
    """The size beyond which overlaps, readouts or biases that began here are called divergent."""
    largest = []
    for part in start:
        largest.append(float(np.max(np.abs(part), initial=0.0)))
    return DIVERGED * max(1.0, *largest)


def smallest_eigenvalue(
    Q: Float[AnyArray, "*#batch students students"],
    R: Float[AnyArray, "*#batch students teachers"],
    T: Float[AnyArray, "*#batch teachers teachers"],
) -> np.ndarray:
    """The smallest eigenvalue of [[Q, R], [R^T, T]] relative to its largest entry.

    With two classes R is m and T the unit matrix.  Where an entry is not finite, or Q is not
    symmetric beyond rounding, the answer is minus infinity.
    """
    batch = np.broadcast_shapes(Q.shape[:-2], R.shape[:-2], T.shape[:-2])
    blocks = []
    for part in (Q, R, T):
        whole = np.broadcast_to(part, (*batch, *part.shape[-2:]))
        blocks.append(np.array(whole, np.float64))
    C = covariance(*blocks)
    scale = np.maximum(1.0, np.abs(C).max(axis=(-1, -2)))
    usable = np.isfinite(scale)
    # LAPACK must not see what is not finite.
    finite = np.where(usable[..., None, None], C, 0.0)
    divisor = np.where(usable, scale, 1.0)
    C = finite / divisor[..., None, None]
    transposed = np.swapaxes(C, -1, -2)
    skew = np.abs(C - transposed).max(axis=(-1, -2))
    symmetric = (C + transposed) / 2
    smallest = np.linalg.eigvalsh(symmetric)[..., 0]
    usable = usable & (skew <= PSD_TOLERANCE)
    return np.where(usable, smallest, -np.inf)
