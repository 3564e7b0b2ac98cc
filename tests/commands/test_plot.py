"""plot: invented runs whose truth is known, the table and figure made of them, and what is refused."""
import csv
import gzip
import json
import math
import re
import sys
import warnings

import numpy as np
import pytest
from sweeps import invent

from minitf import cli
from minitf.lab.points import points, read_runs


@pytest.fixture
def plot(capsys, tmp_path, monkeypatch):
    """plot("a.jsonl", "-o", "a.png") -> (exit code, stdout, stderr), in an empty directory; a warning is an error."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)

    def plot(*words):
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            warnings.simplefilter("error")
            cli.commands.main(["plot", *map(str, words)])
        return end.value.code or 0, *capsys.readouterr()

    return plot


@pytest.fixture
def drawn(plot, monkeypatch):
    """drawn(file, ...) -> {title: axes} of every panel, and the titles of the blocks."""
    from minitf.lab.figures import sweep as curves

    kept = []
    monkeypatch.setattr(curves, "save", lambda figure, path: (figure.canvas.draw(), kept.append(figure)))

    def drawn(*files):
        code, out, err = plot(*files, "-o", "figure.png")
        assert (code, err) == (0, ""), err
        blocks = kept[-1].subfigs
        return [{ax.get_title(): ax for ax in block.axes if ax.axison} for block in blocks], \
            [block.get_suptitle() for block in blocks]

    return drawn


def labels(ax):
    return set(ax.get_legend_handles_labels()[1])


# what it prints and writes

TABLE = r"""and, k = 3, p = 0.7937: pgd on the paper model
  T  runs  seeds  redrawn  ambiguous  timeouts +m50 \[95 %\] +m90 \[95 %\]  isotonic  any time  m\* +m90/m\* \[95 %\]  bits an example \[95 %\]
 16   220     20 +\d+          0         0 +[\d.]+ \[[\d.]+, [\d.]+\] .+ 29 +[\d.]+ \[[\d.]+, [\d.]+\] +0\.\d\d \[0\.\d\d, 0\.\d\d\]
 64   220 .*
256   220 .*
m90 = a \+ b log2 T        a = \S+ \[\S+, \S+\], b = \S+ \[\S+, \S+\], b for each doubling of T, delta AIC \d+\.\d
m90 = a \+ b \(log2 T\)\^2    a = .*
m90 = c T\^g               c = \S+ \[\S+, \S+\], g = \S+ \[\S+, \S+\], delta AIC \d+\.\d
m90 = a \+ b log2 C\(T, 3\)  a = [^A]*

