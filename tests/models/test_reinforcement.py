"""The reinforcement-learning perceptron: theory, networks, limits and fixed points."""

import json
from pathlib import Path

import numpy as np
import pytest

import teacherstudent as ts

CASES = json.loads((Path(__file__).parent / "reinforcement_perceptron.json").read_text())


def reward_of(case):
    given = case["reward"]
    if given["kind"] == "subtask":
        return ts.SubtaskBonus(given["T0"], given["eta1"], given["eta2"])
    if given["kind"] == "dense_return_to_go":
        return ts.ReturnToGo(given["r"], given["eta1"])
    return ts.Graded(given["G"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_theory_meets_the_reference(case):
    model = ts.ReinforcementPerceptron(case["T"], reward_of(case))
    start = ts.State(Q=[[case["Q0"]]], R=[[case["R0"]]])
    theory = ts.integrate(model, start, case["t"], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(theory.Q[:, 0, 0], case["Q"], rtol=1e-7)
    np.testing.assert_allclose(theory.R[:, 0, 0], case["R"], rtol=1e-7)
    np.testing.assert_allclose(theory.rho, case["rho"], rtol=1e-7)
    np.testing.assert_allclose(theory.right, case["P"], rtol=1e-7)
    np.testing.assert_allclose(theory.episode, case["accuracy_of_episode"], rtol=1e-7)
