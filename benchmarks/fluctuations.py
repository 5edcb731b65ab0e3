"""`python -m benchmarks.fluctuations`: the scatter of finite networks, predicted and measured.

Chains of the overlaps in N = 1000 dimensions start from the same overlaps and see other samples.
For each case and quantity: the predicted standard deviation of sqrt(N) (value - limit), the
measured one with its statistical error, and their ratio, of the entry and time where the ratio's
distance from 1 is the median one of all.  `python -m benchmarks.fluctuations bias` prints N (mean -
limit) instead, at two N.  Names of cases after that choose some of them.
"""

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr

import teacherstudent as ts

TIMES = np.array([0.5, 1.5, 3.0])
LINE = "{:24} {:9} {:>14} {:>18} {:>16}"
QUANTITIES = ("Q", "R", "m", "v", "b", "eps_g", "loss")
NEGLIGIBLE = 0.02  # of the largest standard deviation of a quantity: such entries hardly fluctuate


def overlaps(K: int, M: int, trained: bool = True) -> ts.OrderParameters:
    """A start in generic position."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((K + M, 2 * (K + M)))
    C = rows @ rows.T / rows.shape[1]
    v = rng.standard_normal(K)
    return ts.OrderParameters(C[:K, :K] / 2, 0.7 * C[:K, K:], C[K:, K:], v if trained else None)


def on_sphere(K: int, M: int) -> ts.OrderParameters:
    """The same with rows of unit length and a readout of ones."""
    start = overlaps(K, M, trained=False)
    lengths = np.sqrt(np.diag(start.Q))
    return ts.OrderParameters(
        start.Q / np.outer(lengths, lengths), start.R / lengths[:, None], start.T
    )


def two_classes(K: int, directions: int) -> ts.OrderParameters:
    """A start on inputs of two classes, with biases."""
    m = np.array([[0.6, 0.2], [-0.4, 0.3], [0.1, -0.5]])[:K, :directions]
    v, b = np.array([0.7, -0.6, 0.4])[:K], np.array([0.5, -0.3, 0.1])[:K]
    return ts.OrderParameters(m @ m.T + 0.5 * np.eye(K), m=m, v=v, b=b)


RATES = {"learning_rate": 0.4, "readout_learning_rate": 0.2, "bias_learning_rate": 0.2}
Case = tuple[ts.Problem, ts.OrderParameters]


def erf_one() -> Case:
    task, student = ts.TeacherStudent(1, noise=0.1), ts.Student(1, train_readout=True)
    return ts.Problem(task, student, ts.SGD(0.4)), overlaps(1, 1)


def erf_two() -> Case:
    task, student = ts.TeacherStudent(3, noise=0.1), ts.Student(2, train_readout=True)
    return ts.Problem(task, student, ts.SGD(0.4, 0.2)), overlaps(2, 3)


def erf_three() -> Case:
    task, student = ts.TeacherStudent(2, noise=0.1), ts.Student(3, train_readout=True)
    return ts.Problem(task, student, ts.SGD(0.4, 0.2)), overlaps(3, 2)


def linear() -> Case:
    task, student = ts.TeacherStudent(1, "linear", noise=0.2), ts.Student(2, "linear")
    return ts.Problem(task, student, ts.SGD(0.3)), overlaps(2, 1, trained=False)


def relu() -> Case:
    task, student = ts.TeacherStudent(3, "relu"), ts.Student(2, "relu", train_readout=True)
    return ts.Problem(task, student, ts.SGD(0.3, 0.1)), overlaps(2, 3)


def batch() -> Case:
    task, student = ts.TeacherStudent(2, noise=0.3), ts.Student(3, train_readout=True)
    rule = ts.SGD(1.0, 0.4, weight_decay=0.2)
    return ts.Problem(task, student, rule, batch_size=4), overlaps(3, 2)


def frozen_schedule() -> Case:
    rate = ts.piecewise([1.0, 0.3], [1.0])
    student = ts.Student(3, train_readout=True, frozen=[1])
    rule = ts.SGD(rate, 0.3, weight_decay=0.1)
    return ts.Problem(ts.TeacherStudent(2), student, rule), overlaps(3, 2)


def sphere() -> Case:
    return ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SphericalSGD(0.5)), on_sphere(2, 1)


def momentum() -> Case:
    rule = ts.HeavyBall(0.2, beta=0.5)
    return ts.Problem(ts.TeacherStudent(1), ts.Student(2), rule), overlaps(2, 1, trained=False)


def spike() -> Case:
    task = ts.SpikedCumulant(5.0, ("skewed", 0.2))
    return ts.Problem(task, ts.Student(1, "erf", True, True), ts.SGD(**RATES)), two_classes(1, 1)


def spikes_logistic() -> Case:
    task = ts.MixedCumulant(2.0, 5.0, coupling="sign")
    student = ts.Student(2, "relu", True, True)
    return ts.Problem(task, student, ts.SGD(**RATES), loss="logistic"), two_classes(2, 2)


def clusters() -> Case:
    rule = ts.SGD(weight_decay=0.1, **RATES)
    student = ts.Student(3, "erf", True, True)
    return ts.Problem(ts.GaussianMixture.xor(0.3), student, rule, batch_size=2), two_classes(3, 2)


CASES: dict[str, Callable[[], Case]] = {
    "erf, K = M = 1": erf_one,
    "erf, K = 2, M = 3": erf_two,
    "erf, K = 3, M = 2": erf_three,
    "linear": linear,
    "ReLU": relu,
    "batch of 4, decay": batch,
    "frozen unit, schedule": frozen_schedule,
    "on the sphere": sphere,
    "momentum": momentum,
    "spike": spike,
    "two spikes, logistic": spikes_logistic,
    "xor, batch of 2": clusters,
}


class Compared(NamedTuple):
    """Predicted and measured numbers of all entries and times of a quantity, and the standard
    errors of the latter.
    """

    quantity: str
    predicted: np.ndarray
    measured: np.ndarray
    error: np.ndarray

    @property
    def z(self) -> np.ndarray:
        """The differences in standard errors."""
        return (self.measured - self.predicted) / self.error


def scatter(band: xr.Dataset, networks: xr.Dataset, N: int) -> Iterator[Compared]:
    """The standard deviations of what fluctuates."""
    for name, values in of_seeds(band, networks):
        predicted = band[f"{name}_std"].values
        large = predicted > NEGLIGIBLE * predicted.max()
        deviations = values - values.mean(axis=0)
        variance = (deviations**2).mean(axis=0)
        # The error of a variance follows from the fourth moment, which need not be a Gaussian's.
        of_variance = np.sqrt(((deviations**4).mean(axis=0) - variance**2) / len(values))
        measured = np.sqrt(N * variance)
        error = N * of_variance / (2 * np.where(large, measured, 1.0))
        yield Compared(name, predicted[large], measured[large], error[large])


def shifts(band: xr.Dataset, networks: xr.Dataset, N: int) -> Iterator[Compared]:
    """The means of what fluctuates, beyond their limit."""
    for name, values in of_seeds(band, networks):
        std = band[f"{name}_std"].values
        large = std > NEGLIGIBLE * std.max()
        measured = N * (values.mean(axis=0) - band[name].values)
        error = N * values.std(axis=0, ddof=1) / np.sqrt(len(values))
        predicted = band[f"{name}_bias"].values
        yield Compared(name, predicted[large], measured[large], error[large])


def of_seeds(band: xr.Dataset, networks: xr.Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """The quantities of a band, with their values of all networks, the seeds first."""
    for name in QUANTITIES:
        if f"{name}_std" in band:
            yield name, networks[name].transpose("seed", ...).values


def chains(case: Case, N: int, seeds: int, times=TIMES) -> xr.Dataset:
    """Networks of a case."""
    options = {"N": N, "seeds": seeds, "method": "reduced", "progress": False}
    return ts.simulate(*case, times, **options)


def print_scatter(names: list[str], N: int = 1000, seeds: int = 2000) -> None:
    """A line for each quantity of each case, as soon as it is known."""
    print(LINE.format("case", "quantity", "predicted std", "measured std", "ratio"))
    for name in names:
        case = CASES[name]()
        band = ts.fluctuations(*case, TIMES, bias=False)
        for one in scatter(band, chains(case, N, seeds), N):
            ratio = one.measured / one.predicted
            shown = np.argsort(np.abs(ratio - 1))[len(ratio) // 2]
            relative = one.error[shown] / one.predicted[shown]
            cells = (
                f"{one.predicted[shown]:.4f}",
                f"{one.measured[shown]:.4f} ({one.error[shown]:.4f})",
                f"{ratio[shown]:.3f} ({relative:.3f})",
            )
            print(LINE.format(name, one.quantity, *cells), flush=True)


def print_bias(names: list[str], sizes: tuple[int, int] = (50, 200), seeds: int = 20_000) -> None:
    """N (mean - limit) of each quantity and case at two N, where it is most significant."""
    print(LINE.format("case", "quantity", "predicted", *(f"at N = {N}" for N in sizes)))
    for name in names:
        case = CASES[name]()
        band = ts.fluctuations(*case, TIMES)
        if "Q_bias" not in band:
            continue
        measured = [list(shifts(band, chains(case, N, seeds), N)) for N in sizes]
        for of_sizes in zip(*measured, strict=True):
            largest = of_sizes[-1]
            shown = int(np.argmax(np.abs(largest.predicted) / largest.error))
            cells = [f"{one.measured[shown]:+.3f} ({one.error[shown]:.3f})" for one in of_sizes]
            predicted = f"{largest.predicted[shown]:+.3f}"
            print(LINE.format(name, largest.quantity, predicted, *cells), flush=True)


if __name__ == "__main__":
    wanted = sys.argv[1:]
    chosen = [name for name in wanted if name in CASES] or list(CASES)
    if "bias" in wanted:
        print_bias(chosen)
    else:
        print_scatter(chosen)
