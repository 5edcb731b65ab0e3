import inspect

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.command import curves, published, tables
from teacherstudent.command.best_schedules import BestSchedule
from teacherstudent.command.escapes import Escape
from teacherstudent.command.experiment import Experiment, checked_changes
from teacherstudent.command.fixed_points import FixedPoints
from teacherstudent.command.model_curves import ModelCurves
from teacherstudent.command.swept import Sweep
from teacherstudent.command.variants import Variants

TABLES = {
    "title": "test",
    "task": {"type": "TeacherStudent", "width": 2},
    "student": {"width": 3},
    "rule": {"type": "SGD", "learning_rate": 0.2},
    "start": {"random": {"N": 100}},
    "times": {"stop": 5.0, "points": 6},
}


@pytest.mark.parametrize("name", published.names())
def test_every_published_set_up_is_valid(name):
    experiment = Experiment.read(name)
    assert experiment.name == name and experiment.title and experiment.reference
    plan = experiment.plan
    if isinstance(plan, Escape):
        assert len(plan.escape.N) > 1 and plan.problem.loss == "correlation"
        return
    for one in plan.variants.values() if isinstance(plan, Variants) else [plan]:
        if isinstance(one, Sweep):  # of which the last time is drawn
            assert len(one.curves.times) >= 5
            assert all(250 <= N <= 500 for N in one.curves.simulation.sizes) or one.theory_only
            continue
        if isinstance(one, FixedPoints):
            if one.curves is None:
                assert one.options.over is not None
                continue
            one = one.curves
        if isinstance(one, BestSchedule):
            one = one.curves
        assert one.times[0] == 0 and len(one.times) > 10
        smallest, largest = 250, 1000
        if one.theory.band:  # bands are shown at very different sizes
            largest = 4000
        if isinstance(one, ModelCurves):  # whose cost does not always grow with N
            smallest, largest = 20, 2000
        assert all(smallest <= N <= largest for N in one.simulation.sizes)


def test_the_published_set_ups_are_there():
    assert {f"goldt-2019-{layers}-k{K}" for layers in ("scm", "both") for K in range(2, 7)} <= set(
        published.names()
    )
    assert {"saad-solla-1995-k2", "saad-solla-1995-k3", "linear-noisy", "relu-both-layers"} <= set(
        published.names()
    )
    for layers, trained in (("scm", False), ("both", True)):
        problem = Experiment.read(f"goldt-2019-{layers}-k5").plan.problem
        assert (problem.student.width, problem.task.width, problem.student.train_readout) == (
            5,
            2,
            trained,
        )
        assert problem.task.noise > 0


def test_assignments_change_entries_and_keep_the_rest():
    changes = tables.assigned(
        ["rule.learning_rate=0.7", "student.activation=relu", "theory.rtol = 1e-5"]
    )
    changed = tables.changed(TABLES, changes)
    assert changed["rule"] == {"type": "SGD", "learning_rate": 0.7}
    assert changed["student"]["activation"] == "relu"
    assert changed["theory"] == {"rtol": 1e-5}
    assert TABLES["rule"]["learning_rate"] == 0.2


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["rule.learning_rat=0.2"],
            "unknown key rule.learning_rat: did you mean rule.learning_rate",
        ),
        (["stduent.width=3"], "unknown key stduent: did you mean student"),
        (
            ["task.type=TeacherStudnt"],
            "task.type = 'TeacherStudnt' is not known; .*did you mean 'TeacherStudent'",
        ),
        (["rule.type=Adam"], "rule.type = 'Adam' is not known; known are SGD, SphericalSGD"),
        (["rule.learning_rate=-1"], "rule.learning_rate = -1"),
        (["rule.learning_rate=fast"], "rule.learning_rate = 'fast' is not a number"),
        (["student.width=0"], "student.width = 0"),
        (["times.points=many"], "times.points = 'many'"),
        (["times.values=[1.0, 2.0]"], "either values"),
        (["simulation.N=3"], r"N = 3 is too small: .* 5 vectors \(K \+ M\)"),
        (["simulation.seeds=0"], "simulation.seeds = 0"),
        (["theory.solver=euler"], "theory.solver = 'euler'.*'tsit5'"),
        (["start.Q=[[1.0]]"], "both random and Q"),
        (["start={}"], "start.Q is missing."),
        (["batch_size=2.5"], "batch_size = 2.5"),
        (["student=7"], "student = 7"),
        (["rule"], "is not of the form table.key=value"),
        (["title.x=1"], "title is a value, not a table"),
    ],
)
def test_mistakes_are_named_before_anything_runs(assignments, message):
    with pytest.raises(ValueError, match=message):
        Experiment.from_tables("test", TABLES, tables.assigned(assignments))


