"""The rooms of the house: a room imports only from rooms above it, and another room enters by its door."""
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "minitf"
ROOMS = ("checks", "files", "ops", "projections", "tasks", "optim", "model", "fast", "learn", "theory",
         "bounds", "trust", "lab", "commands", "cli")
EXTRAS = {"scipy", "matplotlib", "torch", "jax", "distributed", "dask", "pytest", "hypothesis", "mpmath"}
FILES = sorted(PACKAGE.rglob("*.py"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))


def imports(path):
    """(absolute dotted name, made at module level?) of each import in a file, those inside functions included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the absolute name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("import_module", "need"):
            names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        yield from ((name, node in tree.body) for name in names)


def is_file(name):
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").exists()


def faults(path, found):
    """What is wrong with the imports of a file, as sentences."""
    home = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for target, _ in found:
        parts = target.split(".")
        if parts[0] != "minitf" or home in ("__init__", "__main__"):
            continue
        if len(parts) < 2 or parts[1] not in ROOMS:
            yield f"{target}: import from a room, not from the bare package"
        elif parts[1] == home:
            continue
        elif ROOMS.index(parts[1]) > ROOMS.index(home):
            yield f"{target}: {parts[1]} lies below {home}"
        elif len(parts) > 3 and (PACKAGE / parts[1]).is_dir() and not is_entrance(parts):
            yield f"{target}: enter {parts[1]} by its door, minitf.{parts[1]}"


def is_entrance(parts):
    """A floor of a large room has a door of its own: minitf.lab.figures, minitf.lab.bench, minitf.trust.exact."""
    return (PACKAGE.joinpath(*parts[1:3]) / "__init__.py").exists() and len(parts) == 4


@each_file
def test_a_room_imports_only_from_rooms_above_it_by_their_doors(path):
    assert not list(faults(path, imports(path)))


@each_file
def test_extras_and_scipy_are_imported_where_they_are_used(path):
    late = [target for target, top in imports(path) if top and target.split(".")[0] in EXTRAS]
    assert not late, f"{path}: imports {late} at module level"


@pytest.mark.parametrize("target", ["minitf.lab.run", "minitf.ops.kernels.pairs", "minitf.fit", "minitf.params.VERSION"])
def test_wrong_imports_are_seen(target):
    assert list(faults(PACKAGE / "model" / "tf.py", [(target, True)]))


def test_every_room_is_there():
    assert not [name for name in ROOMS if not ((PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists())]
    known = {*ROOMS, "__init__", "__main__"}
    assert {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in FILES} <= known
