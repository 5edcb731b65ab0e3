"""Experiments on scaling laws."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.command.experiment import Experiment
from teacherstudent.command.scaling import Scaling

TABLES = {
    "title": "scaling",
    "model": {"type": "SparseParity", "skills": 30, "exponent": 1.0, "learning_rate": 0.1},
    "scaling": {
        "initial": 0.01,
        "samples": [1.0, 10.0, 100.0],
        "sizes": [1, 5, 20],
        "compute": "logspace(2,4,3)",
    },
    "times": {"first": 1.0, "stop": 100.0, "points": 4, "spacing": "log"},
    "simulation": {"N": 5, "seeds": 2},
}


def test_the_file_has_the_losses_at_all_resources_and_their_laws(tmp_path):
    experiment = Experiment.from_tables("test", TABLES)
    assert isinstance(experiment.plan, Scaling)
    tree = experiment.run(progress=False)
    ts.save(tmp_path / "one.h5", tree)
    theory = ts.load(tmp_path / "one.h5")["theory"].to_dataset()
    model = ts.problem_of(theory)
    laws = ts.scaling_laws(model, 0.01)
    by_time = ts.excess_loss(model, 0.01, time=theory.time.values)
    np.testing.assert_allclose(theory.loss, by_time, rtol=1e-9)
    np.testing.assert_allclose(theory.law_of_time, laws.time(theory.later.values))
    by_samples = ts.excess_loss(model, 0.01, samples=[1.0, 10.0, 100.0])
    np.testing.assert_allclose(theory.loss_of_samples, by_samples)
    np.testing.assert_allclose(theory.loss_of_size[1], ts.excess_loss(model, 0.01, size=5))
    np.testing.assert_allclose(theory.law_of_compute, laws.compute([1e2, 1e3, 1e4]))
    np.testing.assert_array_equal(theory.best_size, np.round(theory.best_size))
    ts.plot(tree, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scaling.sizes": [3, 2]}, "scaling.sizes = .* give increasing positive numbers"),
        ({"scaling.samples": "many"}, "scaling.samples"),
        ({"scaling.initial": 2.0}, "initial = 2 is not below the target 1"),
        ({"scaling.speed": 1}, "unknown key scaling.speed"),
        ({"start": {"first": [1.0]}}, "equal strengths of all skills, and has no start"),
        ({"model": {"type": "Autoencoder", "spikes": [1.0]}}, "scaling is of a SparseParity"),
    ],
)
def test_mistakes_are_named_before_anything_runs(changes, message):
    with pytest.raises(ValueError, match=message):
        Experiment.from_tables("test", TABLES, changes)
