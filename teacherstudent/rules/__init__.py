"""Update rules: what one step does to the weights, one file each."""

from teacherstudent.rules.agd import AGD
from teacherstudent.rules.base import Layers, Network, Rule
from teacherstudent.rules.feedback_alignment import FeedbackAlignment
from teacherstudent.rules.fromage import Fromage
from teacherstudent.rules.gradient_flow import GradientFlow
from teacherstudent.rules.heavy_ball import HeavyBall
from teacherstudent.rules.madam import Madam
from teacherstudent.rules.majority_vote import MajorityVote
from teacherstudent.rules.nero import Nero
from teacherstudent.rules.sgd import SGD
from teacherstudent.rules.sign_sgd import SignSGD
from teacherstudent.rules.signum import Signum
from teacherstudent.rules.spherical_sgd import SphericalSGD

RULES = {
    rule.__name__: rule
    for rule in (
        SGD,
        SphericalSGD,
        HeavyBall,
        SignSGD,
        Signum,
        MajorityVote,
        AGD,
        Fromage,
        Nero,
        Madam,
        GradientFlow,
        FeedbackAlignment,
    )
}

__all__ = ["RULES", "Layers", "Network", "Rule", *RULES]
