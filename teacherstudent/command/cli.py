"""The command line: list, run, show, plot, compare, sweep, validate, gallery.

Exit codes: 0 done, 1 the work failed, 2 bad input; 130 interrupted by Ctrl-C, 143 by SIGTERM.
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import teacherstudent
from teacherstudent.command import explore, options, printing, process, published
from teacherstudent.command.gallery import gallery

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Order-parameter theory of online learning beside finite networks, in one HDF5 file.",
)

EXPERIMENT = "experiment"  # in the description of a file, by which it is known again


def _names_beginning_with(text: str) -> list[str]:
    """The published set-ups that a shell offers to complete a name."""
    return [name for name in published.names() if name.startswith(text)]


NameOrFile = typer.Argument(
    metavar="NAME_OR_FILE.toml",
    help="A published set-up or a TOML file.",
    autocompletion=_names_beginning_with,
)
SetUp = Annotated[str, NameOrFile]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Change an entry, such as rule.learning_rate=0.2; with nothing after the sign, "
        "remove it: task.noise=. Repeatable.",
        show_default="as in the file",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars and no table.")]
Picture = Annotated[bool, typer.Option(help="Also draw the result beside the HDF5 file.")]
TheoryOnly = Annotated[
    bool, typer.Option("--theory-only", help="Integrate the theory, simulate nothing.")
]
ResultFile = Annotated[Path, typer.Argument(metavar="FILE.h5", help="A result file.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output file that exists.")]


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"teacherstudent {teacherstudent.__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Order-parameter theory of online learning beside finite networks, in one HDF5 file."""


@app.command("list")
def list_(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...", help="Only set-ups with these words in name, title or reference."
        ),
    ] = None,
) -> None:
    """List the published set-ups that `run` knows by name."""
    from teacherstudent.command.listing import print_list

    print_list(words or [])


