"""Cases that take long and differ little: a few of them run always, all of them with `make
test-long`.
"""

import pytest


def mostly_long(cases, keep) -> list:
    """The cases, all but those to keep marked as long; a tuple is a case of several arguments."""
    return [case if case in keep else marked_as_long(case) for case in cases]


def marked_as_long(case):
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.long)
