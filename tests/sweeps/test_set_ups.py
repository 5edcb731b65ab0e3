"""Sweeps in files: the table `[sweep]` of an experiment."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.command.experiment import Experiment
from teacherstudent.command.swept import Sweep
from teacherstudent.command.variants import Variants

TABLES = {
    "title": "test",
    "task": {"type": "TeacherStudent", "width": 1, "activation": "linear"},
    "student": {"width": 1, "activation": "linear"},
    "rule": {"type": "SGD", "learning_rate": 0.2},
    "start": {"Q": [[0.5]], "R": [[0.1]]},
    "times": {"values": [0.0, 1.0]},
    "simulation": {"N": 50, "seeds": 3},
    "sweep": {"over": {"rule.learning_rate": "linspace(0.1, 0.3, 3)", "task.noise": [0.0, 0.1]}},
}


def read(**changes):
    return Experiment.from_tables("test", TABLES | changes)


def test_values_are_lists_or_texts_in_the_words_of_the_command():
    plan = read().plan
    assert isinstance(plan, Sweep) and not plan.theory_only
    assert plan.over == {
        "rule.learning_rate": [0.1, 0.2, pytest.approx(0.3)],
        "task.noise": [0, 0.1],
    }
    assert plan.options(theory_only=False)["seeds"] == 3


def test_it_answers_as_the_verb_does():
    experiment = read()
    tree = experiment.run(progress=False)
    plan = experiment.plan
    expected = ts.sweep(
        plan.curves.problem, plan.start, [0.0, 1.0], plan.over, N=50, seeds=3, progress=False
    )
    for kind in ("theory", "simulation"):
        assert tree[kind].sizes["learning_rate"] == 3 and tree[kind].sizes["noise"] == 2
        # Programs that were compiled with other options round otherwise.
        np.testing.assert_allclose(tree[kind].eps_g, expected[kind].eps_g, rtol=1e-5)


def test_theory_alone_is_what_the_table_or_the_caller_asks_for():
    swept = TABLES["sweep"] | {"theory_only": True}
    for tree in (
        read(sweep=swept).run(progress=False),
        read().run(progress=False, theory_only=True),
    ):
        assert set(tree.children) == {"theory"}


def test_variants_may_be_sweeps():
    variants = {"one": {}, "other": {"rule": {"learning_rate": 0.1}}}
    over = {"over": {"task.noise": [0.0, 0.1]}, "theory_only": True}
    experiment = read(variants=variants, sweep=over)
    assert isinstance(experiment.plan, Variants)
    tree = experiment.run(progress=False)
    for label in variants:
        assert tree[f"variants/{label}/theory"].sizes["noise"] == 2
    axes = ts.plot(tree).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "other"]


def test_an_interrupted_sweep_goes_on_from_the_points_that_are_finished(tmp_path, monkeypatch):
    experiment = read()
    folder = tmp_path / "run.h5.unfinished"
    monkeypatch.setattr("teacherstudent.results.checkpoint_files.WORTH_KEEPING", 0.0)
    from teacherstudent.command import unfinished

    with pytest.raises(KeyboardInterrupt), unfinished.Unfinished(folder) as opened:
        opened.begin(experiment.mark(False), resume=False, anew=False)
        experiment.run_in(opened, False, None, False)
        raise KeyboardInterrupt
    assert folder.exists() and opened.has_something()
    monkeypatch.setattr("teacherstudent.sweeps.jobs.TheoryJob.run", None)  # nothing is left to do
    tree = experiment.run(progress=False, unfinished=folder)
    assert tree["theory"].sizes["noise"] == 2
    assert not folder.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweep": {"over": {"rule.learning_rate": 0.1}}}, "is neither a list nor a text"),
        ({"sweep": {"over": {"rule.learning_rate": "logspace(1)"}}}, "FIRST,LAST,COUNT"),
        ({"sweep": {"theory_only": True}}, "sweep.over"),
        ({"sweep": {"over": {"task.noise": [0]}, "extra": 1}}, "sweep.extra"),
        ({"protocol": [{"duration": 1.0}]}, "has no protocol"),
        ({"simulation": {"N": [50, 100]}}, "are several sizes"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(changes, message):
    with pytest.raises(ValueError, match=message):
        read(**changes)
