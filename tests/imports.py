"""The import graph of our packages, from their source text.

An import in a function, or by a string such as import_module("odes.integrate"), is *late*: it does
not happen when the module that contains it is imported.

`python -m tests.imports` prints a summary.
"""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGES = ("teacherstudent", "odes", "sims")
MODULE_PATH = re.compile(rf"({'|'.join(PACKAGES)})(\.[A-Za-z_]\w*)+")


class Import(NamedTuple):
    """That `source` imports `target`; `name` is what it takes from there, if not the module."""

    source: str
    target: str
    name: str
    late: bool
    line: int


def module_name(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)


@cache
def modules() -> dict[str, Path]:
    """All modules of our packages by name."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return {module_name(file): file for file in files}


@cache
def imports(module: str) -> tuple[Import, ...]:
    """What a module imports of our packages."""
    tree = ast.parse(modules()[module].read_text())
    return tuple(_imports_in(tree, module, late=False))


def _imports_in(node: ast.AST, module: str, late: bool):
    """The imports in one node of the syntax tree and below it."""
    if isinstance(node, ast.If) and _is_for_type_checkers(node.test):
        return
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] in PACKAGES:
                yield Import(module, alias.name, "", late, node.lineno)
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            if submodule in modules():
                yield Import(module, submodule, "", late, node.lineno)
            else:
                yield Import(module, node.module, alias.name, late, node.lineno)
    if isinstance(node, ast.Constant) and MODULE_PATH.fullmatch(str(node.value)):
        yield from _by_string(node, module)
    inside_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _imports_in(child, module, late or inside_function)


def _by_string(node: ast.Constant, module: str):
    """The import that a string like "odes.integrate" is for: of that module, or of a name in it."""
    parent, _, name = node.value.rpartition(".")
    if node.value in modules():
        yield Import(module, node.value, "", True, node.lineno)
    elif parent in modules():
        yield Import(module, parent, name, True, node.lineno)


def _is_for_type_checkers(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def all_imports() -> list[Import]:
    """All imports between our modules."""
    return [one for module in modules() for one in imports(module)]


def graph(late: bool) -> dict[str, set[str]]:
    """For each module those it imports; the late imports too, if `late`."""
    edges: dict[str, set[str]] = {module: set() for module in modules()}
    for one in all_imports():
        if one.source != one.target and (late or not one.late):
            edges[one.source].add(one.target)
    return edges


def sub_package(module: str) -> str:
    """The folder of a module: `odes.rules` for `odes.rules.sgd`."""
    if modules()[module].name == "__init__.py":
        return module
    return module.rpartition(".")[0]


def folded(edges: dict[str, set[str]], group) -> dict[str, set[str]]:
    """The graph between groups of modules."""
    between: dict[str, set[str]] = {}
    for source, targets in edges.items():
        between.setdefault(group(source), set())
        for target in targets:
            if group(source) != group(target):
                between[group(source)].add(group(target))
    return between


def cycles(edges: dict[str, set[str]]) -> list[set[str]]:
    """The largest sets of nodes that all reach each other."""
    reached = {node: _reached_from(node, edges) for node in edges}
    found: list[set[str]] = []
    for node in edges:
        circle = {other for other in reached[node] if node in reached[other]}
        if len(circle) > 1 and circle not in found:
            found.append(circle)
    return found


def _reached_from(node: str, edges: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [node]
    while waiting:
        for target in edges.get(waiting.pop(), ()):
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    return reached


def underscore_names(paths) -> list[tuple[str, str]]:
    """File and name, where a file takes an underscore name out of a module of ours."""
    found = []
    for path in paths:
        tree = ast.parse(path.read_text())
        file = str(path.relative_to(ROOT))
        of_ours = set()  # names that stand for modules of ours in this file
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] in PACKAGES:
                        of_ours.add(alias.asname or alias.name.split(".")[0])
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
                for alias in node.names:
                    if is_private(alias.name):
                        found.append((file, f"{node.module}.{alias.name}"))
                    if f"{node.module}.{alias.name}" in modules():
                        of_ours.add(alias.asname or alias.name)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            if is_private(node.attr) and node.value.id in of_ours:
                found.append((file, f"{node.value.id}.{node.attr}"))
    return found


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


def summary() -> str:
    """The graph in numbers, and what runs in circles."""
    at_once, all_edges = graph(late=False), graph(late=True)
    sub_packages = folded(at_once, sub_package)
    lines = [
        f"modules: {len(at_once)}",
        f"imports at once: {sum(map(len, at_once.values()))}",
        f"late imports: {sum(map(len, all_edges.values())) - sum(map(len, at_once.values()))}",
    ]
    between = Counter()
    for source, targets in all_edges.items():
        for target in targets:
            between[source.split(".")[0], target.split(".")[0]] += 1
    for (source, target), count in sorted(between.items()):
        lines.append(f"  {source} -> {target}: {count}")
    lines.append(f"sub-packages: {len(sub_packages)}")
    lines.append(f"edges between sub-packages: {sum(map(len, sub_packages.values()))}")
    for source, targets in sorted(sub_packages.items()):
        back = sorted(target for target in targets if source in sub_packages[target])
        if back:
            lines.append(f"  both ways: {source} <-> {', '.join(back)}")
    for name, edges in (("at once", at_once), ("with late imports", all_edges)):
        circles = cycles(edges)
        lines.append(f"cycles of modules, {name}: {len(circles)}")
        lines += [f"  {', '.join(sorted(circle))}" for circle in circles]
    return "\n".join(lines)


if __name__ == "__main__":
    print(summary())
