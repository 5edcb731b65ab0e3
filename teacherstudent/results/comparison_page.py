"""What a comparison shows of itself in a notebook: the verdict, and the largest deviations."""

from __future__ import annotations

import html
import json

import xarray as xr

from teacherstudent.results.datasets import DESCRIPTION

COLUMNS = ("N", "seeds", "", "deviation", "standard error", "at t", "z", "z by chance")


class Comparison(xr.Dataset):
    """The dataset that `ts.compare` returns; in a notebook its verdict stands above the numbers."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        dataset = super()._repr_html_()
        if "verdict" not in self.attrs or DESCRIPTION not in self.attrs:
            return dataset
        facts = json.loads(self.attrs[DESCRIPTION])
        verdict = html.escape(self.attrs["verdict"])
        table = _table_of(facts)
        return (
            f"<p><strong>{verdict}</strong></p>{table}"
            f"<details><summary>all numbers</summary>{dataset}</details>"
        )


def _table_of(facts: dict) -> str:
    """The largest deviation of each variable, theory minus mean over seeds, at each size."""
    rows = []
    for N, seeds, largest in zip(facts["N"], facts["seeds"], facts["largest"], strict=True):
        for name, deviation in largest.items():
            rows.append(_row([str(N), str(seeds), name, *deviation_cells(deviation)], "td"))
    caption = "<caption>theory &minus; networks, largest</caption>"
    return f"<table>{caption}{_row(list(COLUMNS), 'th')}{''.join(rows)}</table>"


def deviation_cells(deviation: dict[str, float]) -> list[str]:
    """A deviation, its standard error, its time, and z; one seed has no z."""
    cells = [
        f"{deviation['deviation']:.3g}",
        f"{deviation['standard_error']:.2g}",
        f"{deviation['time']:.4g}",
    ]
    if "z" not in deviation:
        return [*cells, "-", "-"]
    return [*cells, f"{deviation['z']:.1f}", f"{deviation['critical_z']:.1f}"]


def _row(cells: list[str], tag: str) -> str:
    inside = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inside}</tr>"
