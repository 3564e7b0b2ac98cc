"""Differences of m90 on the same draws: exact cases, coverage of the interval, and what plot says of them."""
import csv
import io
import json
import math

import numpy as np
import pytest
from sweeps import invent

from minitf import cli
from minitf.lab.pairs import PAIRED, compare, difference
from minitf.lab.points import points, read_runs

SIZES = np.round(30 * 2 ** (np.arange(-4, 7) / 4)).astype(int)


def runs_of(luck, middle, rng, own=0.3, slope=10):
    """Runs of one series: a seed's luck holds at all m, the rest is its own."""
    return [{"seed": 0, "rep": rep, "m": int(m),
             "success": bool(slope * math.log(m / middle) + (1 - own) * z + own * rng.logistic() > 0)}
            for rep, z in enumerate(luck) for m in SIZES]


def test_a_series_less_itself_is_zero_and_signs_turn_with_the_order():
    rng = np.random.default_rng(0)
    luck = rng.logistic(size=40)
    a, b = runs_of(luck, 30, rng), runs_of(luck, 40, rng)
    assert difference(a, a) == {"pairs": 40, "less": 0, "less_low": 0, "less_high": 0}
    ab, ba = difference(a, b), difference(b, a)
    assert (ab["less"], ab["less_low"], ab["less_high"]) == (-ba["less"], -ba["less_high"], -ba["less_low"])
    assert ab["less_high"] < 0


def test_it_is_surer_than_other_seeds_would_make_it():
    """The same outcomes with the seeds of one shuffled: the same m90s, a wider interval."""
    rng = np.random.default_rng(1)
    luck = rng.logistic(size=60)
    a, b = runs_of(luck, 30, rng, own=0.1), runs_of(luck, 31, rng, own=0.1)
    order = rng.permutation(60)
    shuffled = [run | {"rep": int(order[run["rep"]])} for run in b]
    paired, apart = difference(a, b), difference(a, shuffled)
    assert paired["less"] == pytest.approx(apart["less"])
    assert paired["less_high"] - paired["less_low"] < 0.6 * (apart["less_high"] - apart["less_low"])


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(20_000), 0
    noise = (0.7 * rng.logistic(size=10 ** 6) + 0.3 * rng.logistic(size=10 ** 6)) / 10
    truth = -4 * math.exp(-np.quantile(noise, 0.1))
    for _ in range(100):
        luck = rng.logistic(size=40)
        found = difference(runs_of(luck, 30, rng), runs_of(luck, 34, rng), resamples=400)
        held += found["less_low"] <= truth <= found["less_high"]
    print(f"held the truth {held} times of 100")
    assert 88 <= held


def test_beyond_the_m_tried_the_interval_is_open():
    rng = np.random.default_rng(2)
    luck = rng.logistic(size=30)
    inside, above, below = (runs_of(luck, middle, rng) for middle in (30, 1e6, 1e-6))
    found = difference(above, inside)
    assert found["less"] is None and found["less_high"] == math.inf and found["less_low"] > 0
    assert difference(inside, above)["less_low"] == -math.inf
    found = difference(below, inside)                       # between 0 and the smallest m
    assert found["less"] is None and -100 < found["less_low"] < found["less_high"] < 0
    found = difference(above, above)
    assert (found["less"], found["less_low"], found["less_high"]) == (None, -math.inf, math.inf)


def test_only_seeds_of_both_count():
    rng = np.random.default_rng(3)
    luck = rng.logistic(size=50)
    a, b = runs_of(luck, 30, rng), runs_of(luck, 36, rng)
    some = [run for run in b if run["rep"] >= 30]
    assert difference(a, some) == difference([run for run in a if run["rep"] >= 30], some)
    assert difference(a, [run for run in b if run["rep"] == 7]) == {"pairs": 1}
    assert difference(a, [run | {"seed": 1} for run in b]) == {"pairs": 0}


@pytest.fixture
def files(tmp_path):
    return [invent(tmp_path / f"{method}.jsonl", method=method, model=model, T=(16, 64), reps=8, middle=middle)
            for method, model, middle in (("pgd", "paper", lambda T: 20), ("scomp", None, lambda T: 26))]


@pytest.mark.slow
def test_rows_of_other_draws_are_left_alone(files, tmp_path):
    more = [invent(tmp_path / "p.jsonl", method="dd", model=None, T=(16,), p=0.7),
            invent(tmp_path / "k.jsonl", method="dd", model=None, T=(16,), k=2),
            invent(tmp_path / "e.jsonl", method="exact-search", model=None, T=(16,))]
    runs = read_runs([*files, *more])
    rows = points(runs, 50)
    compare(rows, runs, "scomp", 50)
    assert [(row["method"], row["T"]) for row in rows if row["less"] is not None] == [("pgd", 16), ("pgd", 64)]
    assert all(row["pairs"] is None and set(PAIRED) <= set(row) for row in rows if row["method"] != "pgd")


@pytest.mark.slow
def test_plot_says_how_much_less(files, tmp_path, capsys):
    def plot(*words):
        with pytest.raises(SystemExit) as end:
            cli.commands.main(["plot", *map(str, (*files, *words))])
        return end.value.code or 0, "".join(capsys.readouterr())

    words = "--against", "scomp", "--csv", tmp_path / "a.csv"
    code, text = plot(*words)
    assert code == 0, text
    head = [line for line in text.splitlines() if line.endswith("less scomp [95 %]")]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert len(head) == 2 and [row["pairs"] for row in rows] == ["8", "8", "", ""]
    cell = f"{float(rows[0]['less']):+.1f} [{float(rows[0]['less_low']):+.1f}, {float(rows[0]['less_high']):+.1f}]"
    assert float(rows[0]["less"]) < 0 and text.splitlines()[2].endswith(f"  {cell}")
    record = json.loads(plot(*words, "--json")[1])
    assert str(record["series"][0]["rows"][0]["less"]) == rows[0]["less"]
    assert "less" not in json.loads(plot("--json")[1])["series"][0]["rows"][0]
    assert plot("--against", "dd") == (2, "Error: --against: expected one of pgd, scomp, got 'dd'\n")
