"""Emergence and scaling laws of multitask sparse parity: in time, data, size and compute.

Each resource shows itself in the strengths R_k of the skills. From a_k = b_k, R_k(0) = R0:

    time tau       R_k = S / (1 + (S / R0 - 1) exp(-2 eta P_k S tau))
    samples D      R_k = S if the skill has at least D_c samples, else R0, trained to the end
    size N         R_k = S for k <= N, else 0

and in the loss L = (1/2) sum_k P_k (S - R_k)^2, for n -> infinity,

    time      L = S^2 / (2 (alpha + 1)) A^(1 / (alpha + 1)) (2 eta S tau)^(-alpha / (alpha + 1)) J
    samples   L = S^2 / (2 (alpha + 1)) A^(1 / (alpha + 1)) Gamma(alpha / (alpha + 1))
                  D^(-alpha / (alpha + 1))
    size      L = S^2 A N^(-alpha) / (2 alpha)
    compute   L = L0 C^(-alpha / (alpha + 2)),   C = N tau,   N ~ C^(1 / (alpha + 2)).

With r = S / R0 - 1 and F(u) = [1 + e^u / r]^-2,

    J = int_0^inf u^(-1/(alpha+1)) F(u) du.

A model of N skills misses those with u < u_N = 2 eta S A tau N^-(alpha + 1), so that

    J(u_N) = int_0^u_N u^(-1/(alpha+1)) du + int_u_N^inf u^(-1/(alpha+1)) F(u) du

takes the place of J.  At given C = N tau the loss is then a number times
u_N^(-alpha / ((alpha + 1)(alpha + 2))) J(u_N), whose minimum gives L0 and the prefactors.

Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563); the prefactor of compute is
ours.
"""

from typing import NamedTuple

import numpy as np
import scipy  # which loads integrate, optimize, special and stats where they are first used
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.models.sparse_parity import SparseParity

CANDIDATES = 200  # sizes that are tried at first, and then around the best of them
LOG_RANGE = 60.0  # of u in its integrals: e^-60 is rounding


class ScalingLaw(NamedTuple):
    """A power law, value = prefactor * x^exponent; calling it with x gives the value."""

    prefactor: float
    exponent: float

    def __call__(self, x):
        return self.prefactor * np.asarray(x, np.float64) ** self.exponent


class ScalingLaws(NamedTuple):
    """The asymptotic laws of the excess loss, and of the best sizes and times at given compute."""

    time: ScalingLaw
    samples: ScalingLaw
    size: ScalingLaw
    compute: ScalingLaw
    best_size: ScalingLaw
    best_time: ScalingLaw


class ComputeFrontier(NamedTuple):
    """The best loss at given compute C = size * time, and where it is reached.

    - `compute`, `size`, `time`, `loss` (budgets,).
    - `exponents`: those fitted to these points, by name: "loss", "size" and "time".
    """

    compute: Float[np.ndarray, " budgets"]
    size: Float[np.ndarray, " budgets"]
    time: Float[np.ndarray, " budgets"]
    loss: Float[np.ndarray, " budgets"]
    exponents: dict[str, float]


@arguments.checked
def skill_curves(
    model: SparseParity, initial: float, *, time=None, samples=None, size=None, shots: int = 1
) -> Float[np.ndarray, "*resource skills"]:
    """The strengths R_k of the skills at given resources, from a_k = b_k, R_k(0) = initial.

        time:     R_k = S / (1 + (S / R0 - 1) exp(-2 eta P_k S t))
        samples:  E R_k = S - (S - R0) Pr[Binomial(D, P_k) < shots],  trained to the end
        size:     R_k = 0 for k > N, whatever the rest

    - `time` or `samples`, not both: a number or a sequence; with neither, training is complete.
    - `size`: a number N of skills that the model can represent; all unless given.
    - `shots`: the number D_c of samples from which a skill is learnt.

    The answer has a leading axis where a sequence is given.  Time is that of the model, updates / N
    for networks: the paper's tau.

    Raises ValueError if the model has sequences or schedules, the initial strength is not between 0
    and S, or both time and samples are given.

    Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563).

    >>> import teacherstudent as ts
    >>> model = ts.SparseParity(skills=3, exponent=1.0, target=1.0)
    >>> print(ts.skill_curves(model, 0.01, samples=[1, 10, 100]).round(2))
    [[0.74 0.19 0.09]
     [1.   0.87 0.58]
     [1.   1.   1.  ]]
    """
    R0 = _initial_strength(model, initial)
    S = float(model.target)
    missing = (S - R0) * _missing(model, R0, time, samples, shots)
    return np.where(_represented(model, size), S - missing, 0.0)


