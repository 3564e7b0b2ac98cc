"""The budgets of the house, counted in tokens so that packing lines does not pay; printed by pytest -s."""
import ast
import subprocess
import sys
import tokenize

import pytest
from helpers import ROOT

PACKAGE = ROOT / "minitf"
CORE = {"ops", "projections", "tasks", "optim", "model"}
SKIPPED = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.COMMENT,
           tokenize.ENCODING}
FILES = sorted(PACKAGE.rglob("*.py"))
WHOLE, REPRODUCE, A_CORE, A_LINE = 182_700, 12_000, 34_900, 11.5


def tokens(path):
    """How many tokens (names, operators, numbers, strings) a file has, and on how many lines one starts."""
    with open(path, "rb") as file:
        found = [token for token in tokenize.tokenize(file.readline) if token.type not in SKIPPED]
    return len(found), len({token.start[0] for token in found})


def room_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "lab/reproduce" if parts[:2] == ("lab", "reproduce") else parts[0]


@pytest.fixture(scope="module")
def rooms():
    """{room: (tokens, lines)}."""
    total = {}
    for path in FILES:
        more, (count, lines) = tokens(path), total.get(room_of(path), (0, 0))
        total[room_of(path)] = count + more[0], lines + more[1]
    return total


def test_the_package_and_its_core_stay_within_their_tokens(rooms):
    for room, (count, lines) in sorted(rooms.items()):
        print(f"{room:14} {count:7,} tokens {lines:6,} lines {count / lines:5.1f} a line")
    whole = sum(count for room, (count, _) in rooms.items() if room != "lab/reproduce")
    core, lines = (sum(rooms[room][i] for room in CORE) for i in (0, 1))
    print(f"{'whole':14} {whole:7,} of {WHOLE:,}\n{'core':14} {core:7,} of {A_CORE:,}, {core / lines:.1f} a line")
    assert whole <= WHOLE and rooms.get("lab/reproduce", (0, 0))[0] <= REPRODUCE
    assert core <= A_CORE and core / lines <= A_LINE


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short_and_lines_narrow(path):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    most = 125 if path == PACKAGE / "ops" / "attention.py" else 130 if "reproduce" in path.parts else 250
    assert len(lines) <= most, f"{len(lines)} lines, at most {most}"
    assert not [f"{i}: {len(line)}" for i, line in enumerate(lines, 1) if len(line) > 100]
    tree = ast.parse(text)
    documented = [node for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    docs = {id(node.body[0].value) for node in documented if ast.get_docstring(node) is not None}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            assert len(node.value) <= 210, f"line {node.lineno}: a text of {len(node.value)} characters"
    sizes = {node.name: node.end_lineno - node.lineno + 1 - doc_lines(node) for node in documented
             if isinstance(node, ast.FunctionDef)}
    assert not {name: size for name, size in sizes.items() if size > 30}


def doc_lines(function):
    doc = ast.get_docstring(function, clean=False)
    return 0 if doc is None else doc.count("\n") + 1


def test_no_test_file_is_longer_than_400_lines():
    long = {path.name: n for path in (ROOT / "tests").rglob("*.py") if (n := len(path.read_text().splitlines())) > 400}
    assert not long


def test_the_readme_of_the_top_is_two_screens():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 140


def test_importing_minitf_costs_at_most_twice_numpy():
    """Names load at first use, so NumPy alone is the measure; both as whole imports, the best of five."""
    code = "import time; t = time.perf_counter(); import {0}; print(time.perf_counter() - t)"

    def seconds(name):
        command = [sys.executable, "-c", code.format(name)]
        return min(float(subprocess.run(command, capture_output=True, cwd=ROOT, check=True).stdout) for _ in range(5))

    assert seconds("minitf") <= 2 * seconds("numpy")