def test_explicit_start_and_times():
    start = {"Q": np.eye(3).tolist(), "R": [[0.1, 0.0]] * 3}
    given = TABLES | {"start": start, "times": {"values": [0.0, 1.0]}}
    plan = Experiment.from_tables("test", given).plan
    np.testing.assert_array_equal(plan.start.R, [[0.1, 0.0]] * 3)
    np.testing.assert_array_equal(plan.times, [0.0, 1.0])


def test_names_and_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="did you mean 'saad-solla-1995-k2'"):
        published.read("saad-sola-1995-k2")
    broken = tmp_path / "broken.toml"
    broken.write_text("title = [")
    with pytest.raises(ValueError, match="broken.toml is not valid TOML"):
        published.read(str(broken))


VARIANTS = {
    "title": "two rules",
    "task": {"type": "TeacherStudent", "width": 1},
    "student": {"width": 1},
    "start": {"Q": [[0.5]], "R": [[0.1]]},
    "times": {"values": [0.0, 1.0]},
    "simulation": {"N": 30, "seeds": 2},
    "variants": {
        "sgd": {"rule": {"type": "SGD", "learning_rate": 0.1}},
        "map": {
            "rule": {"type": "AGD", "first_scale": 1.0},
            "batch_ratio": 2.0,
            "times": {"values": [0, 3]},
        },
    },
}


def test_variants_replace_what_stands_beside_them():
    variants = Experiment.from_tables("name", VARIANTS).plan.variants
    assert list(variants) == ["sgd", "map"]
    first, second = variants.values()
    assert type(first.problem.rule).__name__ == "SGD" and first.problem.batch_ratio is None
    assert second.problem.batch_ratio == 2.0 and second.times.tolist() == [0, 3]
    assert first.start.Q == second.start.Q and second.simulation.sizes == [30]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": {}}, "variants is empty"),
        ({"variants": {"a/b": {}}}, "without a slash"),
        ({"variants": {"one": {}}}, "variants.one: rule is missing"),
        (
            {"variants": {"one": {"rule": {"type": "Sgd"}}}},
            "variants.one: rule.type = 'Sgd' is not known",
        ),
        (
            {"variants": {"one": {"rule": {"type": "SGD", "learning_rate": [0.1, 0.2]}}}},
            "no clones, sweeps, escape or protocol",
        ),
    ],
)
def test_bad_variants_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Experiment.from_tables("name", VARIANTS | change)


def test_everything_that_is_wrong_is_told_at_once_with_the_name_of_the_file(tmp_path):
    file = tmp_path / "empty.toml"
    file.write_text("")
    with pytest.raises(
        ValueError,
        match="empty.toml: title is missing. task is missing. student is missing. rule is .* times",
    ):
        Experiment.read(str(file))
    wrong = TABLES | {
        "rule": {"type": ["x"]},
        "student": {"width": 0},
        "times": {"stop": -1.0},
        "simulation": {"Q": 3},
    }
    with pytest.raises(
        ValueError,
        match=r"width = 0 .* rule.type = \['x'\] is not known.* times.stop = -1.0.*simulation.Q",
    ):
        Experiment.from_tables("test", wrong)


