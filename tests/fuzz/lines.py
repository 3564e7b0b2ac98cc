"""Command lines drawn from click's own parameters, and what may never be wrong at their end.

A new command or option is drawn from without a word here: its type says what to try. Each line starts from a cheap one of
its command, has one to three options changed, and is stopped by Ctrl-C after a little processor time.
"""
import contextlib
import importlib
import io
import json
import os
import random
import re
import signal
import sys
import warnings

import numpy as np
from shells import a_csv
from sweeps import Here, invent

from minitf import ModelConfig, fit
from minitf.commands import commands
from minitf.files import harmless, stop

LONGEST = 300
LATE = ("matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.backends.backend_pdf",
        "scipy.stats", "scipy.optimize", "scipy.special", "minitf.lab.figures.single", "minitf.lab.figures.sweep", "minitf.trust.explain",
        "minitf.trust.kernels", "minitf.trust.reference", "minitf.lab.bench")
CHEAP = {               # a line of each command that takes milliseconds; of others the bare name
    "bench": ["--seconds", "0.001", "--sizes", "2x2", "--against", "torch"], "bound": ["--T", "16,64"], "check": ["torch"],
    "construct": ["--T", "8", "--k", "1"], "learn": ["--T", "6", "--k", "1", "--m", "12", "--steps", "3"], "plot": ["runs.jsonl"],
    "predict": ["model.npz", "--data", "data.csv"], "reproduce": [],
    "sweep": ["--T", "6", "--m", "8", "--k", "1", "--reps", "1", "--method", "screening", "--out", "new.jsonl"]}
NUMBERS = ["0", "1", "2", "3", "-1", "64", "100000000000", "1" + "0" * 400, "9" * 5000, "", "nan", "inf", "-inf", "1e400", "1e-320",
           "0.5", "2.0", "x", "٣", " 2", "0x10", "1_0", "--", "-"]
LISTS = ["2", "2,3", "2,2", ",", "2,,3", "2,x", "auto", "2x2", "2x2,3x3", "0x0", "axb", "6.5x4", "1e9x1", "nanx2", "B_q=2", "B_q=nan",
         "B_q=2,B_q=3", "=", "torch", "torch,jax", "and," * 200] + NUMBERS
FILES = ["data.csv", "evil.csv", "text.csv", "empty.csv", "data.npz", "twice.npz", "model.npz", "evil.npz", "runs.jsonl", "evil.jsonl",
         "folder", ".", "", "-", "/dev/zero", "/dev/null", "none.csv", "no/where.npz", "x" * 300, "a\udcff.csv"]
NEW = ["new.npz", "new.png", "new.svg", "new.csv", "new.jsonl", "new.html", "new\udcff.pdf", "new\x1b[31m.npz", "new"]
WORDS = ["y", "a", "a,b", "nothing", "0110", "01", "=1+1", "\x1b[31m", "$x^{$", ";", "\\t", "\t", "\udcff", "ü", "dS", "dS0",
         "minitf.ops:attention", "os:getcwd", "none.module:f", "127.0.0.1:1", "causal,bias"] + NUMBERS[:8]


def values_of(param, rng):
    """A value to try for a parameter, good or bad."""
    kind, pools = param.type.name, {"integer": NUMBERS, "integer range": NUMBERS, "float": NUMBERS, "path": FILES + 2 * NEW}
    if kind == "choice":
        return rng.choice([*param.type.choices, *param.type.choices, *WORDS[:12]])
    return rng.choice(pools.get(kind, LISTS if kind != "text" else WORDS + FILES[:6] + NEW))


def line(rng):
    """A command line."""
    name = rng.choice([*commands.summaries, *commands.summaries, rng.choice(["", "lern", "--version", "-h", "--bogus"])])
    words = [name, *CHEAP.get(name, [])] if name else []
    params = [param for param in getattr(commands.get_command(None, name), "params", [])]
    for param in rng.sample(params, min(len(params), rng.choice([0, 1, 1, 1, 2, 2, 3]))):
        if param.param_type_name == "argument":
            words.insert(min(1, len(words)), values_of(param, rng))
        elif getattr(param, "is_flag", False):
            words.append(rng.choice([*param.opts, *param.secondary_opts]))
        else:
            words += [rng.choice(param.opts), values_of(param, rng)]
    if rng.random() < 0.05:
        words.insert(rng.randrange(len(words) + 1), rng.choice(WORDS))
    return [word.replace("\0", "") for word in words]


def files_of(folder):
    """The files that the lines read."""
    a_csv(folder / "data.csv", m=24)
    text = (folder / "data.csv").read_text()
    (folder / "evil.csv").write_bytes(text.replace("a,b,c,d,e", "\x1b[31ma,=b(),$x^{$,\u202ed,e").encode())
    (folder / "a\udcff.csv").write_text(text)
    (folder / "text.csv").write_text(text.replace("\n0", "\n\x1b]0;x\x07", 1))
    (folder / "empty.csv").touch()
    X = np.random.default_rng(0).integers(0, 2, (24, 6), np.uint8)
    np.savez(folder / "data.npz", X=X, y=X[:, 0])
    (folder / "twice.npz").write_bytes((folder / "data.npz").read_bytes()[:-30])
    fit(X, X[:, 0], ModelConfig.paper(6, 1)).save(folder / "model.npz", names=list("abcdey"))
    (folder / "evil.npz").write_bytes((folder / "model.npz").read_bytes().replace(b"L\x00\x00\x00\"\x00\x00\x00:", b"M\x00\x00\x00\"\x00\x00\x00:"))
    invent(folder / "runs.jsonl", T=(16, 64), m=(10, 12), reps=2)
    (folder / "evil.jsonl").write_text((folder / "runs.jsonl").read_text().replace('"seconds": 0.1', '"seconds": NaN', 1))
    (folder / "folder").mkdir()


