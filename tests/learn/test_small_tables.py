"""Tables of few columns, where a rule uses all of them or all but one, and frames whose columns come in another order."""
import itertools

import numpy as np
import pytest
from frames import Frame

from minitf import fit
from minitf.commands.report import verdict_of
from minitf.learn import decide, usual_tries

RULES = {"and": lambda X: X.all(axis=1), "or": lambda X: X.any(axis=1), "none": lambda X: ~X.any(axis=1),
         "most": lambda X: 2 * X.sum(axis=1) > X.shape[1], "odd": lambda X: X.sum(axis=1) % 2}


@pytest.mark.every(10)
@pytest.mark.parametrize("said", RULES)
@pytest.mark.parametrize("T, k", [(T, k) for T in (1, 2, 3, 5) for k in (T, T - 1) if k])
def test_a_rule_of_all_columns_or_all_but_one(T, k, said):
    X = np.array(list(itertools.product((0, 1), repeat=T)) * 20, np.uint8)
    y = RULES[said](X[:, :k].astype(bool)).astype(np.uint8)
    answer = decide(X, y, tries=usual_tries(T)[:1])
    assert answer.rule.T == T and answer.certain <= (answer.right == len(X))
    if said == "and":
        assert answer.certain and answer.rule.support == tuple(range(k)) and str(answer).endswith(f"({len(X)} of {len(X)} rows)")
    if not answer.certain:
        assert str(answer).startswith("perhaps ") and "; in doubt: " in str(answer)


@pytest.mark.parametrize("text", ["a,y\n" + "1,1\n0,0\n" * 10, "a,b,y\n" + "1,1,1\n0,1,0\n1,0,0\n0,0,0\n" * 50, "a,b,y\n1,0,1\n0,1,0\n1,1,1\n"])
def test_small_tables_are_answered(run, tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    code, out, err = run("learn", "--data", str(tmp_path / "t.csv"))
    assert code in (0, 1) and "Error" not in err and "no verdict" in out
    if "b" in text and len(text) > 100:
        assert "y = a and b" in out and "the table has all 4 rows that 2 columns can have" in out


def test_a_frame_is_read_by_its_names():
    rng = np.random.default_rng(0)
    data = Frame(**{name: rng.integers(0, 2, 300) for name in "abcdefgh"})
    y = data["b"] & data["e"]
    result = fit(data, y)
    for frame in data, data[list("hgfedcba")], data[list("zyxabcdefgh"[3:])]:
        assert (result.predict(frame) == y).all()
        assert "b and e" in str(result.rule(frame))
    with pytest.raises(ValueError, match="^X: expected columns a, h, got "):
        result.predict(data[list("bcdefg")])
    assert (result.predict(np.asarray(data)) == y).all()


def test_the_model_that_knows_more_than_its_rule_says_so():
    record = {"substitutes": {}, "learned": True, "certain": False, "why": "no rows with a = 1", "holdout": 100, "holdout_accuracy": 0.99,
              "holdout_interval": [0.94, 1.0], "rule_holdout_accuracy": 0.73, "support_found": ["a", "b"], "T": 7, "distinct": 100}
    assert "the model itself is right on 99.0% of the rows held out" in list(verdict_of(record))[-1]
    assert "the model itself" not in str(list(verdict_of(record | {"rule_holdout_accuracy": 0.95})))


@pytest.mark.slow
def test_a_rare_label_is_called_rare(run, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (300, 20))
    X[:5, :6] = 1
    y = X[:, :6].all(axis=1)
    path = tmp_path / "t.csv"
    path.write_text("\n".join([",".join([f"c{t}" for t in range(20)] + ["y"])] + [",".join(map(str, [*row, int(v)])) for row, v in zip(X, y)]))
    code, out, _ = run("learn", "--data", str(path))
    assert code == 1 and ("rows have the rarer label" in out or "perhaps" in out or "y = c0 and" in out), out
