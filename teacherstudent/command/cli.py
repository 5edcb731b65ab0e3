"""The command line: list, run, show, plot, compare.

Exit codes: 0 done, 1 the work failed (or was interrupted: 130), 2 bad input.
"""

import atexit
import gc
import os
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
WORTH_KEEPING = 0.1  # seconds of compilation
LARGER, LONG_SOLVE = (
    1.02,
    30.0,
)  # learning rates of a second theory, and the seconds of a first that is not solved again
PATIENCE = 3.0  # seconds that an interrupted command has to end by itself

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Order-parameter theory of online learning beside finite networks, in one HDF5 file.",
)

Force = Annotated[bool, typer.Option("--force", help="Replace an output file that exists.")]


def _version(wanted: bool) -> bool:
    if wanted:
        import teacherstudent

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
def list_() -> None:
    """List the published set-ups that `run` knows by name."""
    from rich.console import Console
    from rich.table import Table

    from teacherstudent.command import published

    table = Table("name", "title", "reference")
    table.columns[0].no_wrap = True  # it is there to be copied
    for name in published.names():
        tables = published.read(name)[1]
        table.add_row(name, tables["title"], tables.get("reference", ""))
    Console().print(table)


@app.command()
def run(
    experiment_: Annotated[
        str, typer.Argument(metavar="NAME_OR_FILE.toml", help="A published set-up or a TOML file.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The HDF5 file to write; results/NAME.h5 unless given.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Number of simulated networks of each size.")
    ] = None,
    size: Annotated[
        list[int] | None, typer.Option(help="Input dimension N; repeat it for several sizes.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change an entry, such as rule.learning_rate=0.2; repeatable."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where to simulate: cpu, gpu, ...")] = None,
    theory_only: Annotated[
        bool, typer.Option("--theory-only", help="Integrate the theory, simulate nothing.")
    ] = False,
    figure: Annotated[bool, typer.Option(help="Also draw the result beside the HDF5 file.")] = True,
    force: Force = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bars and no table.")
    ] = False,
) -> None:
    """Integrate the theory, simulate networks, compare, and save all to one HDF5 file (and a PNG)."""
    with _no_collection():
        _keep_compiled_programs()
        import teacherstudent as ts
        from teacherstudent.checking import checks
        from teacherstudent.command import experiment, published
        from teacherstudent.results import datasets as results
        from teacherstudent.results.files import check_writable

    if theory_only:
        _check_nothing_simulated(seeds, size, device)
    assignments = [*(set_ or [])]
    name, tables = published.read(experiment_)
    table = "escape" if "escape" in tables else "simulation"
    if seeds is not None:
        assignments.append(f"{table}.seeds={seeds}")
    if size:
        assignments.append(f"{table}.N={size if len(size) > 1 else size[0]}")
    job = experiment.read(experiment_, assignments)
    out = checks.path("--out", out or Path("results") / f"{name}.h5")
    if out.suffix not in (".h5", ".hdf5", ".nc"):
        raise ValueError(
            f"--out {out} is to be an HDF5 file; give it the ending .h5 (the picture gets .png)."
        )
    picture = out.with_suffix(".png")
    check_writable(out, force=force)
    if figure:
        check_writable(picture, force=force)
    if isinstance(job, experiment.EscapeExperiment):
        if theory_only:
            raise ValueError(
                "--theory-only: an escape has no theory to integrate; leave the option out."
            )
        checks.device(device)
        progress = False if quiet else None
        found = ts.escape(job.problem, device=device, progress=progress, **job.escape.model_dump())
        tree = ts.save(out, escape=found, force=force)
        _finish(tree, job.title, out, picture if figure else None, quiet)
        return
    checks.device(device)
    run_one = partial(
        _results_of, simulated=not theory_only, progress=False if quiet else None, device=device
    )
    if isinstance(job, experiment.VariantsExperiment):
        trees = {label: results.as_tree(**run_one(one)) for label, one in job.variants.items()}
        tree = ts.save(out, variants=trees, force=force)
    else:
        tree = ts.save(out, force=force, **run_one(job))
    _finish(tree, job.title, out, picture if figure else None, quiet)


def _check_nothing_simulated(seeds: int | None, size: list[int] | None, device: str | None) -> None:
    """Raise ValueError for options of a simulation beside --theory-only."""
    for option, given in (("--seeds", seeds), ("--size", size), ("--device", device)):
        if given:
            raise ValueError(
                f"{option} is given, but --theory-only simulates nothing; leave one of them out."
            )


@contextmanager
def _no_collection():
    """While importing, tracing and compiling the theory, which make many objects and hardly any
    garbage: a tenth less time.
    """
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.freeze()  # nearly all of it stays: collections to come need not look at it
            gc.enable()


def _keep_compiled_programs() -> None:
    """Compile each program once for all runs: they are kept in the user's cache folder, unless the
    user has named another.
    """
    os.environ.setdefault(
        "EQX_ON_ERROR", "nan"
    )  # programs that can call back into Python are not kept
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    from platformdirs import user_cache_path

    from teacherstudent.programs import kept_programs
    from teacherstudent.programs.private_folder import PrivateFolder, UnsafeFolderError

    try:
        folder = PrivateFolder(user_cache_path(), ("teacherstudent", "compiled"))
    except UnsafeFolderError as error:
        warnings.warn(
            f"{error}: compiled programs are neither taken from there nor kept.", stacklevel=2
        )
        return
    except (OSError, RuntimeError):  # no home, or none that can be written
        return
    kept_programs.keep_in(folder)
    kept_programs.keep_those_of_jax_in(folder, WORTH_KEEPING)


def _spinner(message: str, progress: bool | None):
    """Something that moves on a terminal; a bar would call back from the compiled program, which
    then could not be kept.
    """
    if progress is False:
        return nullcontext()
    from rich.console import Console

    console = Console(stderr=True)
    return console.status(message) if console.is_terminal else nullcontext()


def _results_of(job, simulated: bool, progress: bool | None, device: str | None) -> dict:
    """Theory, simulation and comparison of one experiment."""
    import teacherstudent as ts

    if simulated and (job.problem.sweeps or job.start.batch):
        raise ValueError(
            "this experiment sweeps a parameter, which only the theory can; add --theory-only."
        )
    with _no_collection(), _spinner("integrating", progress):
        theory = ts.integrate(
            job.problem, job.start, job.times, progress=False, **job.theory.model_dump()
        )
    theory = _with_oracle(job.problem.task, theory)
    if job.clones:
        theory = ts.with_clones(
            job.problem, theory, job.start, **job.theory.model_dump(exclude={"spectral"})
        )
    networks = [
        ts.simulate(
            job.problem, job.start, job.times, N=N, progress=progress, device=device,
            **job.simulation.model_dump(exclude={"N"}),
        )
        for N in (job.simulation.sizes if simulated else [])
    ]  # fmt: skip
    simulation = None if not networks else networks[0] if len(networks) == 1 else networks
    comparison = (
        None if simulation is None else ts.compare(theory, simulation, faster=_faster(job, theory))
    )
    return {"theory": theory, "simulation": simulation, "comparison": comparison}


def _faster(job, theory):
    """The theory at slightly larger learning rates, from the same program; None where it has no
    rate or takes long.

    From it a comparison knows which error of the learning rate it could have seen.
    """
    import equinox as eqx

    import teacherstudent as ts
    from teacherstudent.results.comparison import RATES
    from teacherstudent.results.datasets import description

    names = [name for name in RATES if getattr(job.problem.rule, name, None)]
    if not names or description(theory)["report"]["seconds"] > LONG_SOLVE:
        return None
    rates = lambda problem: [getattr(problem.rule, name) for name in names]
    problem = eqx.tree_at(rates, job.problem, [LARGER * rate for rate in rates(job.problem)])
    try:
        return ts.integrate(
            problem, job.start, job.times, progress=False, **job.theory.model_dump()
        )
    except RuntimeError:  # it diverges, or takes too many steps
        return None


def _finish(tree, title: str, out: Path, picture: Path | None, quiet: bool) -> None:
    """Draw and print what was saved; exit code 1 if theory and networks disagree, or cannot be
    compared.
    """
    import teacherstudent as ts
    from teacherstudent.results.verdict import confirms

    if picture is not None:
        ts.plot(tree, picture)
    if not quiet:
        _print_result(tree, title)
        typer.echo(f"wrote {out}" + (f" and {picture}" if picture is not None else ""))
    against = [line for line in _verdicts(tree) if not confirms(line)]
    if against:
        if quiet:
            typer.echo(f"teacherstudent: {against[0]}", err=True)
        raise typer.Exit(FAILED)


def _verdicts(tree) -> list[str]:
    """The verdicts of a result, one for each comparison in it."""
    return [node.attrs["verdict"] for node in tree.subtree if "verdict" in node.attrs]


def _with_oracle(task, theory):
    """The theory with the error of the best classifier, where the task has classes and it is known."""
    import teacherstudent as ts
    from teacherstudent.results.datasets import VARIABLES
    from teacherstudent.tasks import MixtureTask

    if not isinstance(task, MixtureTask):
        return theory
    try:
        error = ts.oracle_error(task)
    except ValueError:  # a law without a density
        return theory
    _, long_name, symbol = VARIABLES["oracle_error"]
    return theory.assign(
        oracle_error=((), error, {"long_name": long_name, "symbol": symbol, "units": "1"})
    )


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A result file.")]) -> None:
    """Say what is in a result file."""
    import teacherstudent as ts
    from teacherstudent.results.datasets import description

    tree = ts.load(file)
    for name, node in _named_groups(tree):
        for data in (
            [node.to_dataset()]
            if node.data_vars
            else [child.to_dataset() for child in node.children.values()]
        ):
            told = description(data)
            sizes = ", ".join(f"{dim} {size}" for dim, size in data.sizes.items())
            typer.echo(f"{name}: {', '.join(map(str, data.data_vars))} over {sizes}")
            for key in ("problem", "report", "versions", "created"):
                if key in told:
                    typer.echo(f"  {key}: {told[key]}")
    _print_result(tree, str(file))


def _named_groups(tree) -> list:
    """The groups of a file with their names, those of variants one by one."""
    from teacherstudent.results.datasets import variants_of

    own = [(name, node) for name, node in tree.children.items() if name != "variants"]
    return own + [
        (f"{label}, {name}", node)
        for label, one in variants_of(tree).items()
        for name, node in one.children.items()
    ]


@app.command()
def plot(
    file: Annotated[Path, typer.Argument(help="A result file.")],
    out: Annotated[
        Path | None, typer.Option(help="The picture; FILE.png unless given (also .pdf, .svg).")
    ] = None,
    force: Force = False,
) -> None:
    """Draw a result file."""
    import teacherstudent as ts
    from teacherstudent.checking import checks
    from teacherstudent.results.files import check_writable

    picture = checks.path("--out", out or file.with_suffix(".png"))
    if picture.suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(
            f"--out {picture} is to be a picture; give it the ending .png, .pdf or .svg."
        )
    tree = ts.load(file)
    check_writable(picture, force=force)
    picture.parent.mkdir(parents=True, exist_ok=True)
    ts.plot(tree, picture)
    typer.echo(f"wrote {picture}")


@app.command()
def compare(
    file: Annotated[Path, typer.Argument(help="A result file with a theory and a simulation.")],
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
    _print_comparison(report)
    if not confirms(report.attrs["verdict"]):
        raise typer.Exit(FAILED)


def _print_variants(several, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from teacherstudent.results.datasets import simulations

    table = Table("", "t", "error, theory", "error, networks", "verdict", title=title)
    for label, tree in several.items():
        theory, sims = tree["theory"].to_dataset(), simulations(tree)
        error = "loss" if "loss" in theory else "eps_g"
        networks = f"{float(sims[-1][error].isel(time=-1).mean()):.4g}" if sims else ""
        verdict = tree["comparison"].to_dataset().attrs["verdict"].split(" at ")[0] if sims else ""
        table.add_row(
            label,
            f"{float(theory.time[-1]):g}",
            f"{float(theory[error][-1]):.4g}",
            networks,
            verdict,
        )
    Console().print(table)


def _print_result(tree, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from teacherstudent.results.datasets import description, simulations, variants_of

    if variants_of(tree):
        _print_variants(variants_of(tree), title)
        return

    sims = simulations(tree)
    theory = tree["theory"].to_dataset() if "theory" in tree.children else None
    source = theory if theory is not None else sims[-1] if sims else None
    error = "loss" if source is not None and "loss" in source else "eps_g"
    if source is not None and set(source[error].dims) <= {"time", "seed"}:
        table = Table("t", title=title)
        if theory is not None:
            table.add_column(f"{error} theory", justify="right")
        for one in sims:
            table.add_column(f"{error} N={description(one)['report']['N']}", justify="right")
        for index in sorted({round(i * (source.sizes["time"] - 1) / 8) for i in range(9)}):
            time = float(source.time[index])
            row = [f"{time:.4g}"] + (
                [f"{float(theory[error][index]):.5g}"] if theory is not None else []
            )
            for one in sims:
                at = one[error].sel(time=time, method="nearest")
                row.append(
                    f"{float(at.mean()):.5g} +- "
                    f"{float(at.std(ddof=1)) / at.size**0.5 if at.size > 1 else float('nan'):.2g}"
                )
            table.add_row(*row)
        Console().print(table)
    if "comparison" in tree.children:
        _print_comparison(tree["comparison"].to_dataset())
    if "escape" in tree.children:
        _print_escape(tree["escape"].to_dataset(), title)


def _print_escape(found, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "N",
        "learning rate",
        *(f"median step, direction {a + 1}" for a in range(found.sizes["direction"])),
        title=title,
    )
    for N, row in zip(found.N.values, found.median_step.values, strict=True):
        cells = [
            f"{step:.4g}" if step == step else "not yet" for step in row
        ]  # nan: half of the seeds have not escaped
        table.add_row(str(N), f"{float(found.learning_rate.sel(N=N)):.3g}", *cells)
    Console().print(table)
    if "exponent" in found:
        for a, (slope, error) in enumerate(
            zip(found.exponent.values, found.exponent_error.values, strict=True)
        ):
            if slope == slope:
                typer.echo(f"direction {a + 1}: median step ~ N^({slope:.2f} +- {error:.2f})")


def _print_comparison(report) -> None:
    from rich.console import Console
    from rich.table import Table

    from teacherstudent.results.datasets import description

    told = description(report)
    table = Table(
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
    for N, seeds, largest in zip(told["N"], told["seeds"], told["largest"], strict=True):
        for name, one in largest.items():
            table.add_row(
                str(N), str(seeds), name, f"{one['deviation']:.3g}", f"{one['standard_error']:.2g}",
                f"{one['time']:.4g}", *((f"{one['z']:.1f}", f"{one['critical_z']:.1f}") if "z" in one else ("-", "-")),
            )  # fmt: skip
    Console().print(table)
    typer.echo(report.attrs["verdict"])


def main() -> None:
    """Run the command line, turning failures into one sentence and an exit code."""
    _watch_for_interrupts()
    atexit.register(gc.freeze)  # without a last search for garbage: a quarter of a second
    warnings.showwarning = lambda message, *_, **__: typer.echo(
        f"teacherstudent: warning: {message}", err=True
    )
    try:
        app()
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:  # Typer has caught Ctrl-C
            _say_interrupted()
        raise
    except KeyboardInterrupt:
        _say_interrupted()
    except (
        ValueError,
        FileNotFoundError,
        FileExistsError,
        IsADirectoryError,
        NotADirectoryError,
        PermissionError,
    ) as error:
        _stop(error, BAD_INPUT)
    except Exception as error:  # a user gets one sentence, not a traceback
        _stop(
            error
            if isinstance(error, RuntimeError | OSError)
            else f"{type(error).__name__}: {error}",
            FAILED,
        )


def _say_interrupted() -> None:
    typer.echo("interrupted; nothing was written.", err=True)
    sys.stderr.flush()
    os._exit(INTERRUPTED)  # at once: compiled code may still be running


def _watch_for_interrupts() -> None:
    """End the process after Ctrl-C also where Python does not hear of it: in compiled code, or in a
    callback from there.

    The operating system's handler writes the signal's number into a pipe at once; a thread reads it
    there.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while os.read(reader, 1) != bytes([signal.SIGINT]):
            pass
        time.sleep(PATIENCE)
        _say_interrupted()

    threading.Thread(target=watch, daemon=True).start()


def _stop(error: BaseException | str, code: int) -> None:
    sentence = getattr(error, "strerror", None) or error  # of an OSError, without its number
    typer.echo(f"teacherstudent: {sentence}", err=True)
    sys.exit(code)
