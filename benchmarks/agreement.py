"""`python -m benchmarks.agreement`: theory against networks, for every case of the statistical
tests.

On isotropic inputs networks of several sizes start from the same overlaps; on structured inputs the
theory is that of one set of weights in N = 1000 dimensions; with two classes both layers and biases
are trained.  `python -m benchmarks.agreement isotropic`, `structured`, `mixtures`, `activations` or
`rules` prints one table alone.
"""

import sys
import warnings

import numpy as np
from rich.console import Console
from rich.table import Table

import teacherstudent as ts
from benchmarks.activations import PAIRS
from teacherstudent.results.datasets import description
from tests.sims import rule_cases, structured_cases
from tests.sims.test_against_theory import CASES, TIMES, set_up

SIZES = {250: 32, 1000: 24, 4000: 12}  # N: seeds
LATE_TIMES = np.linspace(0.0, 20.0, 11)


def isotropic() -> Table:
    """One line for each case: largest deviations at N = 1000, and the fitted decay over all N."""
    table = Table(
        "case",
        "K, M",
        "Q: deviation (z)",
        "R: deviation (z)",
        "eps_g: deviation (z)",
        "decay of Q, R, eps_g",
    )
    for name in CASES:
        problem, start = set_up(name)
        theory = ts.integrate(problem, start, TIMES)
        sims = [
            ts.simulate(problem, start, TIMES, N=N, seeds=seeds, progress=False)
            for N, seeds in SIZES.items()
        ]
        told = description(ts.compare(theory, sims))
        middle = told["largest"][1]
        cells = (
            f"{middle[x]['deviation']:+.4f} ({middle[x]['z']:.1f})" for x in ("Q", "R", "eps_g")
        )
        decay = ", ".join(
            f"{e:.2f}({100 * s:.0f})"
            for e, s in (told["exponents"][x] for x in ("Q", "R", "eps_g"))
        )
        table.add_row(name, f"{problem.student.width}, {problem.task.directions}", *cells, decay)
    return table


def structured(N: int = 1000, seeds: int = 8) -> Table:
    """One line for each case: where theory minus seed mean is largest, in brackets the standard
    deviation of one seed there.
    """
    table = Table(
        "inputs",
        "Q",
        "R",
        "eps_g",
        "test error",
        "verdict",
        title=f"N = {N}, {seeds} seeds, t <= 20",
    )
    for name in structured_cases.CASES:
        problem, start = structured_cases.set_up(name, N)
        theory = ts.integrate(problem, start, LATE_TIMES, rtol=1e-6)
        networks = ts.simulate(
            problem, start, LATE_TIMES, seeds=seeds, test_samples=4000, progress=False
        )
        report = ts.compare(theory, networks)
        largest = description(report)["largest"][0]
        cells = (
            f"{largest[x]['deviation']:+.4f} ({largest[x]['standard_error'] * seeds**0.5:.4f})"
            for x in ("Q", "R", "eps_g", "test_error")
        )
        table.add_row(name, *cells, report.attrs["verdict"].split(" at ")[0])
    return table


MIXTURES = {
    1: ts.SpikedCumulant(5.0, ("skewed", 0.2)),
    2: ts.MixedCumulant(2.0, 5.0, coupling="sign"),
    4: ts.GaussianMixture.xor(0.3),
}


def two_classes(K: int, activation: str, loss: str) -> tuple[ts.Problem, ts.OrderParameters]:
    """A student of K units with biases on one of the tasks above, and a start with overlaps of
    order one.
    """
    task = MIXTURES[K]
    rates = {"learning_rate": 0.4, "readout_learning_rate": 0.2, "bias_learning_rate": 0.2}
    problem = ts.Problem(task, ts.Student(K, activation, True, True), ts.SGD(**rates), loss=loss)
    m = np.array([[0.6, 0.2], [-0.4, 0.3], [0.1, -0.5], [0.3, 0.4]])[:K, : task.directions]
    v, b = np.array([0.7, -0.6, 0.4, -0.3])[:K], np.array([0.5, -0.3, 0.1, 0.2])[:K]
    return problem, ts.OrderParameters(m @ m.T + 0.5 * np.eye(K), m=m, v=v, b=b)


