"""Trajectories against reference values made with SciPy's DOP853 (rtol 1e-12) from independent
formulas.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import teacherstudent as ts

CASES = json.loads((Path(__file__).parent / "trajectories.json").read_text())
LONG = (  # to compile, and others of their kind are not
    "relu_scm_K2M2_noiseless",
    "erf_scm_K4M2_sigma0.1",
    "erf_both_layers_K3M2_sigma0.1",
    "erf_scm_K2M2_batch4_sigma0.3",
    "erf_scm_K2M2_noiseless",
    "quadratic_K2M2_sigma0.1",
)


def problem_of(case: dict) -> ts.Problem:
    trained = case["eta_v"] > 0
    if case["spherical"]:
        rule = ts.SphericalSGD(case["eta_w"])
    else:
        rule = ts.SGD(
            case["eta_w"], case["eta_v"] if trained else None, case.get("weight_decay", 0.0)
        )
    return ts.Problem(
        ts.TeacherStudent(case["M"], case["activation"], case["v_star"], case["sigma"]),
        ts.Student(case["K"], case["activation"], trained),
        rule,
        batch_size=case["batch_size"],
    )


@pytest.mark.parametrize(("rtol", "allowed"), [(1e-9, 1e-7), (1e-10, 1e-8)])
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.long] * (case["name"] in LONG), id=case["name"])
        for case in CASES
    ],
)
def test_reference_trajectory(case, rtol, allowed):
    start = ts.OrderParameters(case["Q0"], case["R0"], case["T"], case["v0"])
    theory = ts.integrate(problem_of(case), start, case["t"], rtol=rtol, atol=rtol / 100)
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(theory[name], case[name], rtol=0, atol=allowed, err_msg=name)