@app.command()
def run(
    experiment_: SetUp,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.h5", help="The HDF5 file to write.", show_default="results/NAME.h5"
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Number of simulated networks of each size.",
            show_default="that of the file, or 8",
        ),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option(
            help="Input dimension N; repeat it for several sizes.",
            show_default="that of the file, or 1000",
        ),
    ] = None,
    set_: Changes = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|gpu|gpu:1", help="Where to simulate.", show_default="what JAX finds first"
        ),
    ] = None,
    theory_only: TheoryOnly = False,
    print_toml: Annotated[
        bool,
        typer.Option(
            "--print-toml",
            help="Print the set-up as a TOML file, with the changes in it, and run nothing.",
        ),
    ] = False,
    figure: Picture = True,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from what an interrupted run has left beside the output."
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace an output file that exists; without --resume also delete what an "
            "interrupted run has left.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Integrate the theory, simulate networks, compare, and save to one HDF5 file (and a PNG).

    Until the file is written, the folder FILE.unfinished keeps what is done: finished parts, and
    the state of the one at work, about once a minute and on Ctrl-C or SIGTERM.  --resume goes on
    from there.
    """
    if theory_only:
        simulated = {"--seeds": seeds, "--size": size, "--device": device}
        options.refuse("--theory-only", "simulates nothing", simulated)
    if print_toml:
        idle = {"--out": out, "--device": device, "--theory-only": theory_only}
        idle |= {"--no-figure": not figure, "--resume": resume, "--force": force, "--quiet": quiet}
        options.refuse("--print-toml", "runs nothing", idle)
    process.prepare_for_work()
    import teacherstudent as ts
    from teacherstudent.command.experiment import plan_of
    from teacherstudent.command.tables import assigned
    from teacherstudent.command.unfinished import Unfinished

    name, tables = published.read(experiment_)
    networks = plan_of(tables).NETWORKS
    changes = assigned(set_ or [])
    if seeds is not None:
        changes[f"{networks}.seeds"] = seeds
    if size:
        changes[f"{networks}.N"] = size if len(size) > 1 else size[0]
    experiment = ts.Experiment.read(experiment_, changes)
    if experiment.plan.theory_only:
        simulated = {"--seeds": seeds, "--size": size, "--device": device}
        options.refuse("sweep.theory_only = true", "simulates nothing", simulated)
    if print_toml:
        from teacherstudent.command.toml_text import text_with

        typer.echo(text_with(experiment_, changes), nl=False)
        return
    out = _output(out or Path("results") / f"{name}.h5")
    mark = experiment.mark(theory_only)
    if resume and not force and _is_complete(out, mark):
        typer.echo(f"{out} is complete; there is nothing to resume.")
        return
    picture = _checked_places(out, figure, force)
    progress = False if quiet else None
    with Unfinished.beside(out) as folder:
        process.tell_what_is_kept(folder.left)
        if resume and not folder.has_something():
            typer.echo(f"nothing is unfinished of {out}; the run begins from the start.", err=True)
        folder.begin(mark, resume, anew=force and not resume)
        tree = experiment.run_in(folder, progress, device, theory_only)
        _mark(tree, mark)
        ts.save(out, tree, force=force)
        folder.delete()
    process.tell_what_is_kept(lambda: f"{out} is written.")
    _finish(tree, experiment.title, out, picture, quiet)


def _output(out: Path) -> Path:
    """The path of the result; ValueError for one of another kind."""
    from teacherstudent.checking import checks

    out = checks.path("--out", out)
    if out.suffix not in (".h5", ".hdf5", ".nc"):
        raise ValueError(
            f"--out {out} is to be an HDF5 file; give it the ending .h5 (the picture gets .png)."
        )
    return out


def _checked_places(out: Path, figure: bool, force: bool) -> Path | None:
    """The path of the picture, once it is known that result and picture can be written."""
    from teacherstudent.results.atomic_files import check_writable

    check_writable(out, force=force)
    if not figure:
        return None
    picture = out.with_suffix(".png")
    check_writable(picture, force=force)
    return picture


def _mark(tree, mark: str) -> None:
    """Write into a result of which experiment it is, in the description of the file."""
    from teacherstudent.results.datasets import DESCRIPTION

    tree.attrs[DESCRIPTION] = json.dumps(json.loads(tree.attrs[DESCRIPTION]) | {EXPERIMENT: mark})


def _is_complete(out: Path, mark: str) -> bool:
    """Whether an output is there already, of the same experiment."""
    import teacherstudent as ts
    from teacherstudent.results.datasets import DESCRIPTION

    if not out.is_file():
        return False
    return json.loads(ts.load(out).attrs[DESCRIPTION]).get(EXPERIMENT) == mark


def _finish(tree, title: str, out: Path, picture: Path | None, quiet: bool) -> None:
    """Draw and print what was saved.

    Exit code 1 if there is no picture, or if theory and networks disagree or cannot be compared.
    """
    from teacherstudent.results.verdict import confirms

    failure = _failure_of_picture(tree, picture)
    if not quiet:
        printing.print_result(tree, title)
        drawn = picture is not None and failure is None
        typer.echo(f"wrote {out} and {picture}" if drawn else f"wrote {out}")
    if failure is not None:
        typer.echo(
            f"teacherstudent: {picture} could not be drawn ({failure}); the result is in {out}.",
            err=True,
        )
    against = [verdict for verdict in printing.verdicts(tree) if not confirms(verdict)]
    if against and quiet:
        typer.echo(f"teacherstudent: {against[0]}", err=True)
    if against or failure is not None:
        raise typer.Exit(process.FAILED)


def _failure_of_picture(tree, picture: Path | None) -> str | None:
    """Draw a result; why that failed, if it did."""
    import teacherstudent as ts
    from teacherstudent.checking import checks

    if picture is None:
        return None
    try:
        ts.plot(tree, picture)
    except Exception as error:  # such as LaTeX, which matplotlib's settings may ask for
        return checks.first_line(error)
    return None


@app.command()
def show(
    file: ResultFile,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print all that the file says of itself, for programs."),
    ] = False,
) -> None:
    """Say what is in a result file, and how it was made."""
    import teacherstudent as ts
    from teacherstudent.command.page import descriptions, print_page

    tree = ts.load(file)
    if as_json:
        typer.echo(json.dumps(descriptions(tree), indent=2))
        return
    print_page(tree, str(file))
    printing.print_result(tree, str(file))


@app.command()
def plot(
    file: ResultFile,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="The picture; also .pdf or .svg.", show_default="FILE.png"
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="What is drawn: curves, error, overlaps, heatmaps, spectrum, escape, sweep, "
            "forgetting, scaling, variants, variant sweeps, fixed point, branches, schedule, "
            "fluctuations, or a variable by its name; what says most of the result unless given."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Draw a result file."""
    import teacherstudent as ts
    from teacherstudent.checking import checks
    from teacherstudent.results.atomic_files import check_writable

    picture = checks.path("--out", out or file.with_suffix(".png"))
    if picture.suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(
            f"--out {picture} is to be a picture; give it the ending .png, .pdf or .svg."
        )
    tree = ts.load(file)
    check_writable(picture, force=force)
    ts.plot(tree, picture, kind=kind)
    typer.echo(f"wrote {picture}")


