"""Velocities of rules whose averages are at frozen points, a second time, in NumPy.

One sample, one unit, one teacher unit: Gauss-Legendre panels in the plane of the two fields, cut
where the error, the slope or the hidden unit changes its sign.  Anything else: a million other
quasi-random points, with the standard error of eight scrambles.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import erf, ndtri
from scipy.stats import qmc

from tests.faults import gaussian_integrals as integrals
from tests.faults.reference_averages import Plain

C_2 = np.sqrt(2 / np.pi)
SCAN = np.linspace(-integrals.RADIUS, integrals.RADIUS, 801)
BESIDE = np.array([-0.3, -0.03, -3e-3, -1e-4, 0.0, 1e-4, 3e-3, 0.03, 0.3])
PARTS = ((1, 8), (2, 8), (4, 8), (8, 8))
SCRAMBLES, LOG2_NUMBERS = 8, 20


class Setting(NamedTuple):
    """A student with K units and a teacher with M, the covariance of their fields, and what they
    are weighted with.
    """

    student: Plain
    teacher: Plain
    C: np.ndarray
    v: np.ndarray
    v_star: np.ndarray
    noise: float = 0.0
    batch_size: int = 1


class Velocity(NamedTuple):
    """dQ/dt, dR/dt and dv/dt, and how uncertain each of their entries is."""

    Q: np.ndarray
    R: np.ndarray
    v: np.ndarray
    uncertainty: float


class Sample(NamedTuple):
    """Fields, slopes times errors, errors and hidden units of n batches of B samples."""

    h: np.ndarray
    delta: np.ndarray
    e: np.ndarray
    hidden: np.ndarray


def sign_sgd(of: Sample, eta: float, eta_v: float) -> dict[str, np.ndarray]:
    """The velocity of sign-SGD of each batch; their mean is the velocity."""
    length = np.sqrt((of.delta**2).sum(axis=1))
    unit = of.delta * inverse(length)[:, None]
    tilt = np.einsum("nbk,nbf->nkf", unit, of.h)
    cosine = np.clip(np.einsum("nbk,nbl->nkl", unit, unit), -1, 1)
    K = of.delta.shape[2]
    dQ = -eta * C_2 * (
        tilt[..., :K] + tilt[..., :K].swapaxes(1, 2)
    ) + eta**2 * 2 / np.pi * np.arcsin(cosine)
    return {
        "Q": dQ,
        "R": -eta * C_2 * tilt[..., K:],
        "v": -eta_v * np.sign(np.einsum("nb,nbk->nk", of.e, of.hidden)),
    }


def fromage(
    of: Sample, eta: float, eta_v: float, C: np.ndarray, v: np.ndarray
) -> dict[str, np.ndarray]:
    """The velocity of Fromage of each batch."""
    K = len(v)
    trace = np.trace(C[:K, :K])
    unit = of.delta * inverse(np.sqrt((of.delta**2).sum(axis=(1, 2))))[:, None, None]
    tilt = np.einsum("nbk,nbf->nkf", unit, of.h)
    square = np.einsum("nbk,nbl->nkl", unit, unit)
    pull = -eta * np.sqrt(trace) * tilt
    slope = np.einsum("nb,nbk->nk", of.e, of.hidden)
    return {
        "Q": pull[..., :K] + pull[..., :K].swapaxes(1, 2) + eta**2 * (trace * square - C[:K, :K]),
        "R": pull[..., K:] - eta**2 / 2 * C[:K, K:],
        "v": -eta_v * np.sqrt(v @ v) * slope * inverse(np.sqrt((slope**2).sum(axis=1)))[:, None],
    }


def agd(of: Sample, gain: float) -> dict[str, np.ndarray]:
    """The velocity of AGD of each batch, for a frozen readout."""
    B, K = of.delta.shape[1:]
    D = np.sqrt((of.delta**2).sum(axis=(1, 2)))
    eta = np.log((1 + np.sqrt(1 + 4 * np.sqrt(K) * D / B)) / 2)
    h = gain * eta * np.sqrt(K) * inverse(D)
    b = np.einsum("n,nbk,nbf->nkf", h, of.delta, of.h)
    square = np.einsum("n,nbk,nbl->nkl", h**2, of.delta, of.delta)
    return {
        "Q": -b[..., :K] - b[..., :K].swapaxes(1, 2) + square,
        "R": -b[..., K:],
        "v": np.zeros((len(D), K)),
    }


def signum(of: Sample, eta: float, beta: float) -> dict[str, np.ndarray]:
    """The velocity of Signum of each buffer: samples of age 0, 1, .. with weights beta^age."""
    K, ages = of.delta.shape[2], of.delta.shape[1]
    power = beta ** np.arange(ages)
    u = of.delta * power[None, :, None]
    length = np.sqrt((u**2).sum(axis=1))
    tilt = np.einsum("nbk,nbf->nkf", u * inverse(length)[:, None], of.h)
    total = np.zeros((len(length), K, K))
    for s in range(ages - 1):
        products = np.einsum(
            "nbk,nbl->nkl", u[:, s:], of.delta[:, s:] * power[None, : ages - s, None]
        )
        before = np.sqrt(((of.delta[:, s:] * power[None, : ages - s, None]) ** 2).sum(axis=1))
        cosine = np.clip(products * inverse(length[:, :, None] * before[:, None, :]), -1, 1)
        A = 2 / np.pi * np.arcsin(cosine)
        total += A if s == 0 else A + A.swapaxes(1, 2)
    dQ = -eta * C_2 * (tilt[..., :K] + tilt[..., :K].swapaxes(1, 2)) + eta**2 * total
    return {"Q": dQ, "R": -eta * C_2 * tilt[..., K:], "v": np.zeros((len(length), K))}


def by_points(setting: Setting, velocity, samples: int, seed: int = 0) -> Velocity:
    """The mean velocity over scrambled Sobol points; the uncertainty is five standard errors."""
    K, fields = len(setting.v), len(setting.C)
    values, vectors = np.linalg.eigh(setting.C)
    root = vectors * np.sqrt(np.maximum(values, 0))
    dimensions = samples * (fields + (setting.noise > 0))
    log2 = max(8, LOG2_NUMBERS - int(np.ceil(np.log2(samples))) - 3)
    means = []
    for scramble in range(SCRAMBLES):
        total, count = None, 0
        sobol = qmc.Sobol(dimensions, scramble=True, rng=1000 * (seed + 1) + scramble)
        for _ in range(4):
            z = ndtri(np.clip(sobol.random(2**log2 // 4), 1e-16, 1 - 1e-16))
            h = z[:, : samples * fields].reshape(-1, samples, fields) @ root.T
            hidden = setting.student.value(h[..., :K])
            e = hidden @ setting.v - setting.teacher.value(h[..., K:]) @ setting.v_star
            if setting.noise > 0:
                e = e + setting.noise * z[:, samples * fields :]
            delta = setting.v * setting.student.slope(h[..., :K]) * e[..., None]
            parts = velocity(Sample(h, delta, e, hidden))
            sums = np.concatenate([part.sum(axis=0).ravel() for part in parts.values()])
            shapes = {name: part.shape[1:] for name, part in parts.items()}
            total, count = sums if total is None else total + sums, count + len(z)
        means.append(total / count)
    mean = np.mean(means, axis=0)
    error = np.std(means, axis=0, ddof=1) / np.sqrt(SCRAMBLES)
    return Velocity(*_unpacked(mean, shapes), uncertainty=5 * float(error.max()))


def in_the_plane(setting: Setting, velocity) -> Velocity:
    """The mean velocity for one sample, unit and teacher unit; odd in the sign of e, so that noise
    is averaged exactly.
    """
    fine = None
    for split, nodes in PARTS:
        rough, (fine, shapes) = fine, _plane(setting, velocity, split, nodes)
        if rough is not None and np.abs(fine - rough).max() <= 1e-9:
            break
    return Velocity(*_unpacked(fine, shapes), uncertainty=3 * float(np.abs(fine - rough).max()))


def _plane(setting: Setting, velocity, split: int, nodes: int):
    L = integrals.triangle(setting.C)
    z1, outer = _split_panels(_outer_cuts(setting, L)[None], split, nodes)[1:]
    rows, z2, inner = _split_panels(_inner_cuts(setting, L, z1), split, nodes)
    h = np.stack([L[0, 0] * z1[rows], L[1, 0] * z1[rows] + L[1, 1] * z2], axis=1)
    hidden = setting.student.value(h[:, :1])
    e = hidden @ setting.v - setting.teacher.value(h[:, 1:]) @ setting.v_star
    slope = setting.v * setting.student.slope(h[:, :1])

    def at(error):
        return velocity(
            Sample(h[:, None], (slope * error[:, None])[:, None], error[:, None], hidden[:, None])
        )

    if setting.noise == 0:
        parts = at(e)
    else:  # signs alone: +1 and -1 with their probabilities
        up = (1 + erf(e / (setting.noise * np.sqrt(2))))[:, None] / 2
        plus, minus = at(np.ones_like(e)), at(-np.ones_like(e))
        parts = {
            name: up.reshape(-1, *[1] * (plus[name].ndim - 1)) * plus[name]
            + (1 - up).reshape(-1, *[1] * (plus[name].ndim - 1)) * minus[name]
            for name in plus
        }
    weights = outer[rows] * inner
    shapes = {name: part.shape[1:] for name, part in parts.items()}
    return np.concatenate(
        [np.tensordot(weights, part, axes=1).ravel() for part in parts.values()]
    ), shapes


def _outer_cuts(setting: Setting, L: np.ndarray) -> np.ndarray:
    """Where slope or hidden unit change sign, and where the number of changes of sign of the error
    does.
    """
    student, teacher = setting.student, setting.teacher
    lam = lambda z: L[0, 0] * z
    cuts = [integrals.STEPS, student.part("value").cuts / L[0, 0]]
    cuts += [roots(lambda z: student.slope(lam(z))), roots(lambda z: student.value(lam(z)))]
    count = number_of_roots(setting, L, SCAN)
    for n in np.flatnonzero(np.diff(count)):
        low, high = SCAN[n], SCAN[n + 1]
        for _ in range(40):
            middle = (low + high) / 2
            if number_of_roots(setting, L, np.array([middle]))[0] == count[n]:
                low = middle
            else:
                high = middle
        cuts.append(low + BESIDE)
    for c in teacher.breaks:
        cuts.append((c + L[1, 1] * integrals.GRADES) / L[1, 0] if L[1, 0] else np.zeros(0))
        for side in (-1e-12, 1e-12):
            level = setting.v_star[0] * teacher.value(np.array([c + side]))[0]
            cuts.append(roots(lambda z, level=level: setting.v[0] * student.value(lam(z)) - level))
    return np.concatenate(cuts)


def _inner_cuts(setting: Setting, L: np.ndarray, z1: np.ndarray) -> np.ndarray:
    """Breaks of the teacher and changes of sign of the error on the second axis, for each point of
    the first.
    """
    shift = L[1, 0] * z1[:, None]
    own = (setting.teacher.part("value").cuts - shift) / L[1, 1]
    scan = np.broadcast_to(SCAN, (len(z1), len(SCAN)))
    sign = np.sign(_error(setting, L, z1[:, None], scan))
    rows, columns = np.nonzero(np.diff(sign, axis=1))
    low, high = SCAN[columns], SCAN[columns + 1]
    below = sign[rows, columns]
    for _ in range(45):
        middle = (low + high) / 2
        same = np.sign(_error(setting, L, z1[rows], middle)) == below
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    most = int(np.bincount(rows, minlength=1).max()) if len(rows) else 0
    changes = np.zeros((len(z1), most))
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    changes[rows, place] = (low + high) / 2
    steps = np.broadcast_to(integrals.STEPS, (len(z1), len(integrals.STEPS)))
    return np.concatenate([steps, own, changes], axis=1)


def _error(setting: Setting, L: np.ndarray, z1: np.ndarray, z2: np.ndarray) -> np.ndarray:
    student = setting.v[0] * setting.student.value(L[0, 0] * z1)
    return student - setting.v_star[0] * setting.teacher.value(L[1, 0] * z1 + L[1, 1] * z2)


def number_of_roots(setting: Setting, L: np.ndarray, z1: np.ndarray) -> np.ndarray:
    """How often the error changes its sign along the second axis."""
    return np.count_nonzero(
        np.diff(np.sign(_error(setting, L, z1[:, None], SCAN[None, :])), axis=1), axis=1
    )


def roots(function) -> np.ndarray:
    """Changes of sign of a function on the axis."""
    sign = np.sign(function(SCAN))
    n = np.flatnonzero(np.diff(sign))
    low, high = SCAN[n], SCAN[n + 1]
    for _ in range(50):
        middle = (low + high) / 2
        same = np.sign(function(middle)) == sign[n]
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return (low + high) / 2


def _split_panels(
    cuts: np.ndarray, split: int, nodes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, nodes and weights on the panels of each row, each cut in equal parts."""
    left, right, rows = integrals.row_panels(np.asarray(cuts))
    t, w = integrals.legendre(nodes)
    width = (right - left) / split
    centre = left[:, None] + width[:, None] * (np.arange(split) + 0.5)
    z = centre[..., None] + width[:, None, None] / 2 * t
    weights = width[:, None, None] / 2 * w * integrals.density(z)
    return np.repeat(rows, split * nodes), z.ravel(), weights.ravel()


def _unpacked(values: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> list[np.ndarray]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]
    return [
        part.reshape(shape)
        for part, shape in zip(np.split(values, ends), shapes.values(), strict=True)
    ]


def inverse(x: np.ndarray) -> np.ndarray:
    """1 / x, and 0 where x is."""
    return np.where(x > 0, 1 / np.where(x > 0, x, 1.0), 0.0)
