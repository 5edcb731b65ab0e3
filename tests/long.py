"""Cases that take long and differ little: a few of them run always, all of them with `make
test-long`.
"""

import pytest


def mostly_long(cases, keep) -> list:
    """The cases, all but those to keep marked as long."""
    return [case if case in keep else pytest.param(case, marks=pytest.mark.long) for case in cases]
