"""`python -m benchmarks.agreement`: theory against networks of several sizes, for every case of the statistical tests."""

from rich.console import Console
from rich.table import Table

import teacherstudent as ts
from teacherstudent.results import description
from tests.sims.test_against_theory import CASES, TIMES, set_up

SIZES = {250: 32, 1000: 24, 4000: 12}  # N: seeds


def main() -> None:
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
    Console(width=130).print(table)
    print(
        "N = 1000, 24 seeds: deviation = theory - seed mean where largest; decay: exponent of N with its error in hundredths"
    )


if __name__ == "__main__":
    main()
