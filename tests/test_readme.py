"""The README is true: its Python runs, its commands parse, its keys and its map are complete."""
import re
import shlex
from pathlib import Path

import click
import pytest

import minitf
from minitf.cli import commands
from minitf.lab.datasets import read_table
from minitf.lab.run import plan_table, plan_task

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", README, flags=re.S):
        exec(compile(code, "README.md", "exec"), names)
    assert names["it"].residual < 1e-10 and names["paper"].contains(names["it"].params["W"])
    assert names["result"].support(3) == names["task"].support
    assert minitf.load("majority.npz").support(3) == names["task"].support


@pytest.mark.parametrize("line", re.findall(r"^    python cli\.py (.*)$", README, flags=re.M))
def test_commands_parse(line):
    name, *options = shlex.split(line)
    command = commands.commands[name]
    assert command.make_context(name, options) is not None


def test_json_keys_are_documented():
    section = README[README.index("The keys of `--json`"):README.index("## What it reaches")]
    documented = set(re.findall(r"`(\w+)`", section))
    drawn = plan_task(k=1, T=4, m=8).run()[1]
    table = plan_table(read_table(ROOT / "data/examples/feature_flags.csv", "crash")).run()[1]
    assert set(drawn) | set(table) == documented


def test_report_is_shown_as_it_is():
    from minitf.commands.report import report
    record = plan_task().run()[1]
    strip = re.compile(r"\d+\.\d+|#+|\S+ on, \d+")      # vary with the machine's time and rounding
    assert strip.sub("#", report(record)) in strip.sub("#", README)


def test_every_public_name_exists():
    assert all(hasattr(minitf, name) for name in minitf.__all__)
    assert isinstance(commands, click.Group)
