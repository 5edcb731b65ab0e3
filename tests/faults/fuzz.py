"""Random calls with absurd arguments, and mutated experiment files: each ends in an answer or in
one sentence of our own.

A call is good but for one or two arguments, which are replaced by absurd values.  It is right if it
refuses them in a sentence, or if it answers and the kind of the argument may take the value
(`absurd.MAY_TAKE`): a string, a truth value, a complex number or nan that is taken for a number is
a silently wrong answer.
"""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import TypeCheckError

from tests.faults import absurd, calls, mutated_files
from tests.faults.calls import CALLS, Call
from tests.faults.trial import Trial, is_ours

RANDOM_CALLS, RANDOM_FILES = 5000, 5000
STOPPED = object()  # by the type checks that only the tests switch on, which stand before our own
LONGEST_SENTENCE = 900  # characters


def trials(share: float, seed: int) -> Iterator[Trial]:
    rng = random.Random(seed)
    calls.prepare()
    with tempfile.TemporaryDirectory() as folder:
        yield from _named_calls()
        for _ in range(max(20, round(share * RANDOM_CALLS))):
            yield _random_call(rng, Path(folder))
        yield from mutated_files.trials(max(20, round(share * RANDOM_FILES)), rng, Path(folder))


def _named_calls() -> Iterator[Trial]:
    """One wrong keyword, one missing and one additional argument for every name."""
    for name, call in CALLS.items():
        yield _refused(f"{name}(..., no_such_argument=1)", call, {"no_such_argument": 1})
        yield Trial(f"{name}(*[1] * 40)", lambda call=call: _answers_wrongly(call, [1] * 40, {}))


def _answers_wrongly(call: Call, arguments: list, keywords: dict) -> bool:
    """False if there is an answer at all."""
    return _sentence(lambda: call.function()(*arguments, **keywords)) is STOPPED


def _refused(name: str, call: Call, changes: dict) -> Trial:
    return Trial(name, lambda: _answers_wrongly(call, [], call.arguments(None) | changes))


def _random_call(rng: random.Random, folder: Path) -> Trial:
    """A good call of which one or two arguments are absurd."""
    total = [(name, argument) for name, call in CALLS.items() for argument in call.kinds]
    name, argument = rng.choice(total)
    call = CALLS[name]
    calls.warm(name)
    chosen = {argument} | ({rng.choice(list(call.kinds))} if rng.random() < 0.2 else set())
    values = {one: rng.choice(list(absurd.VALUES)) for one in sorted(chosen)}
    shown = ", ".join(f"{one}={value}" for one, value in values.items())
    return Trial(f"{name}({shown})", lambda: _ask(call, values, folder))


def _ask(call: Call, values: dict[str, str], folder: Path) -> bool:
    made = {argument: absurd.VALUES[value]() for argument, value in values.items()}
    may_take = all(absurd.may_take(call.kinds[argument], value) for argument, value in made.items())
    answer = _sentence(lambda: call.function()(**call.arguments(folder) | made))
    return answer is STOPPED or may_take and not _has_nan(answer)


def _sentence(ask):
    """The answer; a refusal must be short enough to be read."""
    try:
        return ask()
    except TypeCheckError:
        return STOPPED
    except Exception as error:
        if is_ours(error) and len(str(error)) > LONGEST_SENTENCE:
            raise AssertionError(
                f"a sentence of {len(str(error))} characters: {str(error)[:200]}"
            ) from error
        raise


def _has_nan(answer) -> bool:
    """Whether a number that is an answer is nan."""
    return (
        isinstance(answer, float | np.ndarray)
        and np.asarray(answer).dtype.kind == "f"
        and bool(np.isnan(answer).any())
    )
