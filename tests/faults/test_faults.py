"""A small part of the trials of `python -m tests.faults`: none may be silently wrong or end in
somebody else's exception.
"""

import importlib.util

import pytest

from tests.faults.__main__ import KINDS, results_of

WRITTEN = [kind for kind in KINDS if importlib.util.find_spec(f"tests.faults.{kind}")]


@pytest.mark.parametrize("kind", WRITTEN)
def test_nothing_is_silently_wrong(kind):
    results = results_of(kind, share=0.01, seed=1)
    assert results
    assert [one for one in results if one.fault] == []
