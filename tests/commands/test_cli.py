"""The command line as a new user and as a hostile one meets it: every way in, and one line for bad input."""
import os
import re
import signal
import subprocess
import sys

import pytest
from shells import COMMANDS, FLAGS, ROOT, a_csv, child, one_line

from minitf import cli
from minitf.commands import learn, shell
from minitf.lab import run as runs


@pytest.fixture
def no_work(monkeypatch):
    """Make it a failure to train."""
    monkeypatch.setattr(runs, "fit", lambda *args, **options: pytest.fail("training had begun"))


# learn, bad input

BAD = [
    ("--k 65", "--k: expected at most T = 64, got 65"),
    ("--k 0", "--k: expected an integer >= 1, got 0"),
    ("--k -1", "--k: expected an integer >= 1, got -1"),
    ("--k 2.5", "'--k'.*not a valid integer"),
    ("--T 0", "--T: expected an integer >= 1, got 0"),
    ("--m 0", "--m: expected an integer >= 1, got 0"),
    ("--noise 0.5", "--noise: expected a flip rate from 0 to below 0.5, got 0.5"),
    ("--noise -0.1", "--noise: .* got -0.1"),
    ("--noise nan", "--noise: .* got nan"),
    ("--p 0", "--p: expected a probability above 0 and below 1"),
    ("--p inf", "--p: .* got inf"),
    ("--p nan", "--p: .* got nan"),
    ("--task xor", "'--task': 'xor' is not one of 'and', 'or'"),
    ("--radius 0", "--radius: expected a number > 0, got 0"),
    ("--radius -1", "--radius: "),
    ("--radius nan", "--radius: .* got nan"),
    ("--heads 0", "--heads: expected an integer >= 1, got 0"),
    ("--heads 3 --model scalar", "--heads: expected a divisor of d = 64, got 3"),
    ("--heads 1000000000", "--T: expected at most 0 with model paper and heads = 1000000000"),
    ("--steps 0 --task parity", "--steps: expected an integer >= 1, got 0"),
    ("--steps 0", "--steps: expected an integer >= 1, got 0"),
    ("--level 1", "--level: expected nothing with and, got 1"),
    ("--task threshold", "--level: expected an integer"),
    ("--task threshold --level 3", "--level: expected an integer from 1 to 2, got 3"),
    ("--table 010", "--table: expected nothing for and"),
    ("--task symmetric --table 0110", "--table: expected "),
    ("--task junta --table 010", "--table: expected "),
    ("--task symmetric --table 01x", "--table: expected labels 0 and 1 as in 0110, got '01x'"),
    ("--task symmetric --table=", "--table: expected labels 0 and 1 as in 0110, got ''"),
    ("--task symmetric --table 000", "--table: expected a rule that depends on each of its 2 variables"),
    ("--seed -1", "--seed: expected an integer >= 0, got -1"),
    ("--label crash", "--label: expected only together with --data, got 'crash'"),
    ("--holdout 0.3", "--holdout: expected only together with --data"),
    ("--redraw --noise 0.1", "--redraw: expected noise 0 and a task small enough to check, got .noise 0.1,"),
    ("--redraw --m 1", "--redraw: expected a sample of m = 1 that determines the support, got 200 ambiguous ones"),
    ("--method newton", "'--method': 'newton' is not one of"),
    ("--model bert", "'--model': 'bert' is not one of"),
    ("--T 1000000000000", "--T: expected at most 33554432 with model paper and heads = 1, got 1000000000000"),
    ("--T 1000000000000000000000000", "--T: expected an integer from 1 to 1099511627776"),
    ("--k 1000000", "--k: expected at most T = 64"),
    ("--k 1000000 --T 2000000", "--k: expected at most 20"),
    ("--k 20 --task parity", "--m: expected at most 134217728 examples of 64 bits"),
    ("--m 1000000000000", "--m: expected at most 134217728 examples of 64 bits"),
    ("--bogus", "[Nn]o such option"),
    ("word", "unexpected extra argument"),
    ("--k", "requires an argument"),
    ("--save=", "--save: expected the name of a file, got ''"),
    ("--save folder", "folder: is a directory"),
    ("--save missing/model.npz", "missing/model.npz: no such directory"),
    ("--save pipe", "pipe: not a regular file"),
    ("--save used.csv/model.npz", "used.csv"),
    ("--data missing.csv", "missing.csv: No such file or directory"),
    ("--data missing.npz", "missing.npz: No such file or directory"),
    ("--data folder", "folder: Is a directory"),
    ("--data=", "No such file or directory"),
    ("--data used.csv --T 5", "--T: expected only without --data, got 5"),
    ("--data used.csv --task and", "--task: expected only without --data"),
    ("--data used.csv --noise 0", "--noise: expected only without --data"),
    ("--data used.csv --m 10", "--m: expected only without --data"),
    ("--data used.csv --p 0.5", "--p: expected only without --data"),
    ("--data used.csv --level 1", "--level: expected only without --data"),
    ("--data used.csv --table 01", "--table: expected only without --data"),
    ("--data used.csv --no-redraw", "--redraw: expected only without --data"),
    ("--data used.csv --k 6", "--k: expected an integer from 1 to 5, the number of columns, got 6"),
    ("--data used.csv --label crash", r"--label: expected a column of used.csv \(a, b, c, d, e, y\), got 'crash'"),
    ("--data used.csv --holdout 1", "--holdout: expected a share above 0 and below 1"),
    ("--data tiny.csv", "tiny.csv: column y: expected both labels, got 0 in every row"),
    ("--positive yes", "--positive: expected only together with --data, got 'yes'"),
    ("--drop a", "--drop: expected only together with --data"),
    ("--data used.csv --drop z", r"--drop: expected columns of used.csv \(a, b, c, d, e, y\), got 'z'"),
    ("--data used.csv --positive z", r"--positive: expected a label of column y \(0, 1\), got 'z'"),
    ("--data bad.csv", "bad.csv: line 3, column b: expected 0 or 1, got 'x'"),
    ("--data bad.npz", "bad.npz: expected an .npz file"),
    ("--data used.csv --save used.csv", "--save: expected a file that the command does not use otherwise"),
    ("--data used.csv --save ./folder/../used.csv", "--save: expected a file that the command does not use otherwise"),
]


