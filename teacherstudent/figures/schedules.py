"""The figure of a best schedule: the learning rate in time, and the errors that rates leave."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.figures.drawing import (
    draw_line,
    draw_networks,
    is_logarithmic,
    networks_label,
    set_time_axis,
)
from teacherstudent.figures.layout import Draw, Kind, Layout, Row, add_to_legend
from teacherstudent.figures.results import Curves, Results
from teacherstudent.figures.titles import title_of
from teacherstudent.results.datasets import error_name

# The rates that are drawn, and the errors that they leave, after the best one.
OTHERS = (("constant", "best constant rate"), ("decay", r"best $\eta_0/(1 + t/t_0)$"))


@dataclass(frozen=True)
class RatesPanel:
    """The learning rates along time."""

    theory: xr.Dataset

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        theory = self.theory
        constant = xr.full_like(theory.rate, float(theory.attrs["best_constant"]))
        draw_line(axes, theory.rate, 0, "best of all")
        draw_line(axes, constant, 1, OTHERS[0][1])
        draw_line(axes, theory.rate_decay, 2, OTHERS[1][1])
        values = np.concatenate([theory.rate.values, theory.rate_decay.values, constant.values[:1]])
        if is_logarithmic(values):
            axes.set_yscale("log")
        set_time_axis(axes, theory)
        axes.set_ylabel(r"$\eta(t)$")
        axes.set_title("learning rates", fontsize=9)
        add_to_legend(axes, [])


@dataclass(frozen=True)
class ErrorsPanel:
    """The errors under the three rates, and networks that follow the best one."""

    curves: Curves

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        theory = self.curves.source
        error = error_name(theory)
        if error == "eps_g":
            axes.set_yscale("log")
        draw_line(axes, theory[error], 0, "best of all")
        for rank, (name, words) in enumerate(OTHERS):
            draw_line(axes, theory[f"{error}_{name}"], rank + 1, words)
        for rank, one in enumerate(self.curves.networks):
            draw_networks(axes, one[error], rank + 3, networks_label(one))
        set_time_axis(axes, theory)
        axes.set_ylabel(theory[error].attrs["symbol"])
        axes.set_title(theory[error].attrs["long_name"], fontsize=9)
        add_to_legend(axes, [])


class ScheduleKind(Kind):
    """A best schedule with what it gains."""

    def fits(self, results: Results) -> bool:
        """Whether the theory is that of a best schedule."""
        if not results.has_curves:
            return False
        theory = results.curves.theory
        return theory is not None and {"rate", "rate_decay"} <= set(theory.data_vars)

    def layout(self, results: Results) -> Layout:
        """Two panels."""
        curves = results.curves
        theory = curves.source
        panels: list[Draw] = [RatesPanel(theory), ErrorsPanel(curves)]
        return Layout([Row(panels, width=4.2, height=3.2)], title_of(theory))
