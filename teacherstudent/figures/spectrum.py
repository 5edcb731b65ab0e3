"""The overlaps r(rho, t) by mode: which eigenvalues of the inputs are learnt when."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.figures.drawing import shade, style
from teacherstudent.figures.layout import Kind, Layout, Row
from teacherstudent.figures.results import Results, last_times
from teacherstudent.figures.titles import title_of

MOMENTS = 5  # at which the spectrum is shown
MOST_LINES = 64  # eigenvalues of a law's nodes; those of one matrix are more, and are averaged
BINS = 12
MOST_PANELS = 8


@dataclass(frozen=True)
class SpectrumPanel:
    """One entry of r along the eigenvalues at a few times.

    Random weights scatter from mode to mode of one matrix: then it is means that are shown.
    """

    values: xr.DataArray
    title: str
    has_legend: bool

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        rho = self.values.rho.values
        logarithmic = rho.min() > 0 and rho.max() > 30 * rho.min()
        for rank, moment in enumerate(last_times(self.values.to_dataset(name="r"), MOMENTS)):
            now = self.values.isel(time=moment)
            x, y = rho, now.values
            if len(rho) > MOST_LINES:
                x, y = binned(rho, y)
            label = f"t = {float(now.time):.3g}"
            axes.plot(x, y, style(rank), color=shade(rank), lw=1.4, label=label)
        if len(rho) > MOST_LINES:
            axes.set_title("means over neighbouring eigenvalues", fontsize=8)
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel(r"eigenvalue $\rho$ of the inputs")
        axes.set_ylabel(self.title)
        if self.has_legend:
            axes.legend(fontsize=7, frameon=False)


class SpectrumKind(Kind):
    """r(rho, t), an entry in each panel."""

    def fits(self, results: Results) -> bool:
        """Whether a theory has densities over more than one eigenvalue."""
        if not results.has_curves or results.curves.theory is None:
            return False
        theory = results.curves.theory
        return "r" in theory and theory.sizes["rho"] > 1 and "time" in theory["r"].dims

    def layout(self, results: Results) -> Layout:
        """A row for each unit of the student; of many only the first ones, as the title says."""
        theory = results.curves.theory
        assert theory is not None
        r = theory["r"].sortby("rho")
        students, teachers = r.sizes["student"], r.sizes["teacher"]
        columns = min(teachers, MOST_PANELS // 2)
        shown = min(students, max(1, MOST_PANELS // columns))
        rows = []
        for k in range(shown):
            panels = []
            for m in range(columns):
                title = rf"$r_{{{k + 1}{m + 1}}}(\rho)$"
                values = r.isel(student=k, teacher=m).transpose("time", "rho")
                panels.append(SpectrumPanel(values, title, k == m == 0))
            rows.append(Row(panels, height=2.6))
        parameters = title_of(theory)
        if (shown, columns) != (students, teachers):
            parameters += f", units 1 to {shown} of the student and 1 to {columns} of the teacher"
        return Layout(rows, parameters)


def binned(rho: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over groups of neighbouring eigenvalues, of the same number each."""
    groups = np.array_split(np.arange(len(rho)), BINS)
    return (
        np.array([rho[group].mean() for group in groups]),
        np.array([values[group].mean() for group in groups]),
    )
