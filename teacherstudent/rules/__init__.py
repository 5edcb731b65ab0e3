"""Update rules: what one step does to the weights, one file each."""

from teacherstudent.rules.base import Network, Rule
from teacherstudent.rules.sgd import SGD
from teacherstudent.rules.spherical_sgd import SphericalSGD

RULES = {rule.__name__: rule for rule in (SGD, SphericalSGD)}

__all__ = ["RULES", "Network", "Rule", "SGD", "SphericalSGD"]
