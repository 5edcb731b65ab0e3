"""The tables `[[protocol]]` of an experiment's file: several problems one after the other.

Each table is a phase: how long it lasts, and the entries in which its problem differs from the one
of the tables task, student and rule, or of the table model, beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from odes.models.theory import theory_of_model
from teacherstudent.command.tables import PhaseTable, Tables
from teacherstudent.protocol import Protocol, Until
from teacherstudent.results.description import Sentences, parsed, phase_end_from, problem_from

KINDS = ("type", "schedule")  # a table that names another one has other entries


def learnt(outer: Tables) -> Any:
    """The problem of a file, or its other model, or the protocol, if it has one.

    Raises ValueError with everything that is wrong.
    """
    if outer.protocol is None:
        return problem_from(outer.problem)
    if not outer.protocol:
        raise ValueError("protocol is empty; give at least one table [[protocol]].")
    shared = {name: value for name, value in outer.problem.items() if value is not None}
    sentences = Sentences()
    phases = []
    said = set()
    for number, entries in enumerate(outer.protocol):
        where = f"protocol[{number}]"
        try:
            phases.append(_phase(shared, entries, where))
        except ValueError as error:
            if str(error) not in said:  # what is wrong beside the phases is so in all of them
                sentences.found.append(_placed(str(error), entries, where))
            said.add(str(error))
    sentences.raise_together()
    return Protocol(*phases)


def _phase(shared: Mapping, entries: Mapping, where: str) -> tuple:
    """The problem of one phase, and its end."""
    given = dict(parsed(PhaseTable, entries, f"{where}.").options())
    end = phase_end_from(given, where)
    _check_kind(shared, given, where)
    problem = problem_from(_with_entries(shared, given))
    if isinstance(end, Until):
        theory_of_model(problem).check_threshold(end, problem)
    return problem, end


def _check_kind(shared: Mapping, given: Mapping, where: str) -> None:
    """Raise ValueError for entries of a model in a problem, or of a problem in a model."""
    of_model = "model" in shared
    extra = [name for name in given if (name == "model") != of_model]
    if extra:
        whole = "a table model" if of_model else "no table model"
        raise ValueError(f"{where} has {', '.join(extra)}, but the file has {whole}; leave it out.")


def _with_entries(table: Mapping, entries: Mapping) -> dict[str, Any]:
    """A table with some entries in their place, those of inner tables by themselves.

    A table that names another type, or another kind of schedule, is replaced as a whole.
    """
    answer = dict(table)
    for key, value in entries.items():
        before = table.get(key)
        answer[key] = value
        if not isinstance(value, Mapping) or not isinstance(before, Mapping):
            continue
        if not _is_another_kind(value, before):
            answer[key] = _with_entries(before, value)
    return answer


def _is_another_kind(table: Mapping, before: Mapping) -> bool:
    return any(name in table and table[name] != before.get(name) for name in KINDS)


def _placed(sentence: str, entries: Mapping, where: str) -> str:
    """A sentence about a problem, with the place in the file of the entry that it names."""
    if where in sentence:
        return sentence
    for place in sorted(_places(entries), key=len, reverse=True):
        if place in sentence:
            return sentence.replace(place, f"{where}.{place}", 1)
    return f"{where}: {sentence}"


def _places(table: Mapping, prefix: str = "") -> Sequence[str]:
    """The places of all entries of a table, such as "rule.learning_rate"."""
    places = []
    for key, value in table.items():
        places.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            places += _places(value, f"{prefix}{key}.")
    return places
