"""A blank is told by its mistake: each is made here in NumPy, from the numbers on the page."""
import io
import json

import numpy as np
import pytest

from minitf.trust.explain import blank, explain, explain_attention


def arrays_of(record):
    return {array["name"]: np.array(array["values"], float) for array in record["arrays"]}


V = arrays_of(explain_attention())
W = arrays_of(explain())
SCALE = 2**-0.5


def without_mask():
    S = V["S0"]
    A = np.exp(S) / np.exp(S).sum(axis=1, keepdims=True)
    return A


MISTAKES = [
    ("dS0", V["A0"] * (1 - V["A0"]) * V["dA0"], "diagonal"),
    ("dS0", V["A0"] * V["dA0"], "left out"),
    ("dS0", V["A0"] * (V["dA0"] - np.roll(V["D0"], 1)[:, None]), "another row"),
    ("dS0", -V["dS0"], "sign"),
    ("dS0", V["dS0"].T, "transposed"),
    ("dS", -np.stack([V["dS0"], V["dS1"]]), "sign"),
    ("S0", V["q0"] @ V["k"].T, "scale is missing"),
    ("S1", V["q1"] @ V["k"].T / 2, "scale is taken twice"),
    ("dq0", V["dS0"] @ V["k"], "scale is missing"),
    ("dq1", V["dS1"] @ V["k"] / 2, "scale is taken twice"),
    ("A0", without_mask(), "mask is ignored"),
    ("out0", without_mask() @ V["v"], "mask is ignored"),
    ("dk", V["dk_0"], "only dk_0"),
    ("dv", np.stack([V["dv_0"], V["dv_1"]]), "not summed over the query heads"),
    ("dx", V["dx_q"], "only dx_q"),
    ("ds", W["a"] * (1 - W["a"]) * W["da"], "diagonal"),
    ("dX", np.outer(W["a"], W["dc"]), "only read"),
    ("dx_cls", W["dX"][0], "only row 0"),
    ("dh", W["dr"], "let through"),
]


@pytest.mark.parametrize("name, answer, said", MISTAKES)
def test_a_mistake_is_called_by_its_name(name, answer, said):
    for given in answer, np.round(answer, 4), json.dumps(np.round(answer, 4).tolist()):
        found = blank(name, given)
        assert found.right is False and said in str(found)


@pytest.mark.parametrize("name", ["dS", "dS1", "dk", "dx", "A0", "loss", "s", "ds", "dW_QK", "sum(e)"])
def test_a_right_answer_is_right_in_four_decimals_and_in_rows(name):
    for record in explain(), explain_attention():
        v = arrays_of(record)
        names = [name] if name in v else [f"{name}0", f"{name}1"]
        if names[0] in v:
            answer = np.round(np.squeeze(np.stack([v[n] for n in names])), 4)
            rows = "\n".join(" ".join(map(str, row)) for row in np.atleast_2d(answer.reshape(-1, answer.shape[-1])
                                                                              if answer.ndim else answer))
            attention = "heads" in record
            for given in answer, answer.tolist(), rows, json.dumps(answer.tolist()):
                assert blank(name, given, attention=attention).right is True


def test_zeros_are_not_right_and_nonsense_is_not_explained():
    assert blank("dS0", np.zeros((3, 3))).right is False
    found = blank("dS0", 7 + np.arange(9.0).reshape(3, 3))
    assert found.right is False and "none of the usual mistakes" in found.text and "entry [" in found.text


def test_the_page_leaves_out_what_is_asked_for():
    page = str(blank("dS"))
    assert page.count("?") == 18 and blank("dS").right is None
    assert "dS0 = A0 * (dA0 - D0)" in page


@pytest.mark.parametrize("answer", ["one two", "[1, 2]", "[[1, 2], [3]]", "", "{}"])
def test_what_cannot_be_read_is_refused(answer):
    with pytest.raises(ValueError, match="^answer: expected 3 x 3 numbers, as JSON or rows, got "):
        blank("dS0", answer)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="^blank: expected one of .*dS0"):
        blank("dQ")


def test_in_a_pipe_and_from_a_file(run, monkeypatch, tmp_path):
    answer = "\n".join(" ".join(f"{x:.4f}" for x in row) for row in V["dS0"])
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert run("explain", "--blank", "dS0", "--answer", "-")[:2] == (0, str(blank("dS0", answer)) + "\n")
    (tmp_path / "answer.txt").write_text(answer.replace("-", ""))
    code, out, _ = run("explain", "--blank", "dS0", "--answer", "answer.txt")
    assert code == 1 and "not yet" in out
    code, out, _ = run("explain", "--blank", "dS0")
    assert code == 0 and "?" in out
    assert run("explain", "--blank", "nothing")[0] == run("explain", "--answer", "answer.txt")[0] == 2
    assert run("explain", "--blank", "dS", "--answer", "nowhere.txt")[0] == 2