@arguments.checked
def excess_loss(
    model: SparseParity, initial: float, *, time=None, samples=None, size=None, shots: int = 1
) -> Float[np.ndarray, "*resource"]:
    """The expected loss at given resources, from a_k = b_k, R_k(0) = initial.

        L = (1/2) sum_k P_k E (S - R_k)^2

    with the strengths and the arguments of `skill_curves`; the average is over training sets.  It
    is exact for the skills that the model has: `scaling_laws` gives the limits.

    Raises ValueError as `skill_curves`.

    Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563).

    >>> import teacherstudent as ts
    >>> model = ts.SparseParity(skills=1000, exponent=1.0, target=1.0)
    >>> print(ts.excess_loss(model, 0.01, size=10).round(4))
    0.0286
    """
    R0 = _initial_strength(model, initial)
    S = float(model.target)
    missing = _missing(model, R0, time, samples, shots)
    if samples is None:  # a probability needs no square, a fraction that is missing does
        missing = missing**2
    squared = np.where(_represented(model, size), (S - R0) ** 2 * missing, S**2)
    return np.asarray(squared @ _frequencies(model) / 2)


@arguments.checked
def scaling_laws(model: SparseParity, initial: float) -> ScalingLaws:
    """The asymptotic laws of the loss with their prefactors, for infinitely many skills.

        time     L ~ t^(-alpha / (alpha + 1))        samples  L ~ D^(-alpha / (alpha + 1))
        size     L ~ N^(-alpha)                      compute  L ~ C^(-alpha / (alpha + 2))

    and, where C = N t is spent best, N ~ C^(1 / (alpha + 2)) and t ~ C^((alpha+1) / (alpha + 2)).
    Each is a function of its resource, with `prefactor` and `exponent`.  For samples and size the
    initial strength is small.

    The constant A of P_k is that of infinitely many skills, 1 / zeta(alpha + 1).

    Raises ValueError if the model has sequences or schedules, or the initial strength is not
    between 0 and S.

    Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563).

    >>> import teacherstudent as ts
    >>> laws = ts.scaling_laws(ts.SparseParity(exponent=0.6, target=5.0, learning_rate=0.05), 0.01)
    >>> round(laws.time.exponent, 3), round(float(laws.size(100.0)), 3)
    (-0.375, 0.575)
    """
    R0 = _initial_strength(model, initial)
    S, alpha = float(model.target), float(model.exponent)
    A = 1 / scipy.special.zeta(alpha + 1)
    speed = 2 * float(model.learning_rate) * S
    ratio = S / R0 - 1
    sum_to_integral = S**2 / (2 * (alpha + 1)) * A ** (1 / (alpha + 1))
    slow = alpha / (alpha + 1)
    time_unit = sum_to_integral * speed**-slow
    u, value = _best_cut(alpha, ratio)
    # C = N tau with N = (A speed tau / u)^(1 / (alpha + 1))
    share = (u / (A * speed)) ** (1 / (alpha + 2))
    return ScalingLaws(
        time=ScalingLaw(time_unit * cut_integral(0.0, alpha, ratio), -slow),
        samples=ScalingLaw(sum_to_integral * float(scipy.special.gamma(slow)), -slow),
        size=ScalingLaw(S**2 * A / (2 * alpha), -alpha),
        compute=ScalingLaw(time_unit * share**-slow * value, -alpha / (alpha + 2)),
        best_size=ScalingLaw(1 / share, 1 / (alpha + 2)),
        best_time=ScalingLaw(share, (alpha + 1) / (alpha + 2)),
    )


