"""learn on a drawn task: reports, JSON, figures."""
import re
import sys

import pytest
from shells import FLAGS, one_line, strictly

from minitf.lab import run as runs
from minitf.lab.run import RECORD

# learn, a drawn task

REPORT = r"""Task       AND of 2 of 64 bits; always guessing the commoner label is right 50\.0% of the time
Sample     m = 65 examples, one support alone explains them; log2 C\(64, 2\) = 11\.0 bits name a support
Training   pgd on the paper model, \d+ steps, \d+\.\d\d s, seed 0

Support    found (\d+) (\d+)   true \1 \2   exact
Accuracy   100\.00% of the training examples
           100\.00% of 10000 fresh examples

Attention of the \[CLS\] query
(     \d\d +\d+\.\d%  #{1,40}\n){2}  other +\d+\.\d%  \(62 positions and \[CLS\]\)

Rule       bit \1 and bit \2 \(on every one of 2\^64 inputs\)
Sure       error at most 9\.3 % with 95 % confidence, from the 65 training examples alone

learned: the exact support, and every fresh example right
"""


def test_learn_learns_its_first_task_and_says_so(run, tmp_path):
    code, out, err = run("learn", "--k", 2, "--T", 64)
    assert code == 0 and err == "" and re.fullmatch(REPORT, out), out
    assert re.fullmatch(REPORT, run("learn")[1])                # these are the defaults
    assert list(tmp_path.iterdir()) == []


def test_learn_says_not_learned_and_exits_with_1(run):
    code, out, err = run("learn", "--m", 8, "--T", 256, "--seed", 1)
    assert code == 1 and err == ""
    assert re.search(r"^Sample     m = 8 examples, several supports explain them; ", out, re.M)
    assert re.search(r"^Support    found \d+ \d+   true \d+ \d+   WRONG$", out, re.M)
    assert out.endswith("\n\nnot learned: the support is wrong; several supports explain the sample; more examples would be tried next\n")


def test_the_report_of_noisy_labels_tells_both_accuracies(run):
    code, out, err = run("learn", "--noise", 0.1, "--m", 300, "--T", 16)
    assert re.search(r"^Sample     m = 300 examples, not checked for other supports that explain them; ", out, re.M)
    assert re.search(r"^Accuracy   \d\d\.\d\d% of the training examples, 10% of their labels flipped$", out, re.M)
    assert re.search(r"^           100\.00% of 10000 fresh examples with clean labels, [89]\d\.\d+% with", out, re.M)
    assert code == 0 and err == ""


@pytest.mark.parametrize("options, lines", [
    pytest.param(("--heads", 2, "--steps", 40), ["Training   pgd on the paper model, ", "Attention of .*, 2 heads weighed by"],
                 marks=pytest.mark.slow),
    (("--model", "scalar", "--steps", 20), ["Training   pgd on the scalar model, ", "Norm       unconstrained",
                                            "Attention of .*, 16 heads weighed by"]),
    pytest.param(("--model", "paper", "--method", "adam", "--steps", 20), ["Training   adam on the paper model, "],
                 marks=pytest.mark.slow),
    (("--steps", 7), ["Training   pgd on the paper model, 7 steps, "]),
    (("--radius", "inf"), [r"Norm       \|w\| = ", r"Norm       \|c\| = "]),
    (("--radius", "1e300"), [r"Norm       \|\|q\|\|_1 = \d+\.?\d* of at most 1e\+300"]),
    (("--radius", "1e-300"), [r"Norm       \|\|q\|\|_1 = \S+ of at most 1e-300", "not learned: "]),
    (("--T", 2), [r"  other +\d+\.\d%  \(\[CLS\]\)"]),
    (("--T", 12, "--k", 8, "--m", 300), [r"Support    found( \d+){8}   true( \d+){8}   "]),
    (("--task", "parity", "--k", 1, "--T", 4), ["Task       parity of 1 of 4 bits; "]),
    (("--task", "symmetric", "--table", "0,1,0", "--T", 8, "--steps", 20), ["Task       symmetric rule 010 of 2 of 8"]),
])
@pytest.mark.every(3)
def test_reports_of_other_models_and_tasks(run, options, lines):
    code, out, err = run("learn", "--seed", 3, "--verbose", *options)
    assert code in (0, 1) and re.fullmatch(r"(training: .*\n)*", err) and "Traceback" not in out      # slow machines show the line
    for line in lines:
        assert re.search("^" + line, out, re.M), out
    assert not re.search(r" $|nan|inf\b|-0\.0%", out, re.M), out
    last = out.splitlines()[-1]
    assert last.startswith("learned: " if code == 0 else "not learned: ")
    bounded = " on the paper model" in out and "inf" not in options
    assert ("Norm       ||q||_1 = " in out) is bounded


