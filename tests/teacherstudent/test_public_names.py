"""What a person meets: names, their types, help, and how objects show themselves."""

import ast
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import teacherstudent as ts

SOURCE = Path(ts.__file__)
CALLABLE = [name for name in ts.__all__ if callable(getattr(ts, name))]
# Users derive classes from these, fill these tuples of arrays by position, or read this one; and a
# function.
NOT_CALLED = {
    "point_of",  # takes the names of any dimensions, and looks at them itself
    "Averages",
    "AveragesWithTeacher",
    "Components",
    "DescentRule",
    "Experiment",
    "FieldAverages",
    "InputTheory",
    "Labels",
    "Loss",
    "MixtureTask",
    "Model",
    "ModelSimulation",
    "ModelTheory",
    "Quantity",
    "Reward",
    "RowsSimulation",
    "Rule",
    "RuleTheory",
    "ShiftedAverages",
    "SignAverages",
    "SignFields",
    "State",
    "Task",
    "TeacherTask",
    "Update",
}
WITH_CHECKED_ARGUMENTS = [
    name for name in CALLABLE if not name.endswith("Error") and name not in NOT_CALLED
]
PROBLEM = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(learning_rate=0.3))

USER_SCRIPT = """
import teacherstudent as ts

reveal_type(ts.integrate)
reveal_type(ts.log_times)
reveal_type(ts.SGD)
reveal_type(ts.Student(2).width)
ts.integrat
"""
REVEALED = (
    'Revealed type is "def (problem: teacherstudent.problem.Problem, start: ',
    'Revealed type is "def (stop: float, points: int =, first: float =) -> ',
    'Revealed type is "def (learning_rate: Any, readout_learning_rate: Any =, ',
    'Revealed type is "int"',
    'Module has no attribute "integrat"',
)


def test_type_checkers_see_the_names_that_load():
    """The imports for type checkers are those that `__getattr__` makes."""
    imported = {}
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in ts.PUBLIC:
            for alias in node.names:
                assert alias.asname == alias.name, "type checkers take only `X as X` for public"
                imported[alias.name] = node.module
    assert imported == ts.MODULE_OF


@pytest.mark.long
@pytest.mark.slow
def test_a_type_checker_knows_signatures(tmp_path):
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text(USER_SCRIPT)
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"MYPYPATH": str(SOURCE.parent.parent)},
    )
    for line in REVEALED:
        assert line in run.stdout, run.stdout + run.stderr


def test_all_public_names_resolve_and_are_documented():
    for name in ts.__all__:
        assert getattr(ts, name).__doc__ if name != "__version__" else ts.__version__


def test_only_public_names_are_listed():
    assert dir(ts) == sorted(ts.__all__)
    assert "importlib" not in dir(ts)


@pytest.mark.parametrize("name", WITH_CHECKED_ARGUMENTS)
def test_a_misspelt_argument_is_answered_with_the_nearest(name):
    function = getattr(ts, name)
    last = list(inspect.signature(function).parameters)[-1]
    with pytest.raises(TypeError, match=f"{name} has no argument '{last}x'; did you mean '{last}'"):
        function(**{f"{last}x": 1})


@pytest.mark.parametrize("name", CALLABLE)
def test_help_shows_ours(name):
    text = pydoc.render_doc(getattr(ts, name), renderer=pydoc.plaintext)
    for foreign in ("__check_init__", "__subclasshook__", "__abstractvars__", "Initable"):
        assert foreign not in text


def test_a_problem_shows_itself_as_one_would_write_it():
    assert repr(PROBLEM) == (
        "Problem(\n"
        "    task=TeacherStudent(width=2),\n"
        "    student=Student(width=3),\n"
        "    rule=SGD(learning_rate=0.3),\n"
        ")"
    )
    rewritten = eval(repr(PROBLEM), {name: getattr(ts, name) for name in ts.__all__})
    assert jax.tree.all(jax.tree.map(np.array_equal, rewritten, PROBLEM))


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (ts.Student(2, (0, 1, 0.5)), "Student(width=2, activation=[0.0, 1.0, 0.5])"),
        (ts.SGD([0.1, 0.2]), "SGD(learning_rate=[0.1, 0.2])"),
        (ts.AGD(), "AGD()"),
        (
            ts.SpikedCumulant(1.5, ("skewed", 0.2)),
            "SpikedCumulant(beta=1.5, latent=('skewed', 0.2))",
        ),
        (
            ts.OrderParameters([[1, 0.5], [0.5, 1]], [[0.1], [0.25]]),
            "OrderParameters(\n"
            "    Q=[[1. , 0.5],\n"
            "       [0.5, 1. ]],\n"
            "    R=[[0.1 ],\n"
            "       [0.25]],\n"
            ")",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_parts_show_what_is_not_at_its_default(made, shown):
    assert repr(made) == shown


def test_large_arrays_are_shown_by_their_shape():
    start = ts.OrderParameters(np.eye(100), np.zeros((100, 3)))
    assert repr(start) == ("OrderParameters(Q=<array (100, 100) ...>, R=<array (100, 3) ...>)")


def test_traced_numbers_are_shown():
    texts = []
    jax.jit(lambda problem: texts.append(repr(problem)) or 0)(PROBLEM)
    assert "learning_rate=<traced array () ...>" in texts[0]


def test_notebooks_show_a_table():
    for one in (PROBLEM, ts.OrderParameters([[1.0]], [[0.1]])):
        table = one._repr_html_()
        assert table.startswith("<table>") and table.endswith("</table>")
        for name in one.shown():
            assert f"<th>{name}</th>" in table
