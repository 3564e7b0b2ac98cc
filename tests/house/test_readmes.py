"""Every README is true: its Python runs, its commands run or, where it says how many minutes they take, parse."""
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys

import click
import pytest
from helpers import ROOT

import minitf
from minitf.cli import commands

READMES = sorted(path for path in ROOT.rglob("README.md")
                 if not any(part[0] == "." or part in ("build", "dist") for part in path.relative_to(ROOT).parts))
NEEDS = ("torch", "jax", "cvxpy", "ml_dtypes", "onnx", "sklearn", "pandas", "autograd", "optax")
LONG = re.compile(r"#.*\b(minutes?|hours?)\b")
SLOW = re.compile(r"#.*\b(seconds?|slow)\b")


def name_of(path):
    return str(path.relative_to(ROOT))


def pages():
    """The Python of every README, a page at a time: its blocks share their names as a reader's session does."""
    for path in READMES:
        blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.S | re.M)
        if blocks:
            yield pytest.param(path, blocks, id=name_of(path))


def lines():
    """Every `python cli.py ...` of every README; those of rooms are slow tests."""
    for path in READMES:
        for line in re.findall(r"^ *(?:\$ )?python cli\.py (.*)$", path.read_text(encoding="utf-8"), flags=re.M):
            yield pytest.param(path, line, id=f"{name_of(path)}: {line[:60]}",
                               marks=[pytest.mark.slow] if (path.parent != ROOT or SLOW.search(line)) and not LONG.search(line) else [])


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder in which the data of the project lie where READMEs say."""
    shutil.copytree(ROOT / "data", tmp_path / "data")
    shutil.copy(ROOT / "cli.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("path, blocks", list(pages()))
def test_python_runs(path, blocks, desk):
    names = {"__name__": "__readme__"}
    for code in blocks:
        wanted = [name for name in NEEDS if re.search(rf"^\s*(import|from) {name}\b", code, flags=re.M)]
        if all(importlib.util.find_spec(name) for name in wanted):
            exec(compile(code, name_of(path), "exec"), names)


@pytest.mark.parametrize("path, line", list(lines()))
def test_commands_run(path, line, desk):
    words = shlex.split(line, comments=True)
    words = words[:next((i for i, word in enumerate(words) if word in ("|", ">", "&&", "<")), len(words))]
    words = [word.strip("[]") for word in words]
    command = commands.commands[words[0]]
    if LONG.search(line) or "..." in words or path.parent.name == "results":     # those take hours
        assert command.make_context(words[0], [word for word in words[1:] if word != "..."]) is not None
        return
    needs = [name for name in ("torch", "jax") if name in words[1:] or f"--against {name}" in line]
    if not all(importlib.util.find_spec(name) for name in needs):
        pytest.skip(f"needs {needs}")
    prepare(path, line, desk)
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "cli.py", *words], cwd=desk, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    if "--json" in words:
        json.loads(done.stdout)


def prepare(path, line, desk):
    """Run what stands above a line in its README and writes a file that the line reads."""
    above = path.read_text(encoding="utf-8").split(line)[0]
    for earlier in re.findall(r"^ *python cli\.py (.*(?:--save|--out) \S+.*)$", above, flags=re.M):
        written = re.search(r"(?:--save|--out) (\S+)", earlier)[1]
        if written in line and not (desk / written).exists() and not LONG.search(earlier):
            subprocess.run([sys.executable, "cli.py", *shlex.split(earlier, comments=True)], cwd=desk, check=True,
                           env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True)


def test_links_lead_somewhere():
    for path in READMES:
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
            assert re.match(r"https?:|mailto:", target) or (path.parent / target).exists(), f"{path}: {target}"


def test_every_public_name_exists():
    assert all(hasattr(minitf, name) for name in minitf.__all__)
    assert isinstance(commands, click.Group)


def test_the_report_is_shown_as_it_is():
    """Up to what varies with the machine: seconds, rounding, and so the attention of the last steps."""
    from minitf.commands.report import report
    from minitf.lab import plan_task
    vary = re.compile(r"\d+\.\d+|#+|\S+ on, \d+")
    assert vary.sub("#", report(plan_task().run()[1])) in vary.sub("#", (ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_bibliography_is_the_same_in_both_places():
    assert minitf.__bibtex__.strip() in (ROOT / "README.md").read_text(encoding="utf-8")
