"""The architecture, enforced: a core module imports only from strictly lower levels, and the annexes stay annexes."""
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "minitf"
LEVEL = {
    "checks": 0,
    "params": 1, "norms": 1, "tasks": 1, "packed": 1,
    "thresholds": 2, "identify": 2, "covering": 2, "codes": 2,
    "projections": 3, "ops": 3, "optim": 3, "budgets": 3, "generalisation": 3,
    "losses": 4, "attention": 4, "classes": 4, "yardsticks": 4,
    "bits": 5, "blocked": 5, "config": 5, "bounds": 5,
    "arrays": 6, "scalar": 6,
    "layers": 7,
    "heads": 8, "network": 8,
    "model": 9,
    "bounded": 10, "families": 10, "result": 10,
    "capacity": 11, "construct": 11, "train": 11,
}
ANNEXES = {"trust": {"core", "trust"}, "lab": {"core", "trust", "lab"},
           "commands": {"core", "trust", "lab", "commands"}}
SHELL = {"cli", "__main__", "__init__"}
EXTRAS = {"scipy", "matplotlib", "torch", "jax", "distributed", "dask", "pytest", "hypothesis", "mpmath"}


def imports(path):
    """(absolute dotted name, made at module level?) of each import in a file, those inside functions included."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the absolute name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from ((name, node in tree.body) for name in names)


def place(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ("core", parts[0]) if len(parts) == 1 else (parts[0], parts[1])


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    home, name = place(path)
    assert home in ANNEXES or name in LEVEL or name in SHELL, f"{path}: give {name} a level"
    for target, _ in imports(path):
        parts = target.split(".")
        if parts[0] != "minitf" or (home == "core" and name in SHELL):
            continue
        if parts[1:] == ["__version__"]:
            continue
        assert len(parts) > 1, f"{path}: imports the bare package"
        other = parts[1] if parts[1] in ANNEXES else "core"
        if home == "core":
            assert other == "core", f"{path}: the core imports the annex {other}"
            assert LEVEL[parts[1]] < LEVEL[name], f"{path}: imports {target}, not on a lower level"
        else:
            assert other in ANNEXES[home], f"{path}: {home} imports {other}"
            assert parts[1] not in SHELL, f"{path}: imports {target}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_extras_and_scipy_are_imported_where_they_are_used(path):
    late = [target for target, top in imports(path) if top and target.split(".")[0] in EXTRAS]
    assert not late, f"{path}: imports {late} at module level"


def test_every_level_has_its_module():
    missing = [name for name in LEVEL if not (PACKAGE / f"{name}.py").exists()]
    assert not missing
