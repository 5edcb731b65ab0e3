"""Compiled programs that are kept for all runs, by the command line and by its workers."""

import os
import warnings

WORTH_KEEPING = 0.1  # seconds of compilation


def keep_compiled_programs() -> None:
    """Compile each program once for all runs.

    They are kept in the user's cache folder, unless the user has named another.
    """
    # Programs that can call back into Python cannot be kept, and Equinox's errors would do so.  It
    # is told before it is imported.
    os.environ.setdefault("EQX_ON_ERROR", "nan")
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
