"""The published set-ups that come with the package, as tables; nothing here needs JAX."""

import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path


def names() -> list[str]:
    """The names of the published set-ups that come with the package."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def read(name_or_file: str) -> tuple[str, dict]:
    """The name and the tables of a published set-up or of a TOML file.

    Raises FileNotFoundError if there is neither, ValueError if the file is not TOML.
    """
    if name_or_file in names():
        text, name = (_folder() / f"{name_or_file}.toml").read_bytes(), name_or_file
    elif Path(name_or_file).is_file():
        text, name = Path(name_or_file).read_bytes(), Path(name_or_file).stem
    else:
        near = get_close_matches(name_or_file, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`teacherstudent list` shows the names."
        raise FileNotFoundError(f"{name_or_file!r} is neither a published set-up nor a file; {hint}")
    try:
        return name, tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{name_or_file} is not valid TOML: {error}.") from None


def _folder():
    return files("teacherstudent") / "experiments"
