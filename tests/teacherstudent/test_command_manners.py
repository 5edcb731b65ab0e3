"""What the command line says of set-ups and files, and which options it refuses."""

import json
import tomllib

import pytest
from typer.testing import CliRunner

import teacherstudent as ts
from teacherstudent.command import published
from teacherstudent.command.cli import app
from teacherstudent.command.sections import OTHERS, SECTIONS, section_of
from teacherstudent.figures.plotting import KINDS

PROBLEM = ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(3), ts.SGD(0.3))
START = ts.OrderParameters(Q=[[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], R=[[0.1, 0.2]] * 3)


def answer(*arguments):
    """What a command prints; it must succeed."""
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def refusal(*arguments):
    """The sentence with which a command refuses its arguments."""
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ValueError), done.output
    return str(done.exception)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A result file with theory, networks and their comparison."""
    times = [0.0, 1.0, 2.0]
    theory = ts.integrate(PROBLEM, START, times)
    networks = ts.simulate(PROBLEM, START, times, N=60, seeds=6)
    path = tmp_path_factory.mktemp("user") / "committee.h5"
    report = ts.compare(theory, networks)
    ts.save(path, theory=theory, simulation=networks, comparison=report)
    return path


def test_each_set_up_is_listed_once_in_its_section():
    text = answer("list")
    for name in published.names():
        assert sum(line.split()[:1] == [name] for line in text.splitlines()) == 1
        assert section_of(name) != OTHERS
    headings = [line.strip() for line in text.splitlines()]
    assert all(headings.count(title) == 1 for title, _ in SECTIONS)


def test_words_choose_from_the_list():
    names = [line.split()[0] for line in answer("list", "Solla", "k = m = 3").splitlines() if line]
    assert "saad-solla-1995-k3" in names and "saad-solla-1995-k2" not in names
    assert "did you mean goldt-2019-scm-k3" in refusal("list", "golt-2019-scm-k3")


def test_a_set_up_is_printed_as_its_file():
    name = "saad-solla-1995-k2"
    assert answer("run", name, "--print-toml") == published.text_of(name)


def test_changes_are_in_the_printed_file_and_comments_stay():
    printed = answer(
        *("run", "saad-solla-1995-k2", "--set", "rule.learning_rate=0.3", "--size", "50"),
        *("--set", "task.noise=0.2", "--set", "times.spacing=", "--print-toml"),
    )
    before = published.read("saad-solla-1995-k2")[1]
    tables = tomllib.loads(printed)
    assert tables["rule"]["learning_rate"] == 0.3 and tables["simulation"]["N"] == 50
    assert tables["task"] == {**before["task"], "noise": 0.2}
    assert "spacing" in before["times"] and "spacing" not in tables["times"]
    assert "# nearly symmetric" in printed


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("run", "escape-k1", "--print-toml", "--force", "--quiet"), "--force, --quiet have"),
        (("run", "linear-noisy", "--theory-only", "--device", "cpu"), "--device has"),
        (("run", "phase-diagram", "--seeds", "4", "--size", "33"), "--seeds, --size have"),
        (("run", "phase-diagram", "--device", "cpu"), "--device has"),
        (("run", "phase-diagram", "--print-toml", "--seeds", "4"), "--seeds has"),
        (("sweep", "--status", "--out", "x.h5", "--over", "N=1,2"), "--over has"),
        (("sweep", "linear-noisy", "--theory-only", "--over", "N=1,2", "--size", "3"), "--size"),
        (("sweep", "linear-noisy", "--over", "N=50,60", "--size", "70"), "--size has"),
    ],
)
def test_options_without_effect_are_refused(arguments, options):
    sentence = refusal(*arguments)
    assert options in sentence and "no effect beside" in sentence


def test_a_file_that_sweeps_has_networks_of_one_size():
    sentence = refusal("run", "goldt-2019-final-erf", "--size", "100", "--size", "200")
    assert "give a single one (--size 200, or simulation.N in the file)" in sentence
    assert "--over" not in sentence


def test_help_of_plot_names_all_kinds():
    text = " ".join(answer("plot", "--help").replace("│", " ").split())
    assert all(name in text for name in KINDS)


def test_an_entry_without_effect_is_refused():
    changes = {"times.spacing": "linear", "times.first": 0.2}
    with pytest.raises(ValueError, match=r"times.first has no effect on equally spaced times"):
        ts.Experiment.read("linear-noisy", changes)


def test_show_is_a_page_that_says_what_was_done(file):
    text = answer("show", str(file))
    lines = text.splitlines()
    assert lines[0] == str(file) and lines[1].startswith("made 20")
    assert f"teacherstudent {ts.__version__}" in lines[1]
    expected = (
        "task     TeacherStudent: width 2, activation erf, readout 1, noise 0.1",
        "rule     SGD: learning_rate 0.3, weight_decay 0",
        "Theory: 3 times, t = 0 to 2",
        "Networks: 3 times, t = 0 to 2, 6 seeds",
        "N = 60, method weights, float32",
        "(seed 6, time 3, student 3, teacher 2)",
        "theory - simulation, largest",
    )
    for part in expected:
        assert part in text
    assert "{" not in text.split("theory - simulation")[0]  # no dictionary of Python's


def test_show_prints_all_for_programs(file):
    facts = json.loads(answer("show", str(file), "--json"))
    assert facts["theory"]["problem"]["task"]["noise"] == 0.1
    assert facts["simulation"]["report"]["N"] == 60
    assert facts["comparison"]["kind"] == "comparison"


def test_help_shows_what_holds_where_an_option_is_left_out():
    for command in ("run", "sweep", "plot"):
        text = " ".join(answer(command, "--help").split())
        assert "default: (" in text and "None" not in text


def test_a_shell_completes_the_names_of_set_ups():
    done = CliRunner(
        env={
            "_TEACHERSTUDENT_COMPLETE": "complete_bash",
            "COMP_WORDS": "teacherstudent run saad",
            "COMP_CWORD": "2",
        }
    ).invoke(app, [], prog_name="teacherstudent")
    assert {"saad-solla-1995-k2", "saad-solla-1995-k3"} <= set(done.output.split())
    assert all(name.startswith("saad") for name in done.output.split())


def test_a_comparison_shows_its_verdict_in_a_notebook(file):
    tree = ts.load(file)
    report = ts.compare(tree["theory"].to_dataset(), tree["simulation"].to_dataset())
    page = report._repr_html_()
    assert page.index(report.attrs["verdict"].split()[0]) < page.index("<details>")
    assert "<td>eps_g</td>" in page and "<td>60</td>" in page and "<td>6</td>" in page
    assert "<details>" not in report[["Q_z"]].drop_attrs()._repr_html_().split("<div>")[0]


def test_problem_and_start_show_themselves_in_a_notebook():
    assert "TeacherStudent(width=2" in PROBLEM._repr_html_()
    assert "<th>R</th>" in START._repr_html_()