Written    figure.png
Written    table.csv
"""


def test_plot_prints_the_table_and_writes_figure_and_csv(plot, tmp_path):
    path = invent(tmp_path / "a.jsonl")
    code, out, err = plot(path, "-o", "figure.png", "--csv", "table.csv")
    assert (code, err) == (0, "") and re.fullmatch(TABLE, out), out
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [row["T"] for row in rows] == ["16", "64", "256"]
    for row in rows:
        truth = (10 + 5 * math.log2(float(row["T"]))) * 9 ** 0.1
        assert float(row["m90_low"]) <= float(row["m90"]) <= float(row["m90_high"])
        assert float(row["m90"]) == pytest.approx(truth, rel=0.15)
        assert float(row["ratio"]) == pytest.approx(float(row["m90"]) / int(row["m_star"]))
        rate = [math.log2(math.comb(int(row["T"]), 3)) / float(row[name]) for name in ("m90", "m90_high", "m90_low")]
        assert [float(row[f"bits_each{end}"]) for end in ("", "_low", "_high")] == pytest.approx(rate)


@pytest.mark.slow
def test_json_is_the_same_in_numbers_and_strict(plot, tmp_path):
    path = invent(tmp_path / "a.jsonl", m=(10, 13, 16, 20, 25, 40, 50, 64, 80, 100), middle=float)
    code, out, err = plot(path, "-o", "a.svg", "--json")
    record = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    series, = record["series"]
    assert code == 0 and [row["T"] for row in series["rows"]] == [16, 64, 256]
    assert series["rows"][2]["m90"] is None and series["growth"]["left_out"] == [256]
    assert record["figure"] == "a.svg" and (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_beyond_the_m_tried_is_said_so(plot, tmp_path):
    low = invent(tmp_path / "low.jsonl", T=(16,), m=(10, 12, 14))
    high = invent(tmp_path / "high.jsonl", T=(16,), m=(100, 120), method="adam", model="gpt")
    out = plot(low, high, "-o", "a.png", "--csv", "a.csv")[1]
    assert ">14.0 [>14.0, >14.0]" in out and "<100 [<100, <100]" in out and ">0.48 [>0.48, >0.48]" in out
    assert "<0.65 [<0.65, <0.65]" in out and ">0.09 [0.09, >0.09]" in out           # log2 C(16, 3) = 9.13 bits
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["m90"] for row in rows] == ["above", "below"]
    assert [row["bits_each"] for row in rows] == ["below", "above"]


# what it draws

@pytest.mark.slow
def test_one_series_is_drawn_by_T(drawn, tmp_path):
    (panels,), titles = drawn(invent(tmp_path / "a.jsonl"))
    assert titles == ["AND, k = 3, p = 0.7937: bounded head, PGD"]
    assert list(panels) == ["Runs that learn", "Samples for 90 % success", "Bits an example", "Attention on the support"]
    assert labels(panels["Runs that learn"]) == {"T = 16", "T = 64", "T = 256"}
    growth = panels["Samples for 90 % success"]
    assert {"bounded head, PGD", "m*, one support left (95 %)", "Fano, no learner below",
            "norm bound: shape only, scaled to the first m90"} <= labels(growth)
    line = next(line for line in growth.lines if line.get_label() == "m*, one support left (95 %)")
    assert line.get_xydata().tolist() == [[16, 29], [64, 36], [256, 42]]


@pytest.mark.slow
def test_bits_an_example_are_drawn_beside_the_marks_of_group_testing(drawn, tmp_path):
    marks = {"1: no test tells more", "0.53: COMP, DD on Bernoulli pools", "0.69: the same on near-constant pools"}
    files = [invent(tmp_path / "and.jsonl"), invent(tmp_path / "b.jsonl", task="majority"),
             invent(tmp_path / "noise.jsonl", noise=0.05)]
    (plain, noisy, majority), _ = drawn(*files)
    panels = [block["Bits an example"] for block in (plain, noisy, majority)]
    limit = {"0.71 = 1 - h(0.05): no test tells more"}
    assert [labels(ax) - {"bounded head, PGD"} for ax in panels] == [marks, limit, {"1: no test tells more"}]
    heights = {line.get_label()[:4]: line.get_ydata()[0] for ax in panels for line in ax.lines if len(set(line.get_ydata())) == 1}
    assert heights["0.53"] == pytest.approx(1 / (math.e * math.log(2))) and heights["0.69"] == pytest.approx(math.log(2))
    assert heights["0.71"] == pytest.approx(0.7136, abs=1e-4) and heights["1: n"] == 1
    rows = points(read_runs([files[0]]))
    line = next(line for line in panels[0].lines if line.get_label() == "_nolegend_" or len(line.get_xdata()) == 3)
    assert line.get_ydata() == pytest.approx([row["bits_each"] for row in rows])


@pytest.mark.slow
def test_several_methods_are_drawn_at_each_T_they_share(drawn, tmp_path):
    wide = {"m": (16, 32, 64, 128, 256, 512, 1024), "slope": 3}
    others = [("adam", "paper"), ("adam", "gpt"), ("adam", "mlp"), ("l1-logistic", None), ("screening", None)]
    files = [invent(tmp_path / f"{method}{model}.jsonl", method=method, model=model, T=(16, 64), reps=6, **wide)
             for method, model in others]
    (panels,), titles = drawn(invent(tmp_path / "a.jsonl", T=(16, 64, 256, 1024)), *files)
    assert titles == ["AND, k = 3, p = 0.7937"]
    assert list(panels) == ["Runs that learn, T = 16", "Runs that learn, T = 64", "Samples for 90 % success",
                            "Bits an example", "Attention on the support, T = 64"]
    at = panels["Runs that learn, T = 64"]
    assert {"bounded head, PGD", "same head, Adam", "GPT block, Adam", "MLP, Adam", "l1-logistic regression", "screening",
            "m*, one support left (95 %)"} == labels(at)
    bound = next(line for line in panels["Samples for 90 % success"].lines if line.get_label().startswith("norm bound"))
    assert bound.get_ydata()[0] == pytest.approx(30 * 9 ** 0.1, rel=0.15)           # m90 of the first series
    looks = {(line.get_color(), line.get_marker()) for line in at.lines if line.get_marker() not in ("", "None", None)}
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == 6


def test_limits_say_of_which_k_and_open_intervals_end_in_an_arrow(drawn, tmp_path):
    files = [invent(tmp_path / "3.jsonl", T=(16, 64)), invent(tmp_path / "5.jsonl", k=5, T=(64,), m=(25, 34, 44))]
    (panels,), _ = drawn(*files)
    growth = panels["Samples for 90 % success (arrows: beyond m tried)"]
    assert "m*, one support left (95 %), k = 3" in labels(growth)
    row, = points(read_runs([files[1]]))
    assert row["m90_high"] == math.inf
    ends = [(text.xyann[1], text.xy[1]) for text in growth.texts]                   # of arrows: from, to
    assert (44, pytest.approx(66)) in ends


def test_chance_of_parity_is_that_of_the_commoner_label(drawn, tmp_path):
    path = invent(tmp_path / "a.jsonl", task="parity", k=2, T=(16,), method="adam", model="scalar", curve=True, p=0.3)
    (panels,), _ = drawn(path)
    ax = next(ax for title, ax in panels.items() if title.startswith("New samples"))
    line = next(line for line in ax.lines if line.get_label() == "chance")
    assert line.get_ydata()[0] == pytest.approx(0.58)


@pytest.mark.slow
def test_k_at_one_T_is_drawn_against_k(drawn, tmp_path):
    files = [invent(tmp_path / f"{k}.jsonl", k=k, T=(256,)) for k in (2, 3, 5)]
    (panels,), titles = drawn(*files)
    assert titles == ["AND, T = 256"]
    growth = panels["Samples for 90 % success"]
    assert growth.get_xlabel().startswith("k") and {f"bounded head, PGD, k = {k}" for k in (2, 3, 5)} <= labels(growth)
    line = next(line for line in growth.lines if line.get_label() == "m*, one support left (95 %)")
    assert line.get_xydata().tolist() == [[2, 27], [3, 42], [5, 74]]


@pytest.mark.slow
def test_parity_shows_plateau_and_gap_of_seeds_at_the_m_where_they_learn(drawn, tmp_path):
    files = [invent(tmp_path / "and.jsonl", T=(16,)),
             invent(tmp_path / "parity.jsonl", task="parity", k=2, T=(16, 32), m=(64, 128, 256, 512), reps=8,
                    method="adam", model="scalar", middle=lambda T: 4 * T, slope=6, curve=True)]
    (first, second), titles = drawn(*files)
    assert titles[1] == "Parity, k = 2, p = 0.5: tf-scalar, Adam" and "Samples for 90 % success" not in first
    where = next(title[len("Plateau and drop "):] for title in second if title.startswith("Plateau"))
    found = re.fullmatch(r"\(tf-scalar, Adam; T = 32, m = (\d+)\)", where)
    lines = [json.loads(line) for line in files[1].read_text().splitlines()]
    chosen = [run for run in lines if run["T"] == 32 and run["m"] == int(found[1])]
    assert sum(run["success"] for run in chosen) >= 0.9 * len(chosen)
    loss, gap = second[f"Plateau and drop {where}"], second[f"Hidden progress {where}"]
    seeds = [line for line in gap.lines if line.get_label().startswith("seed")]
    assert len(seeds) == 8 and f"New samples {where}" in second
    run = next(run for run in chosen if run["success"])
    steps = [state["step"] for state in run["snapshots"]] + [run["steps"]]
    gaps = [state["fourier_gap"] for state in run["snapshots"]] + [run["fourier_gap"]]
    assert any(np.array_equal(line.get_xydata(), np.transpose([steps, gaps])) for line in seeds)
    assert any(np.array_equal(line.get_xydata(), run["curve"]) for line in loss.lines)


def test_attention_of_a_run_that_has_ended_keeps_its_last_value():
    from minitf.lab.figures.training import over_seeds

    short, long = np.array([[1, 2, 3], [0.1, 0.5, 0.9]]), np.array([[1, 2, 4, 8], [0.0, 0.1, 0.2, 0.3]])
    steps, quartiles = over_seeds([short, long, long])
    assert steps.tolist() == [1, 2, 3, 4, 8]
    assert quartiles[1].tolist() == [0.0, 0.1, 0.1, 0.2, 0.3]
    assert quartiles[2].tolist() == pytest.approx([0.05, 0.3, 0.5, 0.55, 0.6])


@pytest.mark.parametrize("changes", [
    {"T": (16,), "m": (40,), "reps": 1}, {"middle": lambda T: 1e-3}, {"T": range(3, 20)}, {"k": 1, "T": (1, 2)},
    {"task": "parity", "method": "exact-search", "model": None, "snapshots": [], "fourier_gap": None,
     "accuracy": None, "train_loss": None, "steps": None},
    {"task": "parity", "k": 2, "method": "adam", "model": "scalar", "middle": lambda T: 1e9},
])
@pytest.mark.slow
def test_odd_sweeps_are_drawn_too(plot, tmp_path, changes):
    code, out, err = plot(invent(tmp_path / "a.jsonl", **{"reps": 3, "T": (16, 64), "m": (20, 40)} | changes),
                          "-o", "a.pdf", "--csv", "a.csv")
    assert (code, err) == (0, "") and "nan" not in out + (tmp_path / "a.csv").read_text()


# bad input

def refused(end, message):
    code, out, err = end
    assert (code, out) == (2, "") and re.fullmatch(r"Error: [^\n]+\n", err) and re.search(message, err), err


def test_bad_input_is_one_line_before_any_work(plot, tmp_path, monkeypatch):
    from minitf.commands import plot as command

    monkeypatch.setattr(command, "points", lambda runs: pytest.fail("work had begun"))
    path = invent(tmp_path / "a.jsonl", T=(16,), reps=2)
    refused(plot("-o", "a.png"), "FILES")
    refused(plot("none.jsonl", "-o", "a.png"), "none.jsonl: No such file")
    refused(plot(tmp_path, "-o", "a.png"), "directory")
    refused(plot(path, "-o", "no/a.png"), "no such directory")
    refused(plot(path, "-o", "a.txt"), "-o: expected a file name ending in")
    refused(plot(path, "-o", "a.png", "--csv", "a.png"), "--csv: expected a file that the command does not use")
    refused(plot(path, "-o", "b.png", "--csv", path), "--csv: expected a file that the command does not use")
    (tmp_path / "empty.jsonl").write_text("")
    refused(plot("empty.jsonl", "-o", "a.png"), "empty.jsonl: expected at least one run, got none")
    (tmp_path / "other.csv").write_text("a,b\n0,1\n")
    refused(plot(path, "other.csv", "-o", "a.png"), "other.csv")
    (tmp_path / "bits.jsonl").write_bytes(b"\xff\xfe\n")
    refused(plot("bits.jsonl", "-o", "a.png"), "bits.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(path.read_bytes())[:-9])
    refused(plot("cut.jsonl.gz", "-o", "a.png"), "cut.jsonl.gz")
    (tmp_path / "new.jsonl").write_text(path.read_text().replace('"protocol": 4', '"protocol": 5'))
    refused(plot(path, "new.jsonl", "-o", "a.png"), "new.jsonl, line 1: expected a run of protocol 4, got 5")
    refused(plot(path, path, "-o", "a.png"), "every run once")
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".png") == []


def test_without_matplotlib_it_says_what_to_install(plot, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    refused(plot(invent(tmp_path / "a.jsonl", T=(16,), reps=2), "-o", "a.png"), r"needs matplotlib.*\[plot\]")


# for print, and without matplotlib

def test_a_table_needs_no_figure_and_no_matplotlib(plot, tmp_path, monkeypatch):
    path = invent(tmp_path / "a.jsonl", T=(16,), m=(10, 12, 14))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = plot(path, "--csv", "a.csv")
    row, = csv.DictReader((tmp_path / "a.csv").open())
    assert (code, err) == (0, "") and out.endswith("\nWritten    a.csv\n")
    assert row["m90"] == row["ratio"] == row["m90_high"] == "above" and row["m_highest"] == "14"
    assert plot(path)[0] == 0 and "and, k = 3" in plot(path)[1]
    assert json.loads(plot(path, "--json")[1])["figure"] is None


def test_low_ends_are_words_too(plot, tmp_path):
    plot(invent(tmp_path / "a.jsonl", T=(16,), m=(100, 120)), "--csv", "a.csv")
    row, = csv.DictReader((tmp_path / "a.csv").open())
    assert row["m50"] == row["m90"] == row["ratio_low"] == "below" and row["redraws"].isdecimal()


@pytest.mark.parametrize("panel", ["success", "m90", "rate", "attention"])
@pytest.mark.slow
def test_one_panel_for_a_column(plot, tmp_path, panel):
    path = invent(tmp_path / "a.jsonl")
    assert plot(path, "-o", "a.pdf", "--panel", panel)[0] == 0
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/Type3" not in pdf and b"/Subtype /Type0" in pdf                  # fonttype 42: letters stay letters
    width, height = map(float, re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+)", pdf).groups())
    assert width == pytest.approx(3.3 * 72) and 2.4 < height / 72 < 4.5


@pytest.mark.slow
def test_size_is_that_of_the_figure(plot, tmp_path):
    path = invent(tmp_path / "a.jsonl")
    assert plot(path, "-o", "a.svg", "--size", "6.5x4", "--panel", "m90")[0] == 0
    assert re.search(r'width="468pt" height="288pt"', (tmp_path / "a.svg").read_text())


@pytest.mark.parametrize("words, message", [
    (("--panel", "m90"), "--panel: expected only together with -o"), (("--size", "3x2"), "--size: expected only toge"),
    (("-o", "a.png", "--size", "3"), "expected width x height"), (("-o", "a.png", "--panel", "loss"), "--panel: expected one "
     "that these runs have .success, m90, rate, attention, grid., got 'loss'"), (("-o", "a.pgf"), "expected a file name ending in")])
def test_what_cannot_be_drawn_is_one_line(plot, tmp_path, words, message):
    code, out, err = plot(invent(tmp_path / "a.jsonl", T=(16, 64), reps=4), *words)
    assert (code, out, err.count("\n")) == (2, "", 1) and re.search(message, err), err


@pytest.mark.slow
def test_a_grid_shows_every_cell_and_what_was_published(plot, tmp_path, monkeypatch):
    from minitf.lab.figures import sweep as curves

    kept = []
    monkeypatch.setattr(curves, "save", lambda figure, path: kept.append(figure))
    path = invent(tmp_path / "a.jsonl", T=(16, 64), m=[10, 20, 40], ambiguous="keep", rate=0.99)
    (tmp_path / "p.csv").write_text("m,T,share\n40,64,0.455\n7,7,1\n")
    code, out, err = plot(path, "-o", "g.png", "--panel", "grid", "--published", "p.csv")
    assert (code, err) == (0, "") and "and, k = 3, p = 0.7937, ambiguous keep, rate 0.99: pgd" in out
    ax, = kept[0].axes
    rows = points(read_runs([path]))
    percent = [[f"{100 * right / n:.0f}" for right, n in zip(row["right"], row["n"])] for row in rows]
    assert [text.get_text() for text in ax.texts] == [*percent[0], *percent[1][:2], percent[1][2] + "\n(46)"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "20", "40"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["16", "64"] and "(published)" in ax.get_xlabel()
    plot(invent(tmp_path / "b.jsonl", T=(16, 64)), "-o", "g.png", "--panel", "grid")       # many sizes: colours alone
    assert len(kept[1].axes) == 2 and not kept[1].axes[0].texts
    several = [path, invent(tmp_path / "c.jsonl", task="or", T=(16, 64), m=[10, 20, 40])]
    assert plot(*several, "-o", "g.png", "--panel", "grid")[2].startswith("Error: --panel: expected one that these runs have")
    (tmp_path / "bad.csv").write_text("T,m,share\n64,40,45\n")
    for words, message in ((["--panel", "m90"], "--published: expected only with --panel grid"),
                           (["--panel", "grid", "--published", "bad.csv"], "--published: expected a CSV with columns T, m,"),
                           (["--panel", "grid", "--published", path], "--published: expected a CSV"),
                           (["--panel", "grid", "--published", "no.csv"], "no.csv")):
        code, out, err = plot(path, "-o", "g.png", "--published", "p.csv", *words)
        assert code == 2 and message in err and err.count("\n") == 1


@pytest.mark.slow
def test_series_that_differ_in_an_option_alone_are_told_apart(drawn, tmp_path):
    files = [invent(tmp_path / f"{i}.jsonl", **more) for i, more in enumerate(({}, {"ambiguous": "keep"}, {"rate": 0.9}))]
    (panels,), _ = drawn(*files)
    names = labels(panels["Runs that learn, T = 64"]) - {"m*, one support left (95 %)"}
    assert names == {"bounded head, PGD", "bounded head, PGD, ambiguous = keep", "bounded head, PGD, rate = 0.9"}
