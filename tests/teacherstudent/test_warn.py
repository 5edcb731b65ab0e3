"""Warnings name the line of the user's script."""

import warnings

import jax.numpy as jnp
import numpy as np

import teacherstudent as ts
from teacherstudent.checking.warn import warn_user


def test_a_warning_points_to_the_line_that_led_to_it():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn_user("from here")
        rng = np.random.default_rng(0)
        features = rng.standard_normal((8, 4)).astype(np.float32)
        ts.GaussianEquivalent.from_generator(lambda c: jnp.tanh(features @ c), 4, samples=90)
    assert [one.filename for one in told] == [__file__, __file__]
    assert "samples = 90 is few" in str(told[1].message)
