"""Options that a command was given although they have no effect: they are refused."""

from collections.abc import Mapping
from typing import Any


def refuse(beside: str, why: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError for options that were given beside one that leaves them without effect.

    - `beside`: that option as it is written, "--status".
    - `why`: what it does instead, "only says how far a sweep is".
    - `options`: the values of the options without effect, by their names; None, False and an empty
      list are what an option is that was not given.
    """
    idle = [name for name, value in options.items() if value not in (None, False, [])]
    if idle:
        verb = "has" if len(idle) == 1 else "have"
        raise ValueError(
            f"{', '.join(idle)} {verb} no effect beside {beside}, which {why}; leave out one or "
            "the other."
        )
