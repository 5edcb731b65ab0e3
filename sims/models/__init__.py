"""Simulations of the models that are no two-layer regression; importing it registers them."""

from sims.models import (
    autoencoder as autoencoder,
    continual_learning as continual_learning,
    reinforcement as reinforcement,
    sparse_parity as sparse_parity,
)