@app.command()
def compare(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.h5", help="A result file with a theory and a simulation."),
    ],
) -> None:
    """Compare theory and simulation in a result file anew; exit code 1 if they disagree, or cannot
    be compared.
    """
    import teacherstudent as ts
    from teacherstudent.results.datasets import simulations
    from teacherstudent.results.verdict import confirms

    tree = ts.load(file)
    sims = simulations(tree)
    if "theory" not in tree.children or not sims:
        raise ValueError(f"{file} has no theory or no simulation; there is nothing to compare.")
    report = ts.compare(tree["theory"].to_dataset(), sims if len(sims) > 1 else sims[0])
    printing.print_comparison(report)
    if not confirms(report.attrs["verdict"]):
        raise typer.Exit(process.FAILED)


@app.command()
def sweep(
    experiment_: Annotated[str | None, NameOrFile] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE.KEY=VALUES",
            help="Values of a parameter, such as rule.learning_rate=logspace(-2,0,25), "
            "student.width=2:10, N=100,200, student.activation=erf,relu. Repeatable.",
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="A file of points instead: a line of places, then a line of values for each.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.h5", help="The HDF5 file.", show_default="results/NAME-sweep.h5"
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Number of networks of each point.", show_default="that of the file, or 8"
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Input dimension N of all points.", show_default="that of the file, or 1000"
        ),
    ] = None,
    set_: Changes = None,
    theory_only: TheoryOnly = False,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that compute.",
            show_default="1, or one for each core where that is worth it",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT",
            help="A running scheduler of Dask, whose workers compute.",
            show_default="none",
        ),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Say how far the sweep of --out is, and stop.")
    ] = False,
    figure: Picture = True,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Integrate and simulate at many values of parameters; interrupted, it goes on where it was."""
    if status:
        idle: dict[str, Any] = {
            "--over": over,
            "--points": points,
            "--seeds": seeds,
            "--size": size,
            "--set": set_,
        }
        idle |= {"--theory-only": theory_only, "--workers": workers, "--scheduler": scheduler}
        idle |= {"--no-figure": not figure, "--force": force, "--quiet": quiet}
        options.refuse("--status", "only says how far a sweep is", idle)
        from teacherstudent.command.sweep_status import status_of

        typer.echo(status_of(_out_of_sweep(experiment_, out)))
        return
    if experiment_ is None or bool(over) == (points is not None):
        raise ValueError(
            "sweep takes an experiment and either --over PLACE=VALUES or --points FILE.csv, such "
            "as: teacherstudent sweep saad-solla-1995-k2 --over rule.learning_rate=0.1,0.2."
        )
    if theory_only:
        options.refuse("--theory-only", "simulates nothing", {"--seeds": seeds, "--size": size})
    process.prepare_for_work()
    import teacherstudent as ts
    from teacherstudent.command.sweep_status import kept_of
    from teacherstudent.command.sweeps import planned
    from teacherstudent.command.tables import assigned

    changes = assigned(set_ or [])
    if seeds is not None:
        changes["simulation.seeds"] = seeds
    if size is not None:
        changes["simulation.N"] = size
    plan = planned(experiment_, over or [], points, changes, theory_only)
    if size is not None and "N" in plan.over:
        options.refuse("--over N=...", "gives each point its size", {"--size": size})
    place = _out_of_sweep(experiment_, out)
    picture = place.with_suffix(".png") if figure else None
    process.tell_what_is_kept(partial(kept_of, place))
    tree = ts.sweep(
        plan.problem,
        plan.start,
        plan.times,
        plan.over,
        out=place,
        force=force,
        workers=workers,
        scheduler=scheduler,
        progress=False if quiet else None,
        **plan.options,
    )
    _finish(tree, plan.title, place, picture, quiet)


def _out_of_sweep(experiment: str | None, out: Path | None) -> Path:
    """The output of a sweep."""
    if out is not None:
        return out
    if experiment is None:
        raise ValueError("--status is of which sweep? Give its output, --out FILE.h5.")
    return Path("results") / f"{published.read(experiment)[0]}-sweep.h5"


@app.command()
def validate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Result files, or checkpoints.")
    ],
) -> None:
    """Read all of a file and say what is wrong with it; exit code 1 if anything is, 2 if it is not
    there or not a file of ours.
    """
    import teacherstudent as ts

    codes = [0]
    for file in files:
        try:
            report = ts.validate(file)
        except process.WRONG_INPUT as error:
            process.say(error)
            codes.append(process.BAD_INPUT)
            continue
        typer.echo(report)
        if not report.ok:
            codes.append(process.FAILED)
    raise typer.Exit(max(codes))


app.command()(gallery)
app.command()(explore.explore)


def main() -> None:
    """Run the command line, turning failures into one sentence and an exit code."""
    process.run_safely(app)