@pytest.mark.parametrize("options, message", BAD, ids=[options for options, _ in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(run, tmp_path, no_work, options, message):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    a_csv(tmp_path / "used.csv")
    a_csv(tmp_path / "tiny.csv", m=2)
    (tmp_path / "bad.csv").write_text("a,b,y\n0,1,1\n1,x,0\n")
    (tmp_path / "bad.npz").write_bytes(b"PK\3\4 no archive")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    one_line(run("learn", *options.split()), message)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_no_memory_is_one_line(run, monkeypatch):
    def plan(**options):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(learn, "plan_task", plan)
    one_line(run("learn"), "not enough memory for learn: Unable to allocate 9 TiB")


def test_a_defect_is_no_bad_input_and_no_verdict(run, monkeypatch):
    def plan(**options):
        return runs.Plan(runs.ModelConfig.paper(4), runs.TrainConfig(), lambda *callbacks: 1 / 0)

    monkeypatch.setattr(learn, "plan_task", plan)
    code, out, err = run("learn")
    assert (code, out) == (3, "") and err.startswith("Traceback (most recent call last):")
    assert err.endswith("\nError: a defect of minitf: ZeroDivisionError: division by zero\n")


# Every way in

def test_all_ways_in_behave_alike(run, tmp_path):
    ends = []
    for words in (["learn", "--k", "65"], ["--version"]):
        for command in ([sys.executable, "-m", "minitf"], [sys.executable, str(ROOT / "cli.py")]):
            env = os.environ | {"PYTHONPATH": str(ROOT)}
            end = subprocess.run([*command, *words], capture_output=True, text=True, cwd=tmp_path, env=env)
            ends.append((end.returncode, end.stdout, end.stderr) == run(*words))
    assert ends == [True] * 4


def test_main_reads_the_arguments_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["minitf", "--version"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code or 0) == 0 and capsys.readouterr().out == "minitf 0.1.0\n"
    signal.signal(signal.SIGINT, signal.default_int_handler)        # such a process has nothing left to interrupt
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_shows_an_example_and_fits_110_columns(run, words):
    code, out, err = run(*words)
    assert code == 0 and err == ""
    assert re.search(r"^  Examples?:\n    minitf \w", out, re.M)
    assert max(map(len, out.splitlines())) <= 110
    assert not any(line.endswith("...") for line in out.splitlines() if not line.startswith("Usage: "))


def test_the_examples_of_the_help_work(run, tmp_path):
    (tmp_path / "data").symlink_to(ROOT / "data")
    examples = re.findall(r"^    minitf (.+)$", run("learn", "--help")[1], re.M)
    assert len(examples) == 2
    examples += re.findall(r"^    minitf (.+)$", run("predict", "--help")[1] + run("--help")[1], re.M)
    for words in examples:
        assert run(*words.split())[0] == 0


def test_unknown_commands_are_bad_input(run):
    one_line(run("lern"), "[Nn]o such command 'lern'")
    one_line(run("--bogus"), "[Nn]o such option")


def test_learning_imports_nothing_heavy(tmp_path):
    code = """if True:
        import sys
        heavy = {"scipy", "matplotlib", "distributed", "dask", "torch", "jax"}
        import minitf.cli
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        for words in ("learn --k 2 --T 64", "learn --data %s --json"):
            try:
                minitf.cli.main(words.split())
            except SystemExit as end:
                assert not end.code, end.code
            assert not heavy & set(sys.modules), heavy & set(sys.modules)
            heavy -= {"scipy"}                  # the exact binomial tail of a rule that errs needs it
    """ % FLAGS     # noqa: UP031 (braces are Python here)
    process = child(code=code, cwd=tmp_path)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and err == "", err


def test_summaries_are_the_first_sentences_of_the_commands():
    for name, summary in cli.commands.summaries.items():
        assert cli.commands.get_command(None, name).help.partition(". ")[0].split("\n")[0].rstrip(".") + "." == summary


@pytest.mark.parametrize("words, environment, threads", [
    ("learn", {}, "1"), ("learn --threads 3", {}, "3"), ("learn --threads=3", {"OMP_NUM_THREADS": "5"}, "3"),
    ("learn", {"OMP_NUM_THREADS": "5"}, None), ("bench", {}, None)])
def test_one_blas_thread_unless_asked(monkeypatch, words, environment, threads):
    for name in shell.THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with monkeypatch.context() as patch:
        patch.setattr(shell, "sys", type("", (), {"modules": {}}))
        shell.choose_threads(words.split())
        found = {name: os.environ.get(name) for name in shell.THREADS}
    for name in shell.THREADS:
        monkeypatch.setenv(name, "1")           # restored to what was there at the end of the test
    assert found == (dict.fromkeys(shell.THREADS, threads) if threads
                     else {name: before.get(name) for name in shell.THREADS})


def test_help_needs_no_numpy(tmp_path):
    code = """if True:
        import sys, minitf.cli
        try:
            minitf.cli.main(["--help"])
        except SystemExit:
            print(sorted({"numpy", "scipy", "minitf.learn"} & set(sys.modules)))
    """
    process = child(code=code, cwd=tmp_path)
    assert process.communicate(timeout=30)[0].endswith("\n[]\n")
