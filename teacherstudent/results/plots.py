"""Figures of results: theory as lines, simulations as points with a band.

They are readable without colour.
"""

import io
import os
from collections.abc import Iterator

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from teacherstudent.checking import arguments, checks
from teacherstudent.results.datasets import DESCRIPTION, description, simulations, variants_of
from teacherstudent.results.files import write_atomically

# dark to light, so that the order survives a grey printer
SHADES = ("#000000", "#1b4f8f", "#b0413e", "#3d8a5f", "#a57a1e", "#8a6fa8", "#7f8c8d", "#c98fa0")
STYLES = ("-", "--", "-.", ":")
HELD_OUT = {
    "eps_g": "test_error",
    "loss": "test_loss",
}  # what is measured beside an error on held-out samples
LETTERS_PER_INCH = 14  # of a title
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


@arguments.checked
def plot(results: xr.DataTree | xr.Dataset, path: str | os.PathLike | None = None) -> Figure:
    """Draw a result: eps_g on logarithmic axes, and the overlaps and the readout along time.

    With two classes: the expected loss, the classification error beside the smallest one possible
    (where it is known), Q, m, and what else is trained of v and b.

    Lines are the theory; markers are means over the seeds of a simulation (the largest N for the
    overlaps), with a band of one standard deviation of single networks.  A theory that sweeps a
    parameter is drawn as one curve of eps_g for each value. Results of several problems
    (`variants`) are one panel of errors, a line for each theory and marks for its networks.  With
    `path` the figure is also written there, in the format of the ending.

    Raises ValueError if there is nothing to draw.
    """
    several = variants_of(results) if isinstance(results, xr.DataTree) else {}
    if several:
        return _saved(_draw_variants(several), path)
    found = _escape_of(results)
    if found is not None:
        return _saved(_draw_escape(found), path)
    theory, sims = _parts(results)
    if theory is None and not sims:
        raise ValueError(
            "there is neither a theory nor a simulation in these results; nothing to plot."
        )
    source = theory if theory is not None else sims[-1]
    error = _error_name(source)
    sweep = [dim for dim in source[error].dims if dim not in ("time", "seed")]
    names = [error] if sweep else [error, *_panels(source)]
    with matplotlib.rc_context(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        rows = 1 if len(names) <= 4 else 2
        columns = -(-len(names) // rows)
        figure = Figure(figsize=(3.6 * columns + 0.4, 3.3 * rows), layout="constrained")
        places = figure.subplots(rows, columns, squeeze=False).ravel()
        for empty in places[len(names) :]:
            empty.remove()
        for axes, name in zip(places, names, strict=False):
            draw = _draw_classification if name == "accuracy" else _draw
            draw(axes, name, theory, sims)
        figure.suptitle(_wrapped(_title(source), figure.get_figwidth()), fontsize=9)
    return _saved(figure, path)


def _saved(figure: Figure, path: str | os.PathLike | None) -> Figure:
    """The figure, also written to a file that is whole or not there."""
    if path is None:
        return figure
    place = checks.path("path", path)
    if not place.suffix:
        place = place.with_suffix(".png")
    content = io.BytesIO()
    figure.savefig(content, format=place.suffix[1:], dpi=160)
    write_atomically(place, content.getvalue())
    return figure


def _draw_variants(several: dict[str, xr.DataTree]) -> Figure:
    """The error of every variant along time, on logarithmic axes."""
    with matplotlib.rc_context(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(6.2, 4.2), layout="constrained")
        axes = figure.subplots()
        sources = {label: _source_of(tree) for label, tree in several.items()}
        labels = _variant_labels(sources)
        for rank, (name, tree) in enumerate(several.items()):
            theory, sims = _parts(tree)
            color, style = SHADES[rank % len(SHADES)], STYLES[rank % len(STYLES)]
            label, error = labels[name], _error_name(sources[name])
            if theory is not None:
                later = theory[error].isel(time=theory.time.values > 0)
                axes.plot(later.time, later, style, color=color, lw=1.4, label=label)
            if sims:
                points = sims[-1][error].isel(time=sims[-1].time.values > 0)
                own = label if theory is None else "_nolegend_"
                mean = points.mean("seed")
                axes.plot(
                    points.time,
                    mean,
                    MARKS[rank % len(MARKS)],
                    color=color,
                    ms=3.5,
                    mfc="white",
                    label=own,
                )
        axes.set_xscale("log")
        if all(
            _is_positive(source) for source in sources.values()
        ):  # a loss such as -y phi has no logarithm
            axes.set_yscale("log")
        axes.set_xlabel(_time_label(*sources.values()))
        errors = {_error_name(source): source for source in sources.values()}
        about = [source[name].attrs for name, source in errors.items()]
        axes.set_ylabel(" or ".join(f"{one['long_name']} {one['symbol']}" for one in about))
        axes.legend(fontsize=8, frameon=False)
        sims = [one for tree in several.values() for one in _parts(tree)[1]]
        sizes = sorted({description(one)["report"]["N"] for one in sims})
        told = f"; marks: means of networks, N = {', '.join(map(str, sizes))}" if sizes else ""
        axes.set_title(f"lines: theory{told}", fontsize=8)
    return figure


def _variant_labels(sources: dict[str, xr.Dataset]) -> dict[str, str]:
    """The name of each curve, with its time and its error where those of the curves differ."""
    of_time = {label: source.time.attrs["units"] for label, source in sources.items()}
    of_error = {
        label: source[_error_name(source)].attrs["symbol"] for label, source in sources.items()
    }
    beside: dict[str, list[str]] = {label: [] for label in sources}
    for attribute, prefix in ((of_time, "t = "), (of_error, "")):
        if len(set(attribute.values())) > 1:
            for label, value in attribute.items():
                beside[label].append(f"{prefix}{value}")
    return {
        label: f"{label} ({', '.join(parts)})" if parts else label
        for label, parts in beside.items()
    }


def _error_name(source: xr.Dataset) -> str:
    """The variable that says how well a problem is learnt."""
    return "loss" if "loss" in source else "eps_g"


def _is_positive(source: xr.Dataset) -> bool:
    return bool((source[_error_name(source)].fillna(1.0) > 0).all())


def _time_label(*sources: xr.Dataset) -> str:
    """What the time of some data counts, as the name of an axis."""
    units = sorted({source.time.attrs["units"] for source in sources})
    return "time $t$ = " + " or ".join(unit.replace("N", "$N$") for unit in units)


def _source_of(tree: xr.DataTree) -> xr.Dataset:
    theory, sims = _parts(tree)
    return theory if theory is not None else sims[-1]


def _escape_of(results: xr.DataTree | xr.Dataset) -> xr.Dataset | None:
    if isinstance(results, xr.DataTree):
        return results["escape"].to_dataset() if "escape" in results.children else None
    return results if "escape_step" in results else None


def _draw_escape(found: xr.Dataset) -> Figure:
    """Median escape steps against N with bars from the first to the third quartile, and the fitted
    power laws.
    """
    with matplotlib.rc_context(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(4.4, 3.5), layout="constrained")
        axes = figure.subplots()
        late = np.where(np.isnan(found.escape_step), np.inf, found.escape_step)
        low, middle, high = np.quantile(late, (0.25, 0.5, 0.75), axis=1, method="lower")
        for a in range(found.sizes["direction"]):
            seen = np.isfinite(middle[:, a])
            N, steps = found.N.values[seen], middle[seen, a]
            bars = [
                steps - low[seen, a],
                np.where(np.isfinite(high[seen, a]), high[seen, a], steps) - steps,
            ]
            label = f"$u_{a + 1}$"
            if seen.sum() > 1 and "exponent" in found and np.isfinite(found.exponent.values[a]):
                slope, error = float(found.exponent[a]), float(found.exponent_error[a])
                label += f": $N^{{{slope:.2f} \\pm {error:.2f}}}$"
                centre = np.exp(np.log(steps).mean() + slope * (np.log(N) - np.log(N).mean()))
                axes.plot(N, centre, STYLES[a % len(STYLES)], color=SHADES[a], lw=1.2)
            axes.errorbar(
                N,
                steps,
                bars,
                fmt=MARKS[a],
                color=SHADES[a],
                ms=4,
                mfc="white",
                capsize=2,
                lw=0.9,
                label=label,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(found.N.values, [str(N) for N in found.N.values])
        axes.set_xlabel("input dimension $N$")
        axes.set_ylabel(
            f"updates until the overlap exceeds {description(found)['report']['threshold']:g}"
        )
        axes.legend(fontsize=8, frameon=False)
        axes.set_title(_title(found).replace(": ", ":\n", 1), fontsize=8)
    return figure


def _parts(results: xr.DataTree | xr.Dataset) -> tuple[xr.Dataset | None, list[xr.Dataset]]:
    if isinstance(results, xr.Dataset):
        theory, sims = (None, [results]) if _kind(results) == "simulation" else (results, [])
    else:
        theory = results["theory"].to_dataset() if "theory" in results.children else None
        sims = simulations(results)
    sims = [
        one if "seed" in one.dims else one.expand_dims("seed") for one in sims
    ]  # one network was selected
    for one in [theory, *sims]:
        if one is not None and "time" not in one.dims:
            raise ValueError(
                "the results are of one time; give those along the times of the run, nothing to "
                "plot."
            )
    return theory, sims


def _kind(results: xr.Dataset) -> str:
    """Whether a dataset is a theory or a simulation; ValueError if it is neither."""
    kind = (
        description(results)["kind"] if DESCRIPTION in results.attrs else "dataset of another kind"
    )
    if kind not in ("theory", "simulation"):
        raise ValueError(
            f"there is nothing to plot in a {kind}; give a theory, a simulation, or what ts.load "
            "answers."
        )
    return kind


def _panels(source: xr.Dataset) -> list[str]:
    """What is drawn beside the error."""
    overlaps = ["Q", "m" if "m" in source else "R"]
    classes = ["accuracy"] if "accuracy" in source or "test_accuracy" in source else []
    return [
        *classes,
        *overlaps,
        *(name for name in ("v", "b") if name in source and _moves(source[name])),
    ]


def _draw_classification(
    axes: Axes, name: str, theory: xr.Dataset | None, sims: list[xr.Dataset]
) -> None:
    """1 - accuracy of theory and networks, and the oracle's error as a line."""
    source = theory if theory is not None else sims[-1]
    if theory is not None and "accuracy" in theory:
        axes.plot(
            theory.time, 1 - theory.accuracy, "-", color=SHADES[0], lw=1.4, label="theory", zorder=3
        )
    for rank, one in enumerate(one for one in sims if "test_accuracy" in one):
        _points(
            axes,
            1 - one.test_accuracy,
            SHADES[1 + rank],
            MARKS[rank % len(MARKS)],
            _size_label(one, "loss"),
        )
    if "oracle_error" in source and np.isfinite(source.oracle_error):
        axes.axhline(float(source.oracle_error), color="0.4", ls=":", lw=1.2, label="oracle")
    _time_axis(axes, source)
    axes.set_ylabel("$1 - P(y\\phi > 0)$")
    axes.set_title("classification error", fontsize=9)
    axes.legend(fontsize=7, frameon=False)


def _draw(axes: Axes, name: str, theory: xr.Dataset | None, sims: list[xr.Dataset]) -> None:
    source = theory if theory is not None else sims[-1]
    error = name in HELD_OUT
    shown = sims if error else sims[-1:]
    for index, (selection, label) in enumerate(_curves(source, name)):
        shade, style = SHADES[index % len(SHADES)], STYLES[index % len(STYLES)]
        if theory is not None:
            values = theory[name].isel(selection)
            axes.plot(theory.time, values, style, color=shade, lw=1.4, label=label, zorder=3)
        for rank, one in enumerate(shown):
            colour = SHADES[(index + 1 + rank) % len(SHADES)] if error else shade
            of_mark = _size_label(one, name) if error else (label if theory is None else None)
            _points(
                axes, one[name].isel(selection), colour, MARKS[(index + rank) % len(MARKS)], of_mark
            )
            if error and HELD_OUT[name] in one:
                found = one[HELD_OUT[name]]
                _crosses(
                    axes,
                    found.isel(selection),
                    colour,
                    f"their {HELD_OUT[name].replace('_', ' ')}, N = {_size(one)}",
                )
    if name == "loss" and theory is not None and "clone_loss" in theory:
        for rank, moments in enumerate(theory.clone.values):
            label = {1: "trained on clone: means", 2: "trained on clone: means, covariances"}[
                int(moments)
            ]
            axes.plot(
                theory.time,
                theory.clone_loss[rank],
                STYLES[rank + 1],
                color=SHADES[rank + 3],
                lw=1.2,
                label=label,
            )
    if name == "eps_g":
        axes.set_yscale("log")
    _time_axis(axes, source)
    axes.set_ylabel(source[name].attrs["symbol"])
    axes.set_title(source[name].attrs["long_name"], fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    if 1 <= len(labels) <= 10:
        axes.legend(fontsize=7, frameon=False, ncols=2 if len(labels) > 5 else 1)


def _points(axes: Axes, values: xr.DataArray, colour: str, mark: str, label: str | None) -> None:
    """Means over seeds at about 25 times spread over the axis, with the scatter of single networks
    around all of them.
    """
    mean, scatter = values.mean("seed"), values.std("seed")
    time = values.time.values
    low = mean - scatter if axes.get_yscale() != "log" else np.maximum(mean - scatter, mean * 0.05)
    axes.fill_between(time, low, mean + scatter, color=colour, alpha=0.22, lw=0, zorder=1)
    at = _spread(time)
    axes.plot(
        time[at],
        mean.values[at],
        mark,
        color=colour,
        ms=3.6,
        mfc="white",
        mew=0.9,
        label=label,
        zorder=4,
    )


def _crosses(axes: Axes, values: xr.DataArray, colour: str, label: str) -> None:
    """Means over seeds of what was measured on held-out samples, with error bars of one standard
    error.
    """
    time, at = values.time.values, _spread(values.time.values)
    error = (
        values.std("seed", ddof=1) / values.sizes["seed"] ** 0.5
        if values.sizes["seed"] > 1
        else 0 * values[0]
    )
    axes.errorbar(
        time[at], values.mean("seed").values[at], error.values[at], fmt="x", color=colour, ms=4.5, mew=0.9, lw=0.9, label=label,
        zorder=5,
    )  # fmt: skip


def _curves(source: xr.Dataset, name: str) -> Iterator[tuple[dict[str, int], str]]:
    """The curves of one panel: which entry, and its label.  Q is symmetric: its upper triangle."""
    dims = [str(dim) for dim in source[name].dims if dim not in ("time", "seed")]
    symbol = source[name].attrs["symbol"].strip("$").split("_")[0]
    for index in np.ndindex(*(source.sizes[dim] for dim in dims)):
        if name == "Q" and index[0] > index[1]:
            continue
        subscript = "".join(str(i + 1) for i in index)
        if name in HELD_OUT:
            values = ", ".join(
                f"{source[d].attrs['symbol']} = {source[d].values[i]:.3g}"
                for d, i in zip(dims, index, strict=True)
            )
            label = values or "theory"
        else:
            label = f"${symbol}_{{{subscript}}}$"
        yield dict(zip(dims, index, strict=True)), label


def _size_label(simulation: xr.Dataset, name: str) -> str | None:
    if name not in HELD_OUT:
        return None
    count = simulation.sizes["seed"]
    return f"{count} network{'s' * (count > 1)}, N = {_size(simulation)}"


def _size(simulation: xr.Dataset) -> int:
    return description(simulation)["report"]["N"]


def _time_axis(axes: Axes, source: xr.Dataset) -> None:
    """Logarithmic where the times are: when their median lies far below the middle."""
    times = source.time.values
    if len(times) > 3 and np.median(times) < 0.2 * times[-1]:
        axes.set_xscale("symlog", linthresh=times[times > 0][0], linscale=0.3)
    if times[0] < times[-1]:
        axes.set_xlim(times[0], times[-1])
    axes.set_xlabel(_time_label(source))


def _spread(times: np.ndarray, count: int = 25) -> np.ndarray:
    if len(times) <= count:
        return np.arange(len(times))
    return np.unique(np.linspace(0, len(times) - 1, count).astype(int))


def _moves(values: xr.DataArray) -> bool:
    return bool((values != values.isel(time=0)).any())


def _title(source: xr.Dataset) -> str:
    """The problem in one line."""
    told = description(source)["problem"]
    task, student, rule = (
        _with_selected(source, told[part]) for part in ("task", "student", "rule")
    )
    parts = [
        f"{task['type']}{_inputs(task)}: {student['activation']} student K = {student['width']}",
        *(
            [f"{task['activation']} teacher M = {task['width']}"]
            if "width" in task
            else [f"{told['loss']} loss"]
        ),
        *(
            f"{key.replace('_', ' ')} {value:g}"
            for key, value in rule.items()
            if isinstance(value, float) and value
        ),
        *(
            [f"noise {task['noise']:g}"]
            if isinstance(task.get("noise"), float) and task["noise"]
            else []
        ),
        *([f"batches of {told['batch_size']}"] if told["batch_size"] > 1 else []),
        *(
            [f"batches of {told['batch_ratio']:g} N"]
            if np.isfinite(told.get("batch_ratio", np.nan))
            else []
        ),
        *(["expected gradient"] if told.get("batch_ratio") == np.inf else []),
        ("both layers" if student["train_readout"] else "first layer only")
        + (" and biases" if student.get("train_bias") else ""),
    ]
    return ", ".join(parts)


def _wrapped(title: str, inches: float) -> str:
    """The title in lines that fit a figure of this width, broken after commas."""
    lines = [""]
    for part in title.split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and len(longer) > LETTERS_PER_INCH * inches:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _with_selected(source: xr.Dataset, part: dict) -> dict:
    """The parameters of a part, those of a sweep at the value that was selected."""
    selected = {
        name: float(source[name])
        for name in part
        if name in source.coords and source[name].ndim == 0
    }
    return part | selected


def _inputs(task: dict) -> str:
    """What distinguishes the inputs of a task."""
    if "latent" in task:
        betas = ", ".join(
            rf"$\{key.replace('_', '_')}$ = {task[key]:g}"
            for key in ("beta", "beta_u", "beta_v")
            if key in task
        )
        coupling = (
            f", {task['coupling']} latents" if "coupling" in task else f", {task['latent']} latent"
        )
        return f" ({betas}{coupling})"
    if "nonlinearity" not in task:
        return ""
    layers = f", {len(task['layers']) + 1} layers" if task["layers"] else ""
    raw = "" if task["centre"] else ", not centred"
    return f" ({task['nonlinearity']}, $\\delta$ = {task['latent_ratio']:g}{layers}{raw})"
