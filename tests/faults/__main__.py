"""`python -m tests.faults [NAME ...] [--share 0.1]`: try to make the package answer wrongly, and
print what came of it.

Each kind of fault has a file here with a function `trials(share, seed)`; `share` is the part of the
full number of random trials.
"""

import argparse
import importlib
import itertools
import sys
from datetime import date
from pathlib import Path

from tests.faults import trial
from tests.faults.trial import Outcome, Result

# Around the table of a document.
BEGIN, END = "<!-- faults -->", "<!-- end of faults -->"
KINDS = {
    "jumps": "a teacher that jumps",
    "estimates": "estimates see the error",
    "subclasses": "subclasses inherit nothing they contradict",
    "comparison": "compare never agrees with rubbish",
    "divergence": "divergence and the physical region",
    "files": "files: flipped bits, hostile files",
    "kills": "kills: runs ended at random moments",
    "disks": "disks: full and read-only ones",
    "programs": "compiled programs of others",
    "same_numbers": "same numbers, fast or slow",
    "starts": "starts, axes and names",
    "bit_identity": "the same bits by other ways",
    "sweep_kills": "sweeps: workers, scheduler and sweep killed",
    "fuzz": "fuzz: calls and TOML files",
}


def results_of(kind: str, share: float, seed: int, every: int = 1) -> list[Result]:
    """The results of all trials of one kind, or of every second, third, ... of them; a fault is
    reported as soon as it is found.
    """
    module = importlib.import_module(f"tests.faults.{kind}")
    results = []
    for one in itertools.islice(module.trials(share, seed), 0, None, every):
        result = trial.tried(one)
        results.append(result)
        if result.fault or result.long:
            trial.report(
                f"  {result.name}: {result.outcome.value}, {result.seconds:.1f} s {result.message}"
            )
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "kinds", nargs="*", metavar="NAME", help=f"of {', '.join(KINDS)}; all of them unless given"
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="part of the full number of random trials"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="a document whose table gets the rows")
    given = parser.parse_args()
    columns = (
        "tried",
        "right",
        "refused",
        "silently wrong",
        "foreign exception",
        f"over {trial.LONG:g} s",
    )
    print(f"{'':44}" + "".join(f"{name:>19}" for name in columns))
    faults = 0
    rows = []
    for kind in given.kinds or KINDS:
        results = results_of(kind, given.share, given.seed)
        counts = [sum(one.outcome is outcome for one in results) for outcome in Outcome]
        long = [one for one in results if one.long]
        row = (len(results), *counts, len(long))
        print(f"{KINDS[kind]:44}" + "".join(f"{count:19}" for count in row), flush=True)
        rows.append((KINDS[kind], *row))
        faults += sum(one.fault or one.long for one in results)
    if given.write is not None:
        write_table(given.write, rows)
    return 1 if faults else 0


def write_table(document: Path, rows: list[tuple]) -> None:
    """Put rows into the table of a document, in the place of older ones of the same kinds."""
    before, table = document.read_text().split(BEGIN)
    table, after = table.split(END)
    lines = {line.split("|")[1].strip(): line for line in table.splitlines() if "|" in line}
    for name, tried, right, refused, wrong, foreign, slow in rows:
        cells = (name, tried, right, refused, wrong, foreign, slow, date.today())
        lines[name] = "| " + " | ".join(map(str, cells)) + " |"
    content = f"{before}{BEGIN}\n\n" + "\n".join(lines.values()) + f"\n\n{END}{after}"
    document.write_text(content)


if __name__ == "__main__":
    sys.exit(main())
