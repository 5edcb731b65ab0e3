"""Models: learning problems with closed equations that are no two-layer regression."""

from teacherstudent.models.autoencoder import Autoencoder as Autoencoder
from teacherstudent.models.continual_learning import ContinualLearning as ContinualLearning
from teacherstudent.models.model import MODELS as MODELS, Model as Model, Quantity as Quantity
from teacherstudent.models.reinforcement import ReinforcementPerceptron as ReinforcementPerceptron
from teacherstudent.models.sparse_parity import SparseParity as SparseParity
from teacherstudent.models.state import State as State
