"""The swept dimensions of results: those of `ts.sweep`, and parameters that `integrate` swept."""

import xarray as xr

from teacherstudent.results.datasets import description

RUNS = ("theory", "simulation")


def swept_dimensions(data: xr.Dataset) -> list[str]:
    """The dimensions of a sweep, as `ts.sweep` made it; none of any other result."""
    names = description(data).get("report", {}).get("sweep", {})
    return [name for name in names if name in data.dims]


def number_of(dim: str) -> str:
    """The coordinate along a swept dimension that counts the values of the sweep."""
    return f"{dim}_number"


def is_sweep(results: xr.DataTree | xr.Dataset) -> bool:
    """Whether results are those of `ts.sweep`, with at least one swept dimension left."""
    return any(swept_dimensions(one) for one in runs_of(results).values())


def runs_of(results: xr.DataTree | xr.Dataset) -> dict[str, xr.Dataset]:
    """Theory and simulation by their names."""
    if isinstance(results, xr.Dataset):
        kind = str(description(results).get("kind"))
        return {kind: results} if kind in RUNS else {}
    found = {}
    for kind in RUNS:
        if kind in results.children and results[kind].data_vars:
            found[kind] = results[kind].to_dataset()
    return found
