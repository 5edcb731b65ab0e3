"""What each update rule makes of the averages, one file each; `theory.py` has the contract.

Importing this package registers the theories of our rules.
"""

from odes.rules import (  # noqa: F401
    agd,
    feedback_alignment,
    fromage,
    heavy_ball,
    majority_vote,
    nero,
    sgd,
    sign_sgd,
    signum,
)
