"""`python -m benchmarks.models`: theory against networks of three sizes, for the published set-ups
of the models beyond two-layer regression, of feedback alignment, attacks and perceptrons.

For each quantity the table has the root mean square of a single network's deviation at each N, its
exponent with the error, and the largest z of the mean over seeds at the largest N.
`python -m benchmarks.models NAME ...` takes some of the set-ups alone.
"""

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import teacherstudent as ts
from teacherstudent.results.datasets import description

SIZES = (500, 1000, 2000)
SEEDS = 32
LATEST = 60.0  # time at which curves end
SET_UPS = (
    "feedback-alignment",
    "label-attack",
    "perceptron-rules",
    "reinforcement-phases",
    "lee-2021-similarity",
    "autoencoder-truncated",
    "sparse-parity-skills",
)


def curves_in(name: str) -> Iterator[tuple[str, Any]]:
    """The curves of a set-up, with its variants by name."""
    plan = ts.Experiment.read(name).plan
    variants = getattr(plan, "variants", {"": plan})
    for variant, curves in variants.items():
        yield f"{name} {variant}".strip(), curves


def deviations(curves: Any) -> dict[str, Any]:
    """What a comparison with networks of all sizes says."""
    times = curves.times[curves.times <= LATEST]
    observables = curves.theory.observables or ()
    theory = ts.integrate(curves.problem, curves.start, times, observables=observables)
    method = curves.simulation.method or "weights"
    networks = [
        ts.simulate(
            curves.problem,
            curves.start,
            times,
            N=N,
            seeds=SEEDS,
            method=method,
            observables=observables,
            progress=False,
        )
        for N in SIZES
    ]
    report = ts.compare(theory, networks)
    rms = {name: report[f"{name}_rms"].values for name in description(report)["exponents"]}
    return description(report) | {"rms": rms}


def table_of(names: tuple[str, ...]) -> Table:
    """One line for each quantity of each set-up."""
    sizes = (f"N = {N}" for N in SIZES)
    table = Table("set-up", "quantity", *sizes, "exponent", "largest z", "verdict")
    for name in names:
        for title, curves in curves_in(name):
            found = deviations(curves)
            verdict = found["verdict"].split()[0]
            for quantity, (exponent, error) in found["exponents"].items():
                cells = (f"{value:.4f}" for value in np.ravel(found["rms"][quantity]))
                z = found["largest"][-1].get(quantity, {}).get("z", np.nan)
                table.add_row(
                    title, quantity, *cells, f"{exponent:.2f} +- {error:.2f}", f"{z:.1f}", verdict
                )
                title, verdict = "", ""
    return table


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    names = tuple(sys.argv[1:]) or SET_UPS
    table = table_of(names)
    title = f"deviation of one network, {SEEDS} seeds, t <= {LATEST:g}; z of the mean over seeds"
    Console(width=150).print(title)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
