"""Simulations of the models that are no two-layer regression; importing it registers them."""

from sims.models import reinforcement as reinforcement
