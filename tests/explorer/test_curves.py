"""Datasets as curves."""

import numpy as np
import xarray as xr

from teacherstudent.explorer.curves import (
    COLOURS,
    OTHERS,
    axis_label,
    curves_of,
    label_of,
    quantities,
    style_of,
)

TIME = np.array([0.0, 1.0, 2.0])


def networks(seeds):
    values = np.arange(seeds * 3 * 2 * 3, dtype=float).reshape(seeds, 3, 2, 3)
    return xr.Dataset(
        {"R": (("seed", "time", "student", "teacher"), values)}, coords={"time": TIME}
    )


def test_networks_are_a_mean_with_its_errors():
    data = networks(4)
    curve = curves_of(data, "R")[5]
    values = data.R.isel(student=1, teacher=2)
    assert curve.label == "R₂₃"
    np.testing.assert_allclose(curve.value, values.mean("seed"))
    np.testing.assert_allclose(curve.spread, values.std("seed", ddof=1))
    np.testing.assert_allclose(curve.error, values.std("seed", ddof=1) / 2)


def test_one_network_has_no_error():
    curve = curves_of(networks(1), "R")[0]
    assert not curve.spread.any() and not curve.error.any()


def test_of_q_each_pair_is_there_once():
    data = xr.Dataset({"Q": (("time", "student", "student_"), np.ones((3, 3, 3)))}, {"time": TIME})
    labels = [curve.label for curve in curves_of(data, "Q")]
    assert labels == ["Q₁₁", "Q₁₂", "Q₁₃", "Q₂₂", "Q₂₃", "Q₃₃"]
    assert curves_of(data, "T") == []


def test_labels_and_styles_tell_entries_apart():
    assert label_of("R", (0, 10)) == "R₁,₁₁"
    assert label_of("eps_g", ()) == "ε_g"
    styles = {style_of("R", (k, m), 0) for k in range(8) for m in range(4)}
    assert len(styles) == 32
    assert style_of("v", (20,), 20)[0] == OTHERS
    assert len(set(COLOURS)) == 8
    assert axis_label("R") == "overlap of student and teacher units  R"


def test_quantities_are_those_along_time():
    data = networks(2).assign(T=(("teacher", "teacher_"), np.eye(3)))
    assert quantities(data) == ["R"]
