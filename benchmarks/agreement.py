"""`python -m benchmarks.agreement`: theory against networks, for every case of the statistical tests.

On isotropic inputs networks of several sizes start from the same overlaps; on structured inputs the theory is that of one set of
weights in N = 1000 dimensions (`python -m benchmarks.agreement structured` for these alone).
"""

import sys
import warnings

import numpy as np
from rich.console import Console
from rich.table import Table

import teacherstudent as ts
from teacherstudent.results import description
from tests.sims import structured_cases
from tests.sims.test_against_theory import CASES, TIMES, set_up

SIZES = {250: 32, 1000: 24, 4000: 12}  # N: seeds
LATE_TIMES = np.linspace(0.0, 20.0, 11)


def isotropic() -> Table:
    """One line for each case: largest deviations at N = 1000, and the fitted decay over all N."""
    table = Table(
        "case", "K, M", "Q: deviation (z)", "R: deviation (z)", "eps_g: deviation (z)", "decay of Q, R, eps_g"
    )
    for name in CASES:
        problem, start = set_up(name)
        theory = ts.integrate(problem, start, TIMES)
        sims = [ts.simulate(problem, start, TIMES, N=N, seeds=seeds, progress=False) for N, seeds in SIZES.items()]
        told = description(ts.compare(theory, sims))
        middle = told["largest"][1]
        cells = (f"{middle[x]['deviation']:+.4f} ({middle[x]['z']:.1f})" for x in ("Q", "R", "eps_g"))
        decay = ", ".join(f"{e:.2f}({100 * s:.0f})" for e, s in (told["exponents"][x] for x in ("Q", "R", "eps_g")))
        table.add_row(name, f"{problem.student.width}, {problem.task.width}", *cells, decay)
    return table


def structured(N: int = 1000, seeds: int = 8) -> Table:
    """One line for each case: where theory minus seed mean is largest, in brackets the standard deviation of one seed there."""
    table = Table("inputs", "Q", "R", "eps_g", "test error", "verdict", title=f"N = {N}, {seeds} seeds, t <= 20")
    for name in structured_cases.CASES:
        problem, start = structured_cases.set_up(name, N)
        theory = ts.integrate(problem, start, LATE_TIMES, rtol=1e-6)
        networks = ts.simulate(problem, start, LATE_TIMES, seeds=seeds, test_samples=4000, progress=False)
        report = ts.compare(theory, networks)
        largest = description(report)["largest"][0]
        cells = (
            f"{largest[x]['deviation']:+.4f} ({largest[x]['standard_error'] * seeds**0.5:.4f})"
            for x in ("Q", "R", "eps_g", "test_error")
        )
        table.add_row(name, *cells, report.attrs["verdict"].split(" at ")[0])
    return table


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore")
    if "structured" not in sys.argv:
        Console(width=130).print(isotropic())
        print(
            "N = 1000, 24 seeds: deviation = theory - seed mean where largest; decay: exponent of N, its error in hundredths"
        )
    Console(width=130).print(structured())


if __name__ == "__main__":
    main()
