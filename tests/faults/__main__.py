"""`python -m tests.faults [NAME ...] [--share 0.1]`: try to make the package answer wrongly, and
print what came of it.

Each kind of fault has a file here with a function `trials(share, seed)`; `share` is the part of the
full number of random trials.
"""

import argparse
import importlib
import itertools
import sys

from tests.faults import trial
from tests.faults.trial import Outcome, Result

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
    for kind in given.kinds or KINDS:
        results = results_of(kind, given.share, given.seed)
        counts = [sum(one.outcome is outcome for one in results) for outcome in Outcome]
        long = [one for one in results if one.long]
        row = (len(results), *counts, len(long))
        print(f"{KINDS[kind]:44}" + "".join(f"{count:19}" for count in row), flush=True)
        faults += sum(one.fault or one.long for one in results)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