def state(folder):
    """{name: content} of the files of a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Bench:
    """The lines run in this process, in a folder, on a strict stdout; workers are here, warnings are faults."""

    def __init__(self, folder, seconds, patch):
        self.folder, self.seconds, self.stopped = folder, seconds, 0
        for name in LATE:                       # an import that is cut short cannot be made again
            importlib.import_module(name)
        entries = importlib.import_module("minitf.lab.reproduce")
        assert [entries.page_of(name) for name in entries.NAMES] and [*map(commands.get_command, [None] * 99, commands.summaries)]
        files_of(folder)
        self.before = state(folder)
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        patch.setattr("minitf.lab.workers.Processes", lambda *args: Here())
        patch.setattr("minitf.lab.bench.measure.run", self.no_child)
        patch.setattr("minitf.files.os._exit", self.interrupt)

    @staticmethod
    def no_child(*args, **options):
        raise RuntimeError("measured elsewhere")

    @staticmethod
    def interrupt(*args):
        raise KeyboardInterrupt

    def alarm(self, *args):
        self.stopped += 1
        stop(signal.SIGINT, None)

    def end(self, words):
        """(exit code, stdout, stderr) of a line; what it wrote is still there."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path not in self.before:
                path.unlink()
        for path, data in self.before.items():
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
        stdin = type("", (), {"buffer": io.BytesIO(b"a,y\n0,1\n1,0\n"), "read": lambda self: "1 2"})()
        old, code = (sys.stdin, signal.signal(signal.SIGVTALRM, self.alarm)), None
        signal.setitimer(signal.ITIMER_VIRTUAL, self.seconds)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
                warnings.simplefilter("error")
                sys.stdin = stdin
                commands_main(words)
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:          # the alarm struck outside of the command
            code = "interrupted" if isinstance(error, KeyboardInterrupt) else repr(error)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            sys.stdin, _ = old[0], signal.signal(signal.SIGVTALRM, old[1])
        for stream in (out, err):
            stream.flush()
        return code, *(stream.buffer.getvalue().decode("utf-8", "surrogateescape") for stream in (out, err))


def commands_main(words):
    from minitf import cli

    cli.main(words)


def faults(words, end, before, after):
    """What is wrong at the end of a line, as sentences: before, after: the files."""
    code, out, err = end
    new = {path.name for path in after.keys() - before.keys()}
    changed = {path.name for path in before if after.get(path) != before[path]}
    errors = err.replace("\r", "\n").splitlines()
    if code not in (0, 1, 2, 130, "interrupted"):
        yield f"exit code {code}"
    if "Traceback" in err + out:
        yield "a traceback"
    yield from (f"a message of {len(text)} letters" for text in errors if len(text) > LONGEST)
    if re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x9b\u202e]", out + err):
        yield "a control character"
    if any(name.endswith(".part") for name in new):
        yield "a temporary file is left"
    if code == 2:
        if not (errors and errors[-1].startswith("Error: ") and len(errors[-1]) > 12):
            yield "exit code 2 without an error"
        if out.startswith("{") or (new | changed) - {"new.jsonl", "new", *NEW}:
            yield f"exit code 2 with output or files {new | changed}"
    if code in (0, 1):
        yield from claims(words, out, err, after)
    if code == 130:
        said = errors[-1] if errors else ""
        if not said.startswith("interrupted: "):
            yield "exit code 130 without a word"
        elif words[0] != "sweep" and ("nothing was written" in said) != (not new | changed):
            yield f"said {said!r} of {new | changed}"
    if code != 130 and changed - {name for name in changed if name in words}:
        yield f"files changed that were not named: {changed}"


def claims(words, out, err, after):
    """What a success says and is not so."""
    there = {os.path.basename(str(path)) for path, data in after.items() if data}
    if "Error" in err or not out.strip():
        yield "a success with an error, or without a word"
    for name in re.findall(r"^Written +(.+)$", out, re.M):
        if name not in [*there, *map(harmless, there)]:
            yield f"claimed and missing: {name}"
    if "--json" in words and "--html" not in words and "-h" not in words and "--version" not in words:
        try:
            json.loads(out, parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError):
            yield "no strict JSON"
    outputs = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("--save", "--plot", "--csv", "--junit", "--html", "-o", "--out")]
    for name in outputs[-1:]:
        if name and os.path.basename(name) not in there:
            yield f"asked for and missing: {name}"


def drawn(seed, n):
    """So many lines."""
    rng = random.Random(seed)
    return [line(rng) for _ in range(n)]
