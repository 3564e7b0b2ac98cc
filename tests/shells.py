"""What the tests of commands share: child processes, strict JSON, one line for bad input, a table."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from minitf import cli

ROOT = Path(__file__).resolve().parents[1]
FLAGS = str(ROOT / "data" / "examples" / "feature_flags.csv")
COMMANDS = sorted(cli.commands.summaries)


def child(*words, code=None, **options):
    """Start a child process: python -m minitf WORDS, or python -c CODE."""
    command = ["-c", code] if code else ["-m", "minitf", *words]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, *command], text=True, env=env, **pipes)


def strictly(text):
    """The one JSON object that text is, without Infinity and NaN."""
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")
    assert text.count("\n") == 1 and text.endswith("\n")
    return json.loads(text, parse_constant=refuse)


def one_line(end, message):
    """Bad input: exit code 2, nothing on stdout, one line on stderr."""
    code, out, err = end
    assert (code, out) == (2, "")
    assert re.fullmatch(r"Error: [^\n]+\n", err) and re.search(message, err), err


def a_csv(path, m=60, names="abcde", seed=0, label="y"):
    """Write a table whose label is b AND d, and return its path."""
    X = np.random.default_rng(seed).integers(0, 2, (m, len(names)))
    y = X[:, list(names).index("b")] & X[:, list(names).index("d")]
    lines = [",".join([*names, label]), *(",".join(map(str, [*row, bit])) for row, bit in zip(X, y))]
    path.write_text("\n".join(lines) + "\n")
    return str(path)
