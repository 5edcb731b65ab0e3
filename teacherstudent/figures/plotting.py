"""The verb: draw a result, by itself or into axes of the user's own."""

import io
import os
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from teacherstudent.checking import arguments, checks
from teacherstudent.figures.curves import (
    CurvesKind,
    ErrorKind,
    FluctuationsKind,
    OverlapsKind,
    VariableKind,
)
from teacherstudent.figures.drawing import figure_style
from teacherstudent.figures.escape import EscapeKind
from teacherstudent.figures.fixed_points import BranchKind, FixedPointKind
from teacherstudent.figures.forgetting import ForgettingKind
from teacherstudent.figures.heatmaps import HeatmapsKind
from teacherstudent.figures.layout import Kind, Layout
from teacherstudent.figures.results import Results
from teacherstudent.figures.scaling import ScalingKind
from teacherstudent.figures.schedules import ScheduleKind
from teacherstudent.figures.spectrum import SpectrumKind
from teacherstudent.figures.sweep import SweepKind
from teacherstudent.figures.variant_sweeps import VariantSweepsKind
from teacherstudent.figures.variants import VariantsKind
from teacherstudent.results.atomic_files import write_atomically

# The first that fits is what is drawn if no kind is named.
KINDS: dict[str, Kind] = {
    "branches": BranchKind(),
    "fixed point": FixedPointKind(),
    "schedule": ScheduleKind(),
    "variant sweeps": VariantSweepsKind(),
    "variants": VariantsKind(),
    "escape": EscapeKind(),
    "forgetting": ForgettingKind(),
    "scaling": ScalingKind(),
    "sweep": SweepKind(),
    "curves": CurvesKind(),
    "error": ErrorKind(),
    "overlaps": OverlapsKind(),
    "heatmaps": HeatmapsKind(),
    "spectrum": SpectrumKind(),
    "fluctuations": FluctuationsKind(),
}
SHARP = 160  # dots per inch of a file


@arguments.checked
def plot(
    results: xr.DataTree | xr.Dataset,
    path: str | os.PathLike | None = None,
    *,
    kind: str | None = None,
    axes=None,
) -> Figure | Axes | np.ndarray:
    """Draw a result: lines are the theory, marks the means of networks, in a band of one standard
    deviation of single networks.

    - `results`: what `integrate`, `simulate`, `escape`, `ts.sweep`, `Experiment.run` or `load`
      answered.
    - `path`: where the figure is also written, in the format of the ending.
    - `kind`: what is drawn of it; None is what says most of this result:
      "curves", the error and the order parameters along time, of many units in a panel for each or
      as maps; "error"; "overlaps", Q and R (or m) in a panel for each unit of the student;
      "heatmaps", Q and R at a few times; one variable by its name, "Q", "v", "accuracy" or that of
      an observable; "spectrum", r(rho, t) of `integrate(..., spectral=True)`; "escape";
      "fixed point", its eigenvalues and the trajectory that passes it; "branches", curves of fixed
      points; "schedule", a best schedule and what it gains; "fluctuations", the scatter of networks
      beside the predicted one; "forgetting", what tasks lose and gain against their similarity;
      "scaling", losses against time, data, size and compute;
      "sweep", curves over one and maps over two parameters; "variants", the errors of several
      problems; "variant sweeps", those of several sweeps at the last time.
    - `axes`: matplotlib's Axes to draw into, as many as the kind has panels (one for "error", or a
      single variable).

    Returns the figure, which a notebook shows by itself; or the given `axes`.

    Theory is drawn through the dense curve that `integrate` keeps, where it has one.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0, 5.0])
    >>> [axes.get_ylabel() for axes in ts.plot(theory).axes]
    ['$\\\\epsilon_g$', '$R_{km}$', '$Q_{kl}$']

    Raises ValueError if there is nothing to draw, for a kind that this result does not have (with
    those that it has), for another number of axes than panels, and for a path whose ending is no
    format of figures.
    """
    place = None if path is None else _file_of_a_figure(path)
    parts = Results(results)
    with figure_style():
        layout = _chosen(parts, kind).layout(parts)
        if axes is not None:
            layout.draw_into(_flat(axes, layout))
            if place is not None:
                _save(_flat(axes, layout)[0].figure, place)
            return axes
        picture = layout.picture(parts.title)
        if place is not None:
            _save(picture, place)
    return picture


def _chosen(results: Results, name: str | None) -> Kind:
    """The kind of figure of this name; ValueError if these results have none such."""
    if name in (None, "auto"):
        for kind in KINDS.values():
            if kind.fits(results):
                return kind
    known = {one: kind for one, kind in KINDS.items() if kind.fits(results)}
    if results.has_curves:
        for variable in results.curves.all_names():
            known.setdefault(variable, VariableKind(variable))
    if name not in known:
        raise ValueError(
            f"kind = {checks.shortened(name)} is nothing that these results have; give one of "
            f"{', '.join(known)}{checks.hint(str(name), known)}"
        )
    return known[name]


def _flat(axes, layout: Layout) -> np.ndarray:
    """The user's axes, one for each panel; ValueError if there are more or fewer."""
    flat = np.ravel(np.asarray(axes, object))
    if not all(isinstance(one, Axes) for one in flat):
        raise ValueError(
            f"axes = {checks.shortened(axes)} is none of matplotlib's Axes; give those of "
            "plt.subplots()."
        )
    if len(flat) != layout.panels:
        raise ValueError(
            f"axes has {len(flat)} of matplotlib's Axes, but this kind of figure has "
            f"{layout.panels} panels; give as many, or another kind, such as kind='error'."
        )
    return flat


def _file_of_a_figure(path: str | os.PathLike) -> Path:
    """The file that is written, .png if its name has no ending; ValueError for an ending that is
    no format of figures.
    """
    place = checks.path("path", path)
    if not place.suffix:
        place = place.with_suffix(".png")
    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if place.suffix[1:].lower() not in formats:
        raise ValueError(
            f"path = {checks.shortened(str(path))} ends in {place.suffix}, which is no format of "
            f"figures; give one of {', '.join(f'.{one}' for one in formats)}."
        )
    return place


def _save(figure, place: Path) -> None:
    """Write a figure into a file that is whole or not there."""
    content = io.BytesIO()
    figure.savefig(content, format=place.suffix[1:].lower(), dpi=SHARP)
    write_atomically(place, content.getvalue())