def test_every_found_position_has_a_bar(run):
    out = run("learn", "--T", 12, "--k", 8, "--m", 300)[1]
    found = re.search(r"found ((\d+ )+)", out)[1].split()
    bars = dict(re.findall(r"^ +(\d+) +(\d+\.\d)%", out, re.M))
    assert len(found) == 8 and set(found) <= set(bars)
    rest = float(re.search(r"other +(\d+\.\d)%", out)[1])
    assert abs(sum(map(float, bars.values())) + rest - 100) < 0.1 * len(bars)


def test_redrawn_samples_are_counted_in_the_report(run):
    out = run("learn", "--T", 32, "--m", 10, "--redraw", "--seed", 2)[1]
    record = strictly(run("learn", "--T", 32, "--m", 10, "--redraw", "--seed", 2, "--json")[1])
    assert record["redraws"] > 0 and record["determined"] is True
    assert f"Sample     m = 10 examples (draw {record['redraws'] + 1}), one support alone explains them; " in out


def test_json_is_one_strict_object_of_fixed_keys(run):
    code, out, err = run("learn", "--json", "--radius", "inf", "--T", 32)
    record = strictly(out)
    assert code == 0 and err == "" and list(record) == list(RECORD)
    assert record["radius"] is None and record["learned"] is True and record["holdout"] == 10000
    table = strictly(run("learn", "--data", FLAGS, "--label", "crash", "--json")[1])
    assert list(table) == list(RECORD) and table["support_true"] is None and table["determined"] is None
    assert strictly(run("learn", "--json", "--m", 8, "--T", 256, "--seed", 1)[1])["learned"] is False


@pytest.mark.slow
def test_same_seed_same_numbers(run):
    def record(*options):
        return strictly(run("learn", "--json", "--T", 32, *options)[1]) | {"seconds": None}

    assert record("--seed", 7) == record("--seed", 7) != record("--seed", 8)
    noisy = ("--task", "parity", "--k", 1, "--T", 8, "--m", 60, "--noise", 0.1, "--steps", 15)
    assert record(*noisy) == record(*noisy) != record(*noisy, "--seed", 1)


@pytest.fixture
def no_work(monkeypatch):
    """Make it a failure to train."""
    monkeypatch.setattr(runs, "fit", lambda *args, **options: pytest.fail("training had begun"))


# --plot

def test_plot_without_matplotlib_names_the_extra(run, monkeypatch, no_work, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    one_line(run("learn", "--plot", "figure.png"), r"needs matplotlib: pip install 'minitf-attention\[plot\]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path, message", [
    ("figure.xyz", r"--plot: expected a file name ending in .*\.png.*, got 'figure.xyz'"),
    ("missing/figure.png", "missing/figure.png: no such directory"),
    (".", "is a directory"),
    ("", "--plot: expected the name of a file"),
    ("model.npz", "--plot: expected a file that the command does not use otherwise"),
])
def test_a_plot_that_cannot_be_written_is_refused_before_any_work(run, no_work, path, message):
    pytest.importorskip("matplotlib")
    one_line(run("learn", "--save", "model.npz", "--plot", path), message)


def test_plot_and_save_write_their_files(run, tmp_path):
    pytest.importorskip("matplotlib")
    assert run("learn", "--T", 16, "--plot", "figure.svg", "--save", "model.npz")[0] == 0
    assert run("learn", "--data", FLAGS, "--plot", "figure")[0] == 0
    assert "<svg" in (tmp_path / "figure.svg").read_text() and (tmp_path / "figure").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure", "figure.svg", "model.npz"]
