"""Who may import whom: teacherstudent <- odes, teacherstudent <- sims; only the outer ring knows
all three.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import teacherstudent

ROOT = Path(__file__).parent.parent
OUTER = {
    "teacherstudent/__init__.py",
    "teacherstudent/__main__.py",
    "teacherstudent/command/cli.py",
}
ALLOWED = {
    "teacherstudent": {"teacherstudent"},
    "odes": {"odes", "teacherstudent"},
    "sims": {"sims", "teacherstudent"},
}
FILES = [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def test_there_is_something_to_check():
    assert len(FILES) > 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    name = str(path.relative_to(ROOT))
    ours = imported(path) & set(ALLOWED)
    assert name in OUTER or ours <= ALLOWED[name.split("/")[0]]


def test_import_is_lazy():
    code = (
        "import sys, teacherstudent; print(sorted({'jax', 'diffrax', 'matplotlib', 'xarray'} & "
        "set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["odes", "sims"])
def test_a_strangers_package_in_the_way_is_named(name, tmp_path):
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    verb = {"odes": "integrate", "sims": "simulate"}[name]
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import teacherstudent as ts; ts.{verb}"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert f"needs its own package '{name}', but Python finds {tmp_path / name}.py" in run.stderr


def test_all_public_names_resolve_and_are_documented():
    import teacherstudent as ts

    for name in ts.__all__:
        assert getattr(ts, name).__doc__ if name != "__version__" else ts.__version__
    with pytest.raises(AttributeError, match="no attribute 'intergate'"):
        ts.intergate  # noqa: B018


def test_no_public_name_is_that_of_a_module():
    # importing teacherstudent/NAME.py sets the attribute NAME of the package to the module,
    # whatever the lazy name means
    modules = {path.stem for path in (ROOT / "teacherstudent").iterdir()}
    assert not modules & set(teacherstudent._NAMES)