@arguments.checked
def compute_frontier(model: SparseParity, initial: float, compute) -> ComputeFrontier:
    """The size N and the time t that make the loss smallest at given compute C = N t.

        L(N, t) = (1/2) sum_(k <= N) P_k (S - R_k(t))^2 + (S^2 / 2) sum_(k > N) P_k

    with integer N up to the number of skills of the model.  Exponents are fitted to all points by
    least squares in logarithms; `scaling_laws` has the asymptotic ones.  Few skills make the loss
    fall faster than its law: what is left of it is the sum over the skills that there are.

    - `compute` (budgets,): C, increasing.

    Raises ValueError if the model has sequences or schedules, the initial strength is not between 0
    and S, or compute is not positive and increasing.

    Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563).

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> model = ts.SparseParity(skills=10**4, exponent=1.0, target=5.0, learning_rate=0.05)
    >>> frontier = ts.compute_frontier(model, 0.01, np.geomspace(1e4, 1e6, 9))
    >>> print(round(frontier.exponents["loss"], 2))  # the law has -1/3
    -0.33
    """
    R0 = _initial_strength(model, initial)
    budgets = checks.times(compute)
    if budgets[0] == 0:
        raise ValueError("compute has the entry 0; give positive numbers.")
    best = np.array([_best_size(model, R0, one) for one in budgets])
    sizes, losses = best.T
    curves = {"loss": losses, "size": sizes, "time": budgets / sizes}
    exponents = {}
    if len(budgets) > 1:
        for name, values in curves.items():
            exponents[name] = float(np.polyfit(np.log(budgets), np.log(values), 1)[0])
    return ComputeFrontier(budgets, sizes, budgets / sizes, losses, exponents)


@arguments.checked
def fit_time_scale(model: SparseParity, initial: float, time, strength) -> float:
    """The constant c for which the first skill's curve R_1(c t) is nearest to measured strengths.

        c = argmin sum_t (R_1(c t) - measured(t))^2

    It is the one number that is fitted to a network (`ts.train_parity_network`); the other skills
    are then predicted, `ts.skill_curves(model, initial, time=c * t)`.

    - `time`, `strength` (times,): when the first skill was measured, and its strength.

    Raises ValueError if the measured skill never crosses S / 2, the two have different shapes, or
    as `skill_curves`.

    Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563).

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> model = ts.SparseParity(skills=3, learning_rate=0.1)
    >>> t = np.linspace(0.0, 100.0, 50)
    >>> twice_as_fast = ts.skill_curves(model, 0.01, time=2 * t)
    >>> round(ts.fit_time_scale(model, 0.01, t, twice_as_fast[:, 0]), 6)
    2.0
    """
    R0 = _initial_strength(model, initial)
    times = checks.times(time)
    measured = checks.finite_array("strength", strength)
    if measured.shape != times.shape:
        raise ValueError(
            f"strength has shape {measured.shape}, but time has {times.shape}; give the strength "
            "of the first skill at each time."
        )
    S = float(model.target)
    learnt = np.flatnonzero(measured > S / 2)
    if not len(learnt) or times[learnt[0]] == 0:
        raise ValueError(
            f"strength is not seen to cross S / 2 = {S / 2:g}: there is no emergence to fit; give "
            "the first skill, until it is learnt."
        )
    P = _frequencies(model)[:1]
    half = np.log(S / R0 - 1) / (2 * float(model.learning_rate) * P[0] * S)

    def distance(log_scale):
        curve = _sigmoid(model, R0, P, np.exp(log_scale) * times)
        return float(np.sum((curve - measured) ** 2))

    # Both curves cross S / 2 at times within a few recorded intervals of each other.
    centre = np.log(abs(half) / times[learnt[0]])
    grid = centre + np.linspace(-3.0, 3.0, CANDIDATES)
    best = int(np.argmin([distance(one) for one in grid]))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, CANDIDATES - 1)]
    found = scipy.optimize.minimize_scalar(
        distance, bounds=ends, method="bounded", options={"xatol": 1e-10}
    )
    return float(np.exp(found.x))


