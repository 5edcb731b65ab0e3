"""Independent component analysis as a problem.

One neuron sees inputs of the spiked class alone.  With a contrast function G and
lambda = w . x / sqrt N,

    w <- w + (eta / sqrt N) sign G'(lambda) x,   then w is rescaled to |w|^2 = N,

is spherical SGD on the correlation loss -y phi with y = 1 and phi = sign G(lambda): theory,
simulation and escape apply to it.

    "kurtosis"   G = s^4 / 4           G' = s^3
    "logcosh"    G = log cosh s        G' = tanh s
    "gauss"      G = -exp(-s^2 / 2)    G' = s exp(-s^2 / 2)

A. Hyvarinen, IEEE Trans. Neural Netw. 10, 626 (1999); Ricci, Bardone & Goldt (arXiv:2503.23896).
"""

import math

import numpy as np

from teacherstudent.activations.activation import ACTIVATIONS, Activation, Polynomial
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.contracts import require_unchanged
from teacherstudent.problem import Problem, Student
from teacherstudent.rules import SphericalSGD
from teacherstudent.tasks import SpikedCumulant
from teacherstudent.tasks.nonlinearities import hermite_expansion

CONTRASTS = {
    "kurtosis": Activation(
        "polynomial[0.0, 0.0, 0.0, 0.0, 0.25]", Polynomial((0.0, 0.0, 0.0, 0.0, 0.25))
    ),
    "logcosh": ACTIVATIONS["logcosh"],
    "gauss": ACTIVATIONS["gauss"],
}
ORDERS = 13  # of Hermite coefficients that are looked at
SMALL = 1e-9


@arguments.checked
def ica_problem(
    task: SpikedCumulant, contrast: str = "kurtosis", *, learning_rate, sign: int | None = None
) -> Problem:
    """Online SGD for independent component analysis of a spiked cumulant.

        w <- w + (eta / sqrt N) sign G'(lambda) x,   then w is rescaled to |w|^2 = N

    with lambda = w . x / sqrt N.  The problem is for `integrate`, `simulate` and `escape`.

    - `task`: a `SpikedCumulant`; its Gaussian class is left out (class_prior = 1).
    - `contrast`: "kurtosis", "logcosh" or "gauss".
    - `learning_rate`: eta; to escape it must fall as N^(-(k - 2) / 2), k the information exponent
      (4 for symmetric latents).
    - `sign`: +1 maximises E G, -1 minimises it; unless given, the one for which the overlap with
      the spike grows.

    The student's activation is sign G.  Smoothing the loss over a neighbourhood of w, which would
    need fewer samples, is not implemented.

    Time counts updates, t = updates / N.

    Raises ValueError for another task, an unknown contrast, or a latent that no order of the
    contrast sees.

    >>> import teacherstudent as ts
    >>> problem = ts.ica_problem(ts.SpikedCumulant(5.0), "kurtosis", learning_rate=0.01)
    >>> problem.loss, type(problem.rule).__name__
    ('correlation', 'SphericalSGD')

    A. Hyvarinen, IEEE Trans. Neural Netw. 10, 626 (1999); Ricci, Bardone & Goldt
    (arXiv:2503.23896).
    """
    check_spike(task)
    checks.one_of("contrast", contrast, CONTRASTS)
    if sign is None:
        sign = growing_sign(task, contrast)
    _check_sign(sign)
    spiked_class = SpikedCumulant(task.beta, task.latent, class_prior=1.0)
    student = Student(1, _signed(contrast, sign))
    return Problem(spiked_class, student, SphericalSGD(learning_rate), loss="correlation")


def _check_sign(sign) -> None:
    """Raise ValueError unless the sign is 1 or -1."""
    is_integer = isinstance(sign, int | np.integer) and not isinstance(sign, bool)
    if not is_integer or sign not in (1, -1):
        raise ValueError(f"sign = {checks.shortened(sign)} is not allowed; give 1, -1 or None.")


def check_spike(task) -> None:
    """Raise ValueError unless the task is a spiked cumulant."""
    if not isinstance(task, SpikedCumulant):
        raise ValueError(
            f"task is a {type(task).__name__}; independent component analysis here is for "
            "SpikedCumulant."
        )
    require_unchanged(task, SpikedCumulant)


def growing_sign(task: SpikedCumulant, contrast: str) -> int:
    """The sign of the drift of a small overlap with the spike.

    It is that of G_k h_k, Hermite coefficients of contrast and latent, at the first order k >= 3
    where neither vanishes.  For odd k the overlap grows from one side only, with either sign.
    """
    product = hermite_expansion(CONTRASTS[contrast], ORDERS) * task.latent.hermite(ORDERS)
    seen = [k for k in range(3, ORDERS) if abs(product[k]) > SMALL * math.factorial(k)]
    if not seen or task.beta == 0:
        raise ValueError(
            f"contrast = {contrast!r} sees nothing of this latent up to order {ORDERS - 1}; take "
            "another."
        )
    return int(np.sign(product[seen[0]]))


def _signed(contrast: str, sign: int) -> Activation:
    """The activation sign G."""
    if sign == 1:
        return CONTRASTS[contrast]
    if contrast == "kurtosis":
        return Activation(
            "polynomial[0.0, 0.0, 0.0, 0.0, -0.25]", Polynomial((0.0, 0.0, 0.0, 0.0, -0.25))
        )
    return ACTIVATIONS[f"minus-{contrast}"]
