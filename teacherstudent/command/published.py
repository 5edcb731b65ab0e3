"""The published set-ups that come with the package, as tables; nothing here needs JAX."""

import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

HDF5 = b"\x89HDF\r\n\x1a\n"  # how such files begin
LARGEST = 2**24  # bytes of an experiment's file


def names() -> list[str]:
    """The names of the published set-ups that come with the package."""
    return sorted(
        path.name.removesuffix(".toml")
        for path in _folder().iterdir()
        if path.name.endswith(".toml")
    )


def read(name_or_file: str) -> tuple[str, dict]:
    """The name and the tables of a published set-up or of a TOML file.

    Raises FileNotFoundError if there is neither, PermissionError if the file may not be read,
    ValueError if it is not TOML.
    """
    name, content = _found(name_or_file)
    try:
        return name, tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError(
            f"{name_or_file} is not an experiment: its tables or lists are nested too deeply."
        ) from None
    except ValueError as error:  # of the decoder, of TOML, or of a number with thousands of digits
        raise ValueError(f"{name_or_file} is not valid TOML: {_first_line(error)}.") from None


def text_of(name_or_file: str) -> str:
    """The text of a published set-up or of a TOML file that `read` can read."""
    read(name_or_file)  # raises what is wrong with it
    return _found(name_or_file)[1].decode("utf-8-sig")


def _found(name_or_file: str) -> tuple[str, bytes]:
    """The name and the content of a published set-up or of a file."""
    if name_or_file in names():
        return name_or_file, (_folder() / f"{name_or_file}.toml").read_bytes()
    if is_file(name_or_file):
        path = Path(name_or_file).expanduser()
        return path.stem, _content(path)
    near = get_close_matches(name_or_file, names(), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`teacherstudent list` shows the names."
    shown = name_or_file if len(name_or_file) <= 200 else f"{name_or_file[:197]}..."
    raise FileNotFoundError(f"{shown!r} is neither a published set-up nor a file; {hint}")


def is_file(name: str) -> bool:
    """Whether there is a file of this name, "~" being the user's home.

    None has a name that is too long or has a null byte.
    """
    try:
        return Path(name).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def _content(path: Path) -> bytes:
    """The bytes of a file, which must look like text."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise PermissionError(f"{path} cannot be read ({error.strerror}).") from None
    if content.startswith(HDF5):
        raise ValueError(
            f"{path} is an HDF5 file, not an experiment; try `teacherstudent show {path}`."
        )
    if len(content) > LARGEST:
        raise ValueError(
            f"{path} has more than {LARGEST // 2**20} MiB; an experiment is a small TOML file."
        )
    return content


def _first_line(error: ValueError) -> str:
    """What the decoder says, without the long text it may quote."""
    line = str(error).split("\n")[0].removesuffix(".")
    return line if len(line) <= 200 else f"{line[:197]}..."


def _folder():
    return files("teacherstudent") / "experiments"
