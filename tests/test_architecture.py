"""Who may import whom: teacherstudent <- odes, teacherstudent <- sims; only the outer ring knows
all three.
"""

import subprocess
import sys

import pytest

import teacherstudent
from tests.imports import (
    ROOT,
    all_imports,
    cycles,
    folded,
    graph,
    imports,
    modules,
    sub_package,
    underscore_names,
)

OUTER = {"teacherstudent", "teacherstudent.__main__"}
OUTER_FOLDERS = ("teacherstudent.command.", "teacherstudent.explorer.", "teacherstudent.sweeps.")
ALLOWED = {
    "teacherstudent": {"teacherstudent"},
    "odes": {"odes", "teacherstudent"},
    "sims": {"sims", "teacherstudent"},
}
INSIDE = [name for name in modules() if name not in OUTER and not name.startswith(OUTER_FOLDERS)]


def test_there_is_something_to_check():
    assert len(INSIDE) > 100
    assert len(all_imports()) > 500


@pytest.mark.parametrize("module", INSIDE)
def test_imports_follow_the_arrows(module):
    """Those in functions and by strings as well."""
    allowed = ALLOWED[module.split(".")[0]]
    for one in imports(module):
        assert one.target.split(".")[0] in allowed, f"{module}:{one.line} imports {one.target}"


def test_strings_count_as_imports():
    assert "sims.weights.kernel" in {one.target for one in imports("sims.weights.training")}
    assert "odes.integrate" in {one.target for one in imports("teacherstudent")}


def test_no_modules_import_each_other_in_a_circle():
    """Imports in functions included, but for the lazy names of the package itself."""
    edges = graph(late=True)
    edges["teacherstudent"] = set()
    assert cycles(edges) == []


def test_no_two_sub_packages_import_each_other():
    """The package's own folder has the modules that all rooms share, and the lazy names."""
    between = folded(graph(late=True), sub_package)
    both_ways = {
        frozenset((source, target))
        for source, targets in between.items()
        for target in targets
        if source in between[target] and "teacherstudent" not in (source, target)
    }
    # An activation brings its closed forms, and averages know the contract of an activation.
    assert both_ways <= {frozenset(("teacherstudent.activations", "teacherstudent.averages"))}


def test_nobody_takes_the_underscore_names_of_another_module():
    assert list(underscore_names(modules().values())) == []


def test_import_is_lazy():
    heavy = {"jax", "diffrax", "equinox", "matplotlib", "numpy", "xarray"}
    code = f"import sys, teacherstudent; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_command_line_says_what_it_can_without_numerics():
    """`--help` takes a fifth of a second, most of it for typer."""
    heavy = {"jax", "diffrax", "equinox", "matplotlib", "numpy", "xarray"}
    code = f"import sys, teacherstudent.command.cli; print(sorted({heavy} & set(sys.modules)))"
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


def test_no_public_name_is_that_of_a_module():
    # Importing teacherstudent/NAME.py sets the attribute NAME of the package to the module,
    # whatever the lazy name means.
    files = {path.stem for path in (ROOT / "teacherstudent").iterdir()}
    assert not files & set(teacherstudent.__all__)
