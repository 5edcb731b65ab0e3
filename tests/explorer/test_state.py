"""The state of the page, and the tables that it means."""

import tomllib

import pytest

import teacherstudent as ts
from teacherstudent.command import published
from teacherstudent.explorer import controls
from teacherstudent.explorer.controls import AS_IN_FILE, CONTROLS
from teacherstudent.explorer.state import default_state, means_the_same, state_of, tables_of
from teacherstudent.explorer.toml_text import toml_text
from tests.explorer.cases import TASKS, state


def read(tables):
    return ts.Experiment.from_tables("explored", tables)


def curves():
    """The published set-ups that are curves in time."""
    found = []
    for name in published.names():
        tables = published.read(name)[1]
        if not {"escape", "variants", "model"} & set(tables):
            found.append(pytest.param(tables, id=name))
    return found


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_an_experiment(task):
    experiment = read(tables_of(default_state() | {"task": task} | TASKS[task]))
    assert experiment.plan.problem.student.width == 2


@pytest.mark.parametrize("rule", controls.RULES)
def test_every_rule_is_an_experiment(rule):
    experiment = read(tables_of(state(rule=rule, start_scale=1.0)))
    assert type(experiment.plan.problem.rule).__name__ == controls.RULES[rule]


@pytest.mark.parametrize("schedule", controls.SCHEDULES)
def test_every_schedule_begins_with_the_learning_rate(schedule):
    experiment = read(tables_of(state(schedule=schedule, eta=0.3)))
    assert float(experiment.plan.problem.at(0.0).rule.learning_rate) == pytest.approx(0.3)


@pytest.mark.parametrize("tables", curves())
def test_a_published_set_up_means_the_same_problem_and_start(tables):
    made = tables_of(state_of(tables), tables)
    for part in ("task", "student", "rule", "start"):
        assert means_the_same(tables[part], made[part]), part
    assert made.get("protocol") == tables.get("protocol")


def test_what_the_controls_cannot_make_is_kept_whole():
    tables = published.read("linear-noisy")[1]
    tables = tables | {"rule": {"type": "Signum", "learning_rate": 0.1}}
    assert state_of(tables)["rule"] == AS_IN_FILE
    assert tables_of(state_of(tables), tables)["rule"] == tables["rule"]


def test_a_control_that_matters_changes_the_tables():
    """Each control that is shown, in some state that shows it."""
    base = state(
        task=controls.HIDDEN_MANIFOLD, start=controls.OVERLAPS, schedule="power", rule="SGD"
    )
    for control in CONTROLS:
        options = getattr(control, "options", None) or (5, 0.25)
        if type(control.default) is bool:
            options = (True, False)
        other = next(one for one in options if one != base[control.name])
        if control.shown(base) and control.name != "task":
            assert tables_of(base) != tables_of(base | {control.name: other}), control.name


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"eta": -0.1}, "rule.learning_rate"),
        ({"workers": 1, "adversaries": 2, "rule": "majority vote of signs (seconds)"}, "more than"),
        ({"start": controls.OVERLAPS, "start_overlap": 1.0, "start_scale": 0.1}, "Q"),
    ],
)
def test_a_bad_combination_has_the_sentence_of_the_package(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(tables_of(state(**changes)))


@pytest.mark.parametrize("tables", curves())
def test_the_text_reads_back_as_the_tables(tables):
    assert tomllib.loads(toml_text(tables)) == tables
    made = tables_of(state_of(tables), tables)
    assert tomllib.loads(toml_text(made)) == made


def test_strange_texts_read_back():
    tables = {
        "title": 'a "b" \\ \n\x7f ε',
        "a b": {"x.y": [1.0, {"z": True}], "e": {}, "f": 1e-300},
    }
    assert tomllib.loads(toml_text(tables)) == tables