def mixtures(N: int = 1000, seeds: int = 16) -> Table:
    """One line for each width, activation and loss: largest deviations and their z."""
    names = ("Q", "m", "v", "b", "loss")
    table = Table(
        "task", "student", "loss", *names, "verdict", title=f"N = {N}, {seeds} seeds, t <= 4"
    )
    for K, task in MIXTURES.items():
        for activation in ("erf", "relu"):
            for loss in ("square", "logistic"):
                problem, start = two_classes(K, activation, loss)
                theory = ts.integrate(problem, start, np.linspace(0, 4, 9), rtol=1e-6, atol=1e-8)
                networks = ts.simulate(
                    problem, start, np.linspace(0, 4, 9), N=N, seeds=seeds, progress=False
                )
                report = ts.compare(theory, networks)
                largest = description(report)["largest"][0]
                cells = (f"{largest[x]['deviation']:+.4f} ({largest[x]['z']:.1f})" for x in names)
                verdict = report.attrs["verdict"].split(" at ")[0]
                table.add_row(type(task).__name__, f"K = {K} {activation}", loss, *cells, verdict)
    return table


def activations(N: int = 500, seeds: int = 32) -> Table:
    """One line for each pair of activations: the largest z of all order parameters on isotropic
    inputs, on a hidden manifold, and on spikes (the student's activation alone) with both losses.
    """
    columns = ("isotropic", "manifold", "spikes, square", "spikes, logistic")
    table = Table("student, teacher", *columns, title=f"largest z, N = {N}, {seeds} seeds, t <= 4")
    for name, (student, teacher) in PAIRS.items():
        isotropic = ts.TeacherStudent(2, teacher, noise=0.1)
        manifold = ts.HiddenManifold(2, teacher, "sign", latent_ratio=0.3, noise=0.1)
        cells = [
            _largest_z(*_with_teacher(task, student, N), N, seeds) for task in (isotropic, manifold)
        ]
        for loss in ("square", "logistic"):
            problem, start = two_classes(2, student, loss)
            cells.append(_largest_z(problem, start, N, seeds))
        table.add_row(name, *cells)
        print(name, *cells, flush=True)
    return table


def _with_teacher(task, student, N: int):
    problem = ts.Problem(task, ts.Student(3, student), ts.SGD(0.3))
    return problem, ts.random_start(problem, N=N, seed=2)


def _largest_z(problem, start, N: int, seeds: int) -> str:
    """The largest deviation in standard errors, and the verdict."""
    times = np.linspace(1.0, 4.0, 4)
    theory = ts.integrate(problem, start, times, rtol=1e-6, atol=1e-8)
    networks = ts.simulate(problem, start, times, N=N, seeds=seeds, progress=False)
    report = ts.compare(theory, networks)
    z = max(part["z"] for part in description(report)["largest"][0].values())
    return f"{z:.1f} {report.attrs['verdict'].split()[0]}"


RULE_SIZES = (500, 1000, 2000)


def rules(seeds: int = 8) -> Table:
    """One line for each rule: the largest deviation over all order parameters and times, and its
    decay.

    That of a single network, in the mean over seeds, at each N; in brackets that of the mean over
    seeds.
    """
    columns = (f"N = {N}" for N in RULE_SIZES)
    table = Table(
        "rule", *columns, "decay", title=f"{seeds} seeds, deviation of one network (of their mean)"
    )
    for name, of in rule_cases.CASES.items():
        single, mean = np.transpose([_largest_deviations(of(N), N, seeds) for N in RULE_SIZES])
        decay = np.polyfit(np.log(RULE_SIZES), np.log(single), 1)[0]
        table.add_row(
            name, *(f"{a:.3f} ({b:.3f})" for a, b in zip(single, mean, strict=True)), f"{decay:.2f}"
        )
    return table


def _largest_deviations(set_up: rule_cases.SetUp, N: int, seeds: int) -> tuple[float, float]:
    theory = ts.integrate(set_up.problem, set_up.start, set_up.times, rtol=1e-6, atol=1e-8)
    networks = ts.simulate(
        set_up.problem, set_up.start, set_up.times, N=N, seeds=seeds, progress=False
    )
    gaps = [abs(networks[x] - theory[x].values[None]) for x in ("Q", "R", "v")]
    means = [abs(networks[x].mean("seed") - theory[x].values) for x in ("Q", "R", "v")]
    single = np.max(
        [gap.max([dim for dim in gap.dims if dim != "seed"]) for gap in gaps], axis=0
    ).mean()
    return float(single), max(float(gap.max()) for gap in means)


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore")
    asked = sys.argv[1:] or ["isotropic", "structured", "mixtures", "activations", "rules"]
    for name, table in (
        ("isotropic", isotropic),
        ("structured", structured),
        ("mixtures", mixtures),
        ("activations", activations),
        ("rules", rules),
    ):
        if name in asked:
            Console(width=150).print(table())
    if asked == ["rules"]:
        return
    print(
        "deviation = theory - seed mean where largest; in brackets z, or for structured inputs "
        "one seed's standard deviation"
    )
    print("decay: exponent of N, its error in hundredths")


if __name__ == "__main__":
    main()
