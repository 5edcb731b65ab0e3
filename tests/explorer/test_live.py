"""Theories and networks behind the page."""

import warnings

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.explorer.live import Theory
from teacherstudent.explorer.networks import Training
from teacherstudent.explorer.sentences import listen_to_warnings, sentence_of, warnings_heard
from tests.explorer.cases import tables

NETWORKS = {"N": 40, "seeds": 3, "method": "weights"}


def trained(answer, options, stop_at=None):
    """The networks, and the shares of the time that were told."""
    finished, shares = [], []

    def show(share):
        shares.append(share)
        if stop_at is not None and share >= stop_at:
            training.stop()

    training = Training(answer, options, show, finished.append)
    training.start()
    training.wait()
    return finished[0], shares


def test_the_theory_is_that_of_integrate():
    answer = Theory().answer(tables(eta=0.3))
    plan = answer.plan
    expected = ts.integrate(plan.problem, plan.start, plan.times)
    assert (answer.theory.eps_g == expected.eps_g).all()
    assert answer.has_compiled


def test_another_number_takes_the_same_program():
    theory, told = Theory(), []
    theory.answer(tables(), lambda: told.append("compiling"))
    for changes in ({"eta": 0.1}, {"noise": 0.3}, {"stop": 5}, {"start_scale": 0.7}):
        answer = theory.answer(tables(**changes), lambda: told.append("compiling"))
        assert not answer.has_compiled
    assert told == ["compiling"]
    assert theory.answer(tables(K=3)).has_compiled
    assert theory.answer(tables(schedule="power")).has_compiled


@pytest.mark.parametrize(
    "changes, sentence",
    [({"eta": -1.0}, "rule.learning_rate"), ({"eta": 50.0, "stop": 1000}, "diverge")],
)
def test_what_fails_is_a_sentence(changes, sentence):
    answer = Theory().answer(tables(**changes))
    assert sentence in answer.sentence
    assert answer.theory is None
    assert "\n" not in answer.sentence


@pytest.mark.parametrize("table", ["escape", "variants"])
def test_what_is_no_curve_is_refused(table):
    answer = Theory().answer(tables() | {table: {"N": 20}})
    assert f"table {table!r}" in answer.sentence


def test_networks_are_those_of_simulate_with_a_verdict():
    answer = Theory().answer(tables())
    networks, shares = trained(answer, NETWORKS)
    plan = answer.plan
    expected = ts.simulate(plan.problem, plan.start, plan.times, N=40, seeds=3)
    assert (networks.simulation.Q == expected.Q).all()
    assert networks.verdict
    assert networks.is_whole
    assert shares[-1] == 1.0
    assert np.all(np.diff(shares) > 0)


def test_networks_that_are_stopped_keep_what_they_have():
    answer = Theory().answer(tables())
    networks, shares = trained(answer, NETWORKS, stop_at=0.3)
    assert networks.sentence.startswith("stopped at t = ")
    assert not networks.is_whole
    assert 1 < networks.simulation.sizes["time"] == len(shares) < answer.theory.sizes["time"]


def test_networks_that_are_not_possible_are_a_sentence():
    answer = Theory().answer(tables())
    networks, _ = trained(answer, {"N": 2, "seeds": 3, "method": "weights"})
    assert "N = 2" in networks.sentence
    assert networks.simulation is None


def test_warnings_are_heard_by_their_thread():
    with warnings.catch_warnings():
        listen_to_warnings()
        with warnings_heard() as notes:
            warnings.warn("one", stacklevel=1)
            warnings.warn("one", stacklevel=1)
        assert notes == ["one", "one"]


def test_an_error_of_ours_is_its_sentence():
    assert sentence_of(ValueError("a sentence.")) == "a sentence."
    assert sentence_of(KeyError("x")) == "KeyError: 'x'"
