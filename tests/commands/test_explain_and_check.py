"""explain and check."""
import re

import pytest
from shells import strictly

# explain and check

def test_explain_prints_the_page_and_its_arrays(run):
    code, out, err = run("explain", "--T", 2, "--d", 2, "--seed", 3)
    assert code == 0 and err == "" and max(map(len, out.splitlines())) <= 80 and "dW_QK = " in out
    record = strictly(run("explain", "--T", 2, "--d", 2, "--seed", 3, "--json")[1])
    assert (record["T"], record["d"], record["seed"]) == (2, 2, 3)
    assert {"name", "formula", "shape"} <= set(record["arrays"][0])
    assert run("explain", "--T", 9)[0] == 2


@pytest.mark.slow
def test_check_gradients_counts_and_a_wrong_pullback_fails(run, monkeypatch):
    from minitf.trust import reference

    def doubled(*args, **options):
        y, pullback = linear(*args, **options)
        return y, lambda dy: tuple(2 * dx for dx in pullback(dy))

    linear = reference.OPERATORS["linear"]
    some = [case for i, case in enumerate(reference.load_golden()) if case.op == "linear" or i % 4 == 0]
    monkeypatch.setattr(reference, "load_golden", lambda: some)             # all of them: the command in the README
    monkeypatch.setitem(reference.OPERATORS, "linear", doubled)
    code, out, err = run("check", "gradients")
    assert code == 1 and err == ""
    assert re.findall(r"^(\S+) .* WRONG$", out, re.M) == ["linear", "linear-no-bias", "linear-vector"]
    right, count = re.search(r"^(\d+) of (\d+) pullbacks", out, re.M).groups()
    assert int(right) == int(count) - 3 > 30
