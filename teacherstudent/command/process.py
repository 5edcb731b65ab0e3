"""The process of the command line: what it ends with, when it is interrupted, and what it keeps.

Exit codes: 0 done, 1 the work failed, 2 bad input, 128 + the number of a signal that ended it: 130
after Ctrl-C, 143 after SIGTERM.
"""

import atexit
import gc
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

import typer

from teacherstudent import interruptions

FAILED = 1
BAD_INPUT = 2
SIGNALLED = 128  # beside the number of a signal
PATIENCE = 3.0  # seconds that an interrupted command has to end by itself
SILENCE = 1.0  # seconds after which one that takes longer says so
LOOK = 0.1  # seconds between two looks at whether it has ended
OBJECTS = 100_000  # made between two searches for garbage

WRONG_INPUT = (
    ValueError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def prepare_for_work() -> None:
    """Before JAX is imported: collect garbage rarely, and keep the programs that are compiled."""
    # Importing and tracing make many objects that stay, and hardly any garbage.
    gc.set_threshold(OBJECTS)
    from teacherstudent.programs.for_all_runs import keep_compiled_programs

    keep_compiled_programs()


@dataclass
class _State:
    """What is known of this process when it ends.

    - `signal`: the first that told it to end.
    - `kept`: says what is there although the work did not end well; "" for nothing.
    """

    signal: int | None = None
    kept: Callable[[], str] = str


_state = _State()


def tell_what_is_kept(kept: Callable[[], str]) -> None:
    """From now on, a process that fails or is interrupted also says this sentence."""
    _state.kept = kept


def run_safely(work: Callable[[], None]) -> None:
    """Do the work, and end the process with one sentence and an exit code where it fails."""
    _state.signal = None
    tell_what_is_kept(str)
    _listen_to_signals()
    atexit.register(gc.freeze)  # a last search for garbage would take a quarter of a second
    warnings.showwarning = _show_warning
    try:
        work()
    except SystemExit:
        if _state.signal is not None:  # Typer has caught the interruption
            _end_interrupted()
        raise
    except KeyboardInterrupt:
        _end_interrupted()
    except WRONG_INPUT as error:
        _stop(_sentence(error), BAD_INPUT)
    except (RuntimeError, OSError) as error:
        _stop(_sentence(error), FAILED)
    except Exception as error:  # a user gets one sentence, not a traceback
        _stop(f"{type(error).__name__}: {error}", FAILED)


def _show_warning(message, *_, **__) -> None:
    """A warning on one line, without the place in the code that it comes from."""
    typer.echo(f"teacherstudent: warning: {message}", err=True)


def _end_interrupted() -> None:
    """Say what is kept, and end at once: compiled code may still be running."""
    kept = _state.kept() or "nothing was written."
    with suppress(OSError):  # the terminal may be gone
        typer.echo(f"interrupted; {kept}", err=True)
        sys.stderr.flush()
    os._exit(SIGNALLED + (_state.signal or signal.SIGINT))


def _listen_to_signals() -> None:
    """Be interrupted by Ctrl-C, and by what a cluster or a closed terminal sends, unless the
    process was started to ignore it.
    """
    for number in interruptions.SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    _watch_for_signals()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End the work as Ctrl-C does; what is told again meanwhile is known already."""
    if _state.signal is None:
        _state.signal = number
        raise KeyboardInterrupt


def _watch_for_signals() -> None:
    """End the process after a signal also where Python does not hear of it.

    That is in compiled code, or in a callback from there.  The operating system's handler writes
    the signal's number into a pipe at once, and a thread reads it there.  It waits for work that
    soon comes to a stop from which it can go on, and while a file is written.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        first = os.read(reader, 1)[0]
        while first not in interruptions.SIGNALS:
            first = os.read(reader, 1)[0]
        began = time.monotonic()
        silent = True
        while time.monotonic() - began < max(PATIENCE, interruptions.patience()):
            if silent and time.monotonic() - began > SILENCE:
                silent = False
                _say_that_it_ends()
            readable, _, _ = select.select([reader], [], [], LOOK)
            if readable and os.read(reader, 1)[0] == signal.SIGINT:  # Ctrl-C again
                break
        _state.signal = _state.signal or first
        _end_interrupted()

    threading.Thread(target=watch, daemon=True).start()


def _say_that_it_ends() -> None:
    with suppress(OSError):
        typer.echo("interrupted; ends at the next stop, and at once after Ctrl-C.", err=True)


def _sentence(error: BaseException) -> str:
    """What an error says; of one from the operating system, without its number."""
    return str(getattr(error, "strerror", None) or error)


def say(error: BaseException) -> None:
    """One sentence for a failure after which the command goes on."""
    typer.echo(f"teacherstudent: {_sentence(error)}", err=True)


def _stop(sentence: str, code: int) -> None:
    kept = _state.kept()
    typer.echo(f"teacherstudent: {sentence}{' ' * bool(kept)}{kept}", err=True)
    sys.exit(code)
