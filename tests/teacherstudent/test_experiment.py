import numpy as np
import pytest

from teacherstudent.command import experiment, published

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
    job = experiment.experiment(*published.read(name))
    assert job.title and job.reference
    if isinstance(job, experiment.EscapeExperiment):
        assert len(job.escape.N) > 1 and job.problem.loss == "correlation"
        return
    for one in job.variants.values() if isinstance(job, experiment.VariantsExperiment) else [job]:
        assert one.times[0] == 0 and len(one.times) > 10
        assert all(250 <= N <= 1000 for N in one.simulation.sizes)


def test_the_published_set_ups_are_there():
    assert {f"goldt-2019-{layers}-k{K}" for layers in ("scm", "both") for K in range(2, 7)} <= set(
        published.names()
    )
    assert {"saad-solla-1995-k2", "saad-solla-1995-k3", "linear-noisy", "relu-both-layers"} <= set(
        published.names()
    )
    for layers, trained in (("scm", False), ("both", True)):
        problem = experiment.experiment(*published.read(f"goldt-2019-{layers}-k5")).problem
        assert (problem.student.width, problem.task.width, problem.student.train_readout) == (
            5,
            2,
            trained,
        )
        assert problem.task.noise > 0


def test_assignments_change_entries_and_keep_the_rest():
    changed = experiment.changed(
        TABLES, ["rule.learning_rate=0.7", "student.activation=relu", "theory.rtol = 1e-5"]
    )
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
        experiment.experiment("test", experiment.changed(TABLES, assignments))


def test_explicit_start_and_times():
    job = experiment.experiment(
        "test",
        TABLES
        | {
            "start": {"Q": np.eye(3).tolist(), "R": [[0.1, 0.0]] * 3},
            "times": {"values": [0.0, 1.0]},
        },
    )
    np.testing.assert_array_equal(job.start.R, [[0.1, 0.0]] * 3)
    np.testing.assert_array_equal(job.times, [0.0, 1.0])


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
    made = experiment.experiment("name", VARIANTS)
    assert list(made.variants) == ["sgd", "map"]
    first, second = made.variants.values()
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
            "no clones, sweeps or escape",
        ),
    ],
)
def test_bad_variants_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        experiment.experiment("name", VARIANTS | change)


def test_everything_that_is_wrong_is_told_at_once_with_the_name_of_the_file(tmp_path):
    file = tmp_path / "empty.toml"
    file.write_text("")
    with pytest.raises(
        ValueError,
        match="empty.toml: title is missing. task is missing. student is missing. rule is .* times",
    ):
        experiment.read(str(file))
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
        experiment.experiment("test", wrong)


def test_cheap_checks_come_before_a_manifold_is_drawn(monkeypatch):
    task = {"type": "HiddenManifold", "width": 2, "latent_ratio": 0.5}
    monkeypatch.setattr(
        experiment,
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
            experiment.experiment("test", TABLES | {"task": task} | change)


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
        experiment.read(str(file))
    assert str(file) in str(refusal.value)


def test_a_name_too_long_for_a_file_is_no_file():
    with pytest.raises(FileNotFoundError, match="is neither a published set-up nor a file"):
        experiment.read("x" * 5000)
