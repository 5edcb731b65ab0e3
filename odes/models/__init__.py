"""Theories of the models that are no two-layer regression; importing it registers them."""

from odes.models import reinforcement as reinforcement
