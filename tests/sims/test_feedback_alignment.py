"""Networks that learn by direct feedback alignment against the theory, with whole weights and as
the chain of the overlaps.
"""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.problems import random_overlaps

TIMES = np.linspace(0.0, 6.0, 7)
ALIGNMENTS = ["feedback_alignment", "gradient_alignment"]


def problem_with(feedback, activation="erf") -> ts.Problem:
    return ts.Problem(
        ts.TeacherStudent(3, activation, [1.0, 0.8, 0.6], noise=0.1),
        ts.Student(2, activation, train_readout=True),
        ts.FeedbackAlignment(0.4, feedback, readout_learning_rate=0.3),
        batch_size=2,
    )


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["reduced"]))
def test_networks_agree_with_the_theory(method):
    problem = problem_with([1.0, -0.6])
    start = random_overlaps(2, 3, seed=1, v=[-0.4, 0.1])
    theory = ts.integrate(problem, start, TIMES, observables=ALIGNMENTS)
    networks = ts.simulate(
        problem, start, TIMES, N=400, seeds=16, method=method, observables=ALIGNMENTS
    )
    report = ts.compare(theory, networks)
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]
    assert set(ALIGNMENTS) <= set(description(report)["largest"][0])
    # The readout against the feedback is told apart from the gradient.
    gradient = ts.Problem(problem.task, problem.student, ts.SGD(0.4, 0.3), batch_size=2)
    wrong = ts.compare(ts.integrate(gradient, start, TIMES), networks)
    assert wrong.attrs["verdict"].startswith("DISAGREE")


@pytest.mark.long
def test_the_deviation_shrinks_with_the_square_root_of_the_dimension():
    problem = problem_with([0.8, 0.6], "relu")
    start = random_overlaps(2, 3, seed=1, v=[-0.2, 0.3])
    theory = ts.integrate(problem, start, TIMES)
    sims = [
        ts.simulate(problem, start, TIMES, N=N, seeds=24, method="reduced")
        for N in (250, 1000, 4000)
    ]
    exponents = description(ts.compare(theory, sims))["exponents"]
    for quantity, (exponent, error) in exponents.items():
        assert abs(exponent + 0.5) < 0.05 + 3.5 * error, (quantity, exponent, error)


@pytest.mark.long
def test_whole_weights_and_the_chain_have_the_same_law_far_from_the_limit():
    # Eight updates far from the limit, where a wrong term of order 1 / N would show.
    problem = problem_with([1.0, -0.6])
    start = random_overlaps(2, 3, seed=2, v=[-0.4, 0.1])
    found = [
        ts.simulate(problem, start, [0.0, 0.2], N=40, seeds=400, method=method)
        for method in ("weights", "reduced")
    ]
    for name in ("Q", "R", "v"):
        samples = [one[name].values[:, -1] for one in found]
        spread = np.sqrt(sum(one.var(axis=0, ddof=1) / len(one) for one in samples))
        assert np.all(np.abs(samples[0].mean(axis=0) - samples[1].mean(axis=0)) < 4 * spread), name
