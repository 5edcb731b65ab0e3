"""The process of the command line: what it ends with, when it is interrupted, and what it keeps.

Exit codes: 0 done, 1 the work failed, 2 bad input, 130 interrupted.
"""

import atexit
import gc
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable

import typer

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
PATIENCE = 3.0  # seconds that an interrupted command has to end by itself
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


def run_safely(work: Callable[[], None]) -> None:
    """Do the work, and end the process with one sentence and an exit code where it fails."""
    _watch_for_interrupts()
    atexit.register(gc.freeze)  # a last search for garbage would take a quarter of a second
    warnings.showwarning = _show_warning
    try:
        work()
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:  # Typer has caught Ctrl-C
            _say_interrupted()
        raise
    except KeyboardInterrupt:
        _say_interrupted()
    except WRONG_INPUT as error:
        _stop(_sentence(error), BAD_INPUT)
    except (RuntimeError, OSError) as error:
        _stop(_sentence(error), FAILED)
    except Exception as error:  # a user gets one sentence, not a traceback
        _stop(f"{type(error).__name__}: {error}", FAILED)


def _show_warning(message, *_, **__) -> None:
    """A warning on one line, without the place in the code that it comes from."""
    typer.echo(f"teacherstudent: warning: {message}", err=True)


def _say_interrupted() -> None:
    typer.echo("interrupted; nothing was written.", err=True)
    sys.stderr.flush()
    os._exit(INTERRUPTED)  # at once: compiled code may still be running


def _watch_for_interrupts() -> None:
    """End the process after Ctrl-C also where Python does not hear of it.

    That is in compiled code, or in a callback from there.  The operating system's handler writes
    the signal's number into a pipe at once, and a thread reads it there.
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


def _sentence(error: BaseException) -> str:
    """What an error says; of one from the operating system, without its number."""
    return str(getattr(error, "strerror", None) or error)


def say(error: BaseException) -> None:
    """One sentence for a failure after which the command goes on."""
    typer.echo(f"teacherstudent: {_sentence(error)}", err=True)


def _stop(sentence: str, code: int) -> None:
    typer.echo(f"teacherstudent: {sentence}", err=True)
    sys.exit(code)
