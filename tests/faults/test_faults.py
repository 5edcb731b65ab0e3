"""A small part of the trials of `python -m tests.faults`: none may be silently wrong or end in
somebody else's exception.
"""

import importlib.util
import subprocess
import sys

import pytest

from tests.faults import trial
from tests.faults.__main__ import KINDS, results_of

WRITTEN = [kind for kind in KINDS if importlib.util.find_spec(f"tests.faults.{kind}")]


# Starts, estimates and jumps are long: before their first trial they integrate, compile or train.
# The cases of same_numbers at this share are always run in tests/sims/test_same_numbers.py.
# Of the kinds with many quick trials some are tried at any time, spread over all that there are.
SHARE_AND_EVERY = {
    "subclasses": (0.001, 4),
    "comparison": (0.001, 4),
    "divergence": (0.001, 4),
    "files": (0.001, 17),  # each file is tried in three ways, one after the other
    "programs": (0.001, 4),
    "fuzz": (0.001, 4),
}


# The tests compile with other settings than users do, and so to other last bits.
IN_PLAIN_PROCESSES = ["bit_identity"]


@pytest.mark.parametrize("kind", [kind for kind in WRITTEN if kind in SHARE_AND_EVERY])
def test_nothing_is_silently_wrong(kind):
    share, every = SHARE_AND_EVERY[kind]
    check(results_of(kind, share, seed=1, every=every))


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in WRITTEN if kind not in IN_PLAIN_PROCESSES])
def test_nothing_of_a_hundredth_is_silently_wrong(kind):
    check(results_of(kind, share=0.01, seed=1))


@pytest.mark.long
@pytest.mark.parametrize("kind", IN_PLAIN_PROCESSES)
def test_nothing_is_silently_wrong_with_the_settings_of_users(kind):
    command = [sys.executable, "-m", "tests.faults", kind, "--share", "0.01", "--seed", "1"]
    found = subprocess.run(command, cwd=trial.ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def check(results):
    assert results
    assert [one for one in results if one.fault] == []
