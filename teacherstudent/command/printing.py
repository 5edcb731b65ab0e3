"""What the command line prints of a result: tables of errors, comparisons and escapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

ROWS = 9  # of a table along time


def a_table(*columns: str, title: str) -> Table:
    """A table to be printed; a quiet run does without importing what prints it."""
    from rich.table import Table

    return Table(*columns, title=title)


def show_table(table: Table) -> None:
    """Print a table as wide as the terminal."""
    from rich.console import Console

    Console().print(table)


def verdicts(tree: xr.DataTree) -> list[str]:
    """The verdicts of a result, one for each comparison in it."""
    return [node.attrs["verdict"] for node in tree.subtree if "verdict" in node.attrs]


def named_datasets(tree: xr.DataTree) -> list[tuple[str, xr.Dataset]]:
    """The datasets of a file with the names of their groups, those of variants one by one."""
    from teacherstudent.results.datasets import variants_of

    named = []
    for name, node in tree.children.items():
        if name != "variants":
            named += [(name, data) for data in datasets_in(node)]
    for label, variant in variants_of(tree).items():
        for name, node in variant.children.items():
            named += [(f"{label}, {name}", data) for data in datasets_in(node)]
    return named


def datasets_in(node: xr.DataTree) -> list[xr.Dataset]:
    """The dataset of a group, or those of its members."""
    if node.data_vars:
        return [node.to_dataset()]
    return [child.to_dataset() for child in node.children.values()]


def print_result(tree: xr.DataTree, title: str) -> None:
    """The tables of a result, by what it holds."""
    from teacherstudent.results.datasets import variants_of

    variants = variants_of(tree)
    if variants:
        print_variants(variants, title)
        return
    print_curves(tree, title)
    if "comparison" in tree.children:
        print_comparison(tree["comparison"].to_dataset())
    if "fixed_point" in tree.children:
        print_fixed_point(tree["fixed_point"].to_dataset())
    if "escape" in tree.children:
        print_escape(tree["escape"].to_dataset(), title)


def print_curves(tree: xr.DataTree, title: str) -> None:
    """The error of theory and networks along time, where there is one curve of it."""
    from teacherstudent.results.datasets import description, error_name, simulations

    curves = {}
    if "theory" in tree.children:
        curves["theory"] = tree["theory"].to_dataset()
    for one in simulations(tree):
        curves[f"N={description(one)['report']['N']}"] = one
    if not curves:
        return
    source = next(iter(curves.values()))
    error = error_name(source)
    if not set(source[error].dims) <= {"time", "seed"}:
        return  # a sweep
    table = a_table("t", title=title)
    for label in curves:
        table.add_column(f"{error} {label}", justify="right")
    last = source.sizes["time"] - 1
    for index in sorted({round(row * last / (ROWS - 1)) for row in range(ROWS)}):
        time = float(source.time[index])
        cells = [error_cell(one[error].sel(time=time, method="nearest")) for one in curves.values()]
        table.add_row(f"{time:.4g}", *cells)
    show_table(table)


def error_cell(values: xr.DataArray) -> str:
    """A theory's number, or the mean of seeds with its standard error."""
    if "seed" not in values.dims:
        return f"{float(values):.5g}"
    standard_error = math.nan
    if values.size > 1:
        standard_error = float(values.std(ddof=1)) / values.size**0.5
    return f"{float(values.mean()):.5g} +- {standard_error:.2g}"


def print_variants(variants: dict[str, xr.DataTree], title: str) -> None:
    """The last error of each variant."""
    from teacherstudent.results.datasets import error_name, simulations

    table = a_table("", "t", "error, theory", "error, networks", "verdict", title=title)
    for label, tree in variants.items():
        if "theory" not in tree.children:
            print_result(tree, f"{title}: {label}")
            continue
        theory = tree["theory"].to_dataset()
        error = error_name(theory)
        last = theory[error].isel(time=-1)
        cells = [label, f"{float(theory.time[-1]):g}", range_cell(last)]
        networks = simulations(tree)
        if last.ndim:  # a sweep, which has no comparison
            networks = []
        if networks:
            last = networks[-1][error].isel(time=-1)
            verdict = tree["comparison"].attrs["verdict"]
            cells += [f"{float(last.mean()):.4g}", verdict.split(" at ")[0]]
        table.add_row(*cells)
    if table.row_count:
        show_table(table)


def range_cell(values: xr.DataArray) -> str:
    """A number, or the smallest and the largest of several."""
    if not values.ndim:
        return f"{float(values):.4g}"
    return f"{float(values.min()):.4g} ... {float(values.max()):.4g}"


def print_escape(found: xr.Dataset, title: str) -> None:
    """Median steps by size, and the power laws that were fitted to them."""
    directions = range(1, found.sizes["direction"] + 1)
    columns = [f"median step, direction {number}" for number in directions]
    table = a_table("N", "learning rate", *columns, title=title)
    for N in found.N.values:
        at_N = found.sel(N=N)
        steps = [step_cell(float(step)) for step in at_N.median_step]
        table.add_row(str(N), f"{float(at_N.learning_rate):.3g}", *steps)
    show_table(table)
    if "exponent" not in found:
        return
    for number in directions:
        exponent = float(found.exponent[number - 1])
        error = float(found.exponent_error[number - 1])
        if not math.isnan(exponent):
            typer.echo(f"direction {number}: median step ~ N^({exponent:.2f} +- {error:.2f})")


def print_fixed_point(found: xr.Dataset) -> None:
    """A fixed point and its stability, or where those of a curve change theirs."""
    from teacherstudent.results.datasets import error_name

    error = error_name(found)
    if "point" in found.dims:
        typer.echo(f"{found.sizes['point']} fixed points, up to {found.attrs['ends']}")
        for change in found.attrs["bifurcations"].split("; "):
            typer.echo(f"  {change}")
        return
    typer.echo(f"fixed point with {error} = {float(found[error]):.6g}")
    typer.echo(f"  {found.attrs['classification']}")


def step_cell(step: float) -> str:
    """A median; nan where half of the seeds have not escaped."""
    if math.isnan(step):
        return "not yet"
    return f"{step:.4g}"


def print_comparison(report: xr.Dataset) -> None:
    """The largest deviation of each variable, and the verdict."""
    from teacherstudent.results.comparison_page import deviation_cells
    from teacherstudent.results.datasets import description

    numbers = description(report)
    table = a_table(
        "N",
        "seeds",
        "",
        "deviation",
        "s.e.",
        "at t",
        "z",
        "z by chance",
        title="theory - simulation, largest",
    )
    for N, seeds, largest in zip(numbers["N"], numbers["seeds"], numbers["largest"], strict=True):
        for name, one in largest.items():
            table.add_row(str(N), str(seeds), name, *deviation_cells(one))
    show_table(table)
    typer.echo(report.attrs["verdict"])
