"""The types of the public names: true to the code, and strict enough to refuse a misspelt option."""
import os
import subprocess
import sys

import pytest
from helpers import ROOT

import minitf

pytest.importorskip("mypy")
GOOD = '''
import numpy as np
from minitf import Ball, ModelConfig, attention, fit, sample_task

q = np.zeros((4, 8))
out, pullback = attention(q, q, q, causal="top-left")
dq, dk, dv = pullback(out)
p = Ball("l21", 1.0).project(q)
task = sample_task(np.random.default_rng(0), "and", 8, 2)
X, y = task.sample(np.random.default_rng(1), 50)
support: tuple[int, ...] = fit(X, y, ModelConfig.paper(8, 2)).support(2)
'''


def python(*words, **options):
    env = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env, **options)


WRONG = {"causal": ('causal="top-left"', 'causal="topleft"'), "ball": ('Ball("l21", 1.0)', 'Ball("l3", 1.0)'),
         "task": ('"and", 8, 2', '"nand", 8, 2'), "method": ("support(2)", "suport(2)")}


@pytest.mark.slow
def test_a_users_file_is_accepted_and_a_misspelt_option_refused(tmp_path):
    """mypy --strict, asked once: it reads NumPy first."""
    for name, change in {"good": ("", ""), **WRONG}.items():
        (tmp_path / f"{name}.py").write_text(GOOD.replace(*change))
    done = python("-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), ".", cwd=tmp_path)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [name for name in WRONG if sum(line.startswith(f"{name}.py:") for line in errors) == 0] == [], done.stdout
    assert all(line.split(".py:")[0] in WRONG for line in errors), done.stdout


@pytest.mark.slow
def test_the_stub_is_what_the_code_has_and_annotations_do_not_lie(tmp_path):
    """stubtest reads every module; of those without a stub it can tell a default that its annotation forbids."""
    done = python("-m", "mypy.stubtest", "minitf", "--ignore-missing-stub", "--concise", "--mypy-config-file",
                  str(ROOT / "pyproject.toml"), cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if line.startswith("minitf.")]
    assert lines or done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in lines if "incompatible with stub parameter type minitf." not in line]    # by its public name
    wrong = [line for line in lines if line.split(" ")[0].split(".")[1] in minitf.__all__]
    lies = [line for line in lines if "incompatible with stub parameter type" in line]
    assert not wrong + lies, "\n".join(wrong + lies)


def test_every_public_name_has_its_types():
    stub = (ROOT / "minitf" / "__init__.pyi").read_text(encoding="utf-8")
    missing = [name for name in minitf.__all__ if f"def {name}(" not in stub and f"class {name}" not in stub
               and f"{name}: " not in stub]
    assert not missing