def cut_integral(u: float, alpha: float, ratio: float) -> float:
    """int_0^u x^(-1/(alpha+1)) dx + int_u^inf x^(-1/(alpha+1)) [1 + e^x / ratio]^-2 dx.

    In y = x^(alpha / (alpha + 1)), with dy = alpha / (alpha + 1) x^(-1/(alpha+1)) dx, the integrand
    is bounded.
    """
    power = alpha / (alpha + 1)

    def integrand(y):
        return (1 + np.exp(y ** (1 / power)) / ratio) ** -2.0

    last = (LOG_RANGE + max(np.log(ratio), 0.0)) ** power
    edge = min(u**power, last)
    middle = np.clip(max(np.log(ratio), 0.0) ** power, edge, last)  # where the integrand falls
    parts = [
        scipy.integrate.quad(integrand, *ends, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
        for ends in ((edge, middle), (middle, last))
    ]
    return (u**power + sum(parts)) / power


def _best_cut(alpha: float, ratio: float) -> tuple[float, float]:
    """The u that minimises u^(-alpha/((alpha+1)(alpha+2))) J(u), which is J at the best time, and J
    there.

    The loss at C = N tau has this factor through tau = C^.. u^(1/(alpha+2)).
    """
    power = alpha / ((alpha + 1) * (alpha + 2))

    def logarithm(log_u):
        return np.log(cut_integral(np.exp(log_u), alpha, ratio)) - power * log_u

    found = scipy.optimize.minimize_scalar(
        logarithm,
        bounds=(-20.0, np.log(LOG_RANGE + max(np.log(ratio), 0.0))),
        method="bounded",
        options={"xatol": 1e-10},
    )
    u = float(np.exp(found.x))
    return u, cut_integral(u, alpha, ratio)


def _best_size(model: SparseParity, R0: float, budget: float) -> tuple[float, float]:
    """The best size at a budget and its loss: among sizes on a grid, then around the best."""
    S = float(model.target)
    P = _frequencies(model)
    beyond = S**2 / 2 * np.append(np.cumsum(P[::-1])[::-1], 0.0)  # of the skills k > N

    def loss(size):
        missing = S - _sigmoid(model, R0, P[:size], budget / size)
        return P[:size] @ missing**2 / 2 + beyond[size]

    sizes = np.unique(np.geomspace(1, model.skills, CANDIDATES).astype(int))
    for _ in range(3):  # each time the grid is finer, and at the end it is of all integers
        losses = [loss(size) for size in sizes]
        best = int(np.argmin(losses))
        low, high = sizes[max(best - 1, 0)], sizes[min(best + 1, len(sizes) - 1)]
        sizes = np.unique(np.linspace(low, high, CANDIDATES).astype(int))
    losses = [loss(size) for size in sizes]
    best = int(np.argmin(losses))
    return float(sizes[best]), float(losses[best])


def _missing(model: SparseParity, R0: float, time, samples, shots) -> np.ndarray:
    """(S - R_k) / (S - R0) at given times, or the probability to have too few of the samples."""
    if time is not None and samples is not None:
        raise ValueError(
            "time and samples are both given; give one of them: with samples, training is complete."
        )
    P = _frequencies(model)
    if samples is not None:
        shots = checks.integer("shots", shots)
        D = _resource("samples", samples)
        return scipy.stats.binom.cdf(shots - 1, np.floor(D)[..., None], P)
    if time is None:
        return np.zeros_like(P)
    S = float(model.target)
    strengths = _sigmoid(model, R0, P, _resource("time", time)[..., None])
    return (S - strengths) / (S - R0)


def _sigmoid(model: SparseParity, R0: float, P, time) -> np.ndarray:
    S = float(model.target)
    decay = np.exp(-2 * float(model.learning_rate) * S * P * time)
    return S / (1 + (S / R0 - 1) * decay)


def _represented(model: SparseParity, size) -> np.ndarray:
    """Which skills a model of this size can represent."""
    rank = np.arange(1, model.skills + 1)
    if size is None:
        return np.ones(model.skills, bool)
    return rank <= checks.single("size", size)


def _resource(name: str, given) -> np.ndarray:
    values = checks.finite_array(name, given)
    if values.ndim > 1 or values.size == 0 or (values < 0).any():
        raise ValueError(
            f"{name} = {checks.shortened(given)} is not allowed; give a number or a sequence of "
            "numbers that are not negative."
        )
    return values


def _initial_strength(model: SparseParity, initial) -> float:
    """R0, which must lie between 0 and S."""
    if model.sweeps or model.changes_with_time:
        raise ValueError(
            f"model = {checks.shortened(model)} has numbers that are sequences or schedules; give "
            "one number for each."
        )
    R0 = checks.single("initial", initial, strict=True)
    if float(model.target) <= R0:
        raise ValueError(
            f"initial = {R0:g} is not below the target {float(model.target):g}; give a smaller "
            "strength."
        )
    return R0


def _frequencies(model: SparseParity) -> np.ndarray:
    """P_k in float64, whatever JAX's default is."""
    powers = np.arange(1.0, model.skills + 1) ** (-(float(model.exponent) + 1))
    return powers / powers.sum()