def test_cheap_checks_come_before_a_manifold_is_drawn(monkeypatch):
    task = {"type": "HiddenManifold", "width": 2, "latent_ratio": 0.5}
    monkeypatch.setattr(
        curves,
        "random_start",
        lambda *_, **__: pytest.fail("drawn before all else was checked"),
    )
    for change, message in (
        (
            {"simulation": {"N": 100, "sedes": 3}},
            "unknown key simulation.sedes: did you mean simulation.seeds",
        ),
        (
            {"simulation": {"N": 200}},
            "simulation.N = 200, but start.random draws weights with N = 100",
        ),
        ({"times": {"stop": 1.0, "first": 2.0}, "simulation": {"N": 100}}, "times.first = 2"),
        ({"theory": {"rtol": "small"}, "simulation": {"N": 100}}, "theory.rtol = 'small'"),
    ):
        with pytest.raises(ValueError, match=message):
            Experiment.from_tables("test", TABLES | {"task": task} | change)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, not an experiment; try `teacherstudent show"),
        (b"\xff\xfe", "is not valid TOML: 'utf-8' codec"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"a = 1" + b"0" * 5000, "is not valid TOML"),
        (b"\xef\xbb\xbftitle = 3", "title = 3: input should be a valid string"),
        (b"variants = {'.' = {}}", "title is missing"),
    ],
)
def test_files_that_are_no_experiments(tmp_path, content, message):
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as refusal:
        Experiment.read(str(file))
    assert str(file) in str(refusal.value)


def test_a_name_too_long_for_a_file_is_no_file():
    with pytest.raises(FileNotFoundError, match="is neither a published set-up nor a file"):
        Experiment.read("x" * 5000)


VERBS = {
    tables.TheoryTable: ts.integrate,
    tables.SimulationTable: ts.simulate,
    tables.EscapeTable: ts.escape,
    tables.RandomTable: ts.random_start,
}


@pytest.mark.parametrize("table", VERBS, ids=lambda table: table.__name__)
def test_tables_have_the_arguments_of_their_verbs_and_no_defaults_of_their_own(table):
    arguments = inspect.signature(VERBS[table]).parameters
    chooses_the_verb = {"band"}
    assert set(table.model_fields) - chooses_the_verb <= set(arguments)
    given = {name: 3 for name, field in table.model_fields.items() if field.is_required()}
    options = table(**given).options()
    assert options == given


def test_an_entry_is_removed_by_none_or_by_an_empty_value():
    agd = {"rule.type": "AGD", "rule.first_scale": 1.0}
    with pytest.raises(ValueError, match=r"unknown key rule.learning_rate.*--set rule.KEY=, or "):
        Experiment.from_tables("test", TABLES, agd)
    for removal in ({"rule.learning_rate": None}, tables.assigned(["rule.learning_rate="])):
        experiment = Experiment.from_tables("test", TABLES, agd | removal)
        assert type(experiment.plan.problem.rule) is ts.AGD
    with pytest.raises(ValueError, match="rule.learning_rat cannot be removed.* learning_rate"):
        Experiment.from_tables("test", TABLES, {"rule.learning_rat": None})


@pytest.mark.parametrize("changes", [["rule.learning_rate=0.3"], {3: 0.3}])
def test_changes_are_a_dictionary(changes):
    with pytest.raises(ValueError, match='give one such as {"rule.learning_rate": 0.3}'):
        checked_changes(changes)


SMALL = {
    "rule.learning_rate": 0.3,
    "times.stop": 2.0,
    "times.points": np.int64(4),
    "start.random.N": 40,
    "simulation.N": [30, 60],
    "simulation.seeds": 3,
}


def test_an_experiment_runs_to_theory_simulations_and_comparison():
    experiment = ts.Experiment.read("linear-noisy", changes=SMALL)
    assert repr(experiment).startswith("Experiment linear-noisy: ")
    tree = experiment.run(progress=False)
    assert set(tree.children) == {"theory", "simulation", "comparison"}
    assert set(tree["simulation"].children) == {"N_30", "N_60"}
    assert tree["simulation/N_60"].sizes["seed"] == 3
    assert tree["simulation/N_60"].sizes["time"] == 4
    plan = experiment.plan
    theory = ts.integrate(plan.problem, plan.start, plan.times)
    np.testing.assert_array_equal(tree["theory"].Q, theory.Q)
    assert tree["comparison"].attrs["verdict"]


def test_with_classes_the_theory_has_the_error_of_the_best_classifier(tmp_path):
    file = tmp_path / "classes.toml"
    file.write_text(
        """
        title = "two spikes"
        task = { type = "SpikedCumulant", beta = 5.0 }
        student = { width = 1, activation = "linear" }
        rule = { type = "SGD", learning_rate = 0.2 }
        start = { Q = [[0.5]], m = [[0.1]] }
        times = { stop = 1.0, points = 3 }
        """
    )
    tree = ts.Experiment.read(file).run(progress=False, theory_only=True)
    assert set(tree.children) == {"theory"}
    assert 0 < tree["theory"].oracle_error < 0.5


def test_an_escape_has_no_theory():
    with pytest.raises(ValueError, match="an escape has no theory"):
        ts.Experiment.read("escape-k2").run(theory_only=True)


def test_a_tree_is_saved_as_it_is(tmp_path):
    tree = Experiment.from_tables("test", TABLES, {"times.points": 3, "times.stop": 1.0}).run(
        progress=False, theory_only=True
    )
    ts.save(tmp_path / "x.h5", tree)
    np.testing.assert_array_equal(ts.load(tmp_path / "x.h5")["theory"].Q, tree["theory"].Q)
    with pytest.raises(ValueError, match="tree is a whole result, and theory is given too"):
        ts.save(tmp_path / "y.h5", tree, theory=tree["theory"].to_dataset())


def test_a_file_may_ask_for_an_accuracy_of_averages():
    table = tables.TheoryTable(quadrature={"accuracy": 1e-5, "terms": 20})
    assert table.options() == {"quadrature": ts.Quadrature(accuracy=1e-5, terms=20)}
