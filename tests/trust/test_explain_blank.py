"""A blank is told by its mistake: each is made here in NumPy, in every quantity that it touches."""
import functools
import io
import json
import re

import numpy as np
import pytest

from minitf.trust.explain import blank, explain, explain_attention

OPTIONS = [{}, {"T": 4, "d": 3, "heads": 3, "mask": "window", "sink": True, "seed": 1},
           {"mask": "none", "softcap": 1.5, "seed": 2}, {"T": 2, "heads": 1, "seed": 3}]


def arrays_of(record):
    return {array["name"]: np.array(array["values"], float) for array in record["arrays"]}


V, W = arrays_of(explain_attention()), arrays_of(explain())


def learner(given, heads, softcap=None, mask=True, scales=(1, 1, 1), softmax=None, summed=None, turned=(), uses="qkv"):
    """Forward and backward as someone writes it down, with a slip; every array by the name it has on the page."""
    v = dict(given)
    x, M, scale = v["x"], v["M"] if mask else np.ones_like(v["M"]), v["scale"]
    v["k"], v["v"] = x @ v["W_K"], x @ v["W_V"]
    for h in range(heads):
        v[f"q{h}"] = x @ v[f"W_Q{h}"]
        v[f"S{h}"] = S = scale ** scales[0] * v[f"q{h}"] @ v["k"].T
        if softcap:
            v[f"Z{h}"] = S = softcap * np.tanh(v[f"S{h}"] / softcap)
        sink = np.exp(v[f"sink{h}"]) if f"sink{h}" in v else 0
        v[f"e{h}"] = M * np.exp(S)
        v[f"sum{h}"] = v[f"e{h}"].sum(axis=1) + sink
        A = v[f"A{h}"] = v[f"e{h}"] / v[f"sum{h}"][:, None]
        v[f"out{h}"] = A @ v["v"]
        v[f"dout{h}"] = v[f"out{h}"] - v[f"Y{h}"]
        dA = v[f"dA{h}"] = v[f"dout{h}"] @ v["v"].T
        D = v[f"D{h}"] = (A * dA).sum(axis=1)
        v[f"O{h}"] = (v[f"dout{h}"] * v[f"out{h}"]).sum(axis=1)
        dS = {None: lambda: A * (dA - D[:, None]), "diagonal": lambda: A * (1 - A) * dA, "no D": lambda: A * dA,
              "D + ": lambda: A * (dA + D[:, None]), "no keepdims": lambda: A * (dA - D),
              "next row": lambda: A * (dA - np.roll(D, -1)[:, None])}[softmax]()
        if softcap:
            v[f"dZ{h}"], dS = dS, dS / np.cosh(v[f"S{h}"] / softcap) ** 2
        v[f"dS{h}"] = dS
        v[f"dv_{h}"] = (A if "dv" in turned else A.T) @ v[f"dout{h}"]
        v[f"dq{h}"] = scale ** scales[1] * (dS.T if "dq" in turned else dS) @ v["k"]
        v[f"dk_{h}"] = scale ** scales[2] * (dS if "dk" in turned else dS.T) @ v[f"q{h}"]
        v[f"dW_Q{h}"] = x.T @ v[f"dq{h}"]
    for n in "kv":
        v[f"d{n}"] = sum(v[f"d{n}_{h}"] for h in range(heads)) if summed is None else v[f"d{n}_{summed}"]
        v[f"dW_{n.upper()}"] = x.T @ v[f"d{n}"]
        v[f"dx_{n}"] = v[f"d{n}"] @ v[f"W_{n.upper()}"].T
    v["dx_q"] = sum(v[f"dq{h}"] @ v[f"W_Q{h}"].T for h in range(heads))
    v["dx"] = sum(v[f"dx_{n}"] for n in uses)
    return v


SLIPS = {
    "the mask is ignored": [dict(mask=False)],
    "the scale is missing": [dict(scales=s) for s in ((0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 0))],
    "the scale is taken twice": [dict(scales=s) for s in ((2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 2))],
    "only the diagonal of the Jacobian": [dict(softmax="diagonal")],
    "sum(A * dA) is left out": [dict(softmax="no D")],
    "sum(A * dA) has the wrong sign": [dict(softmax="D + ")],
    "D is that of another row": [dict(softmax="no keepdims"), dict(softmax="next row")],
    "not summed over the query heads": [dict(summed=0), dict(summed=1)],
    "a matrix in it is transposed": [dict(turned=("dv",)), dict(turned=("dq",)), dict(turned=("dk",))],
    "x is used three times": [dict(uses=uses) for uses in ("q", "k", "v", "qk", "qv", "kv")],
}


@functools.cache
def page(case):
    return arrays_of(explain_attention(**OPTIONS[case]))


def of(values, name, heads):
    """An array, or those of all heads."""
    return values[name] if name in values else np.stack([values[f"{name}{h}"] for h in range(heads)])


def differs(x, y):
    return np.abs(x - y).max() > 0.05 * np.abs(y).max() + 0.002


@pytest.mark.parametrize("case", range(len(OPTIONS)))
def test_the_learner_without_a_slip_is_right(case):
    found = learner(page(case), OPTIONS[case].get("heads", 2), OPTIONS[case].get("softcap"))
    assert all(np.abs(found[name] - x).max() < 1e-13 for name, x in page(case).items())


@pytest.mark.every(8)
@pytest.mark.parametrize("case", [0, *(pytest.param(case, marks=pytest.mark.slow) for case in range(1, len(OPTIONS)))])
@pytest.mark.parametrize("said", SLIPS)
def test_a_slip_is_called_by_its_name_wherever_it_shows(case, said):
    """In every array that it moves, in the decimals of the page."""
    options, v = OPTIONS[case], page(case)
    heads, told = options.get("heads", 2), 0
    names = {re.sub(r"(?<!_)\d$", "", name) for name in v} - {"dk_", "dv_"}
    for slip in SLIPS[said]:
        if slip.get("summed", 0) < heads:
            wrong = learner(v, heads, options.get("softcap"), **slip)
            for name in names:
                answer, right = of(wrong, name, heads), of(v, name, heads)
                if differs(answer, right):
                    found = blank(name, np.round(answer, 4), attention=True, **options)
                    assert found.right is False and said in found.text, (slip, name, found.text)
                    told += 1
    nowhere = {("the mask is ignored", 2), ("not summed over the query heads", 3)}      # no mask, one head
    assert told > 5 or (told == 0 and (said, case) in nowhere)


HEAD = [
    ("ds", W["a"] * (1 - W["a"]) * W["da"], "diagonal"), ("ds", W["a"] * W["da"], "left out"),
    ("dq", W["X"].T @ (W["a"] * W["da"]), "left out"),
    ("dW_QK", np.outer(W["X"].T @ (W["a"] * (1 - W["a"]) * W["da"]), W["x_cls"]), "diagonal"),
    ("dX", np.outer(W["a"], W["dc"]), "only read"), ("dX", np.outer(W["ds"], W["q"]), "only scored"),
    ("dP", np.outer(W["a"], W["dc"])[1:], "only read"),
    ("dx_cls", W["dX"][0], "only row 0"), ("dx_cls", W["W_QK"].T @ W["dq"], "only asks"),
    ("dh", W["dr"], "let through"), ("dc", W["W_V"] @ W["dr"], "let through"),
    ("dW_V", np.outer(W["c"], W["dr"]), "let through"), ("q", W["W_QK"].T @ W["x_cls"], "transposed"),
    ("dk", np.stack([V["dk_0"], V["dk_1"]]), "not summed over the query heads"),
    ("J", np.diag(V["A0"][2] * (1 - V["A0"][2])), "diagonal"),
]


@pytest.mark.parametrize("name, answer, said", HEAD)
def test_a_slip_in_every_form_of_answer(name, answer, said):
    for given in answer, np.round(answer, 4), json.dumps(np.round(answer, 4).tolist()):
        found = blank(name, given)
        assert found.right is False and said in str(found)


@pytest.mark.every(2)
@pytest.mark.parametrize("attention", [False, True])
def test_every_quantity_is_right_turned_or_transposed(attention):
    """In four decimals; an array of zeros is never right."""
    v = V if attention else W
    for array in (explain_attention() if attention else explain())["arrays"]:
        name, x = array["name"], v[array["name"]]
        if array["kind"] != "given":
            assert blank(name, np.round(x, 4), attention=attention).right is True
            turned = blank(name, np.round(-x, 4), attention=attention)
            assert turned.right is False and "the sign is turned" in turned.text, (name, turned)
            assert blank(name, 0 * x, attention=attention).right is False
            if x.ndim == 2 and x.shape[0] == x.shape[1] and differs(x.T, x):
                found = blank(name, x.T, attention=attention)
                assert found.right is False and "transposed" in found.text, (name, found)


@pytest.mark.every(3)
@pytest.mark.parametrize("name", ["dS", "dS1", "dk", "dx", "A0", "loss", "s", "ds", "dW_QK", "sum(e)"])
def test_rows_and_json_are_read(name):
    record = explain() if name in W else explain_attention()
    v = arrays_of(record)
    x = np.round(v[name] if name in v else np.stack([v[f"{name}0"], v[f"{name}1"]]), 4)
    table = x.reshape(-1, x.shape[-1]) if x.ndim else x.reshape(1, 1)
    rows = "\n".join(" ".join(map(str, row)) for row in table)
    for given in x, x.tolist(), rows, json.dumps(x.tolist()), json.dumps({name: x.tolist()}):
        assert blank(name, given).right is True


def test_nonsense_is_not_explained():
    found = blank("dS0", 7 + np.arange(9.0).reshape(3, 3))
    assert found.right is False and "none of the usual mistakes" in found.text and "Look again at dS0[2, 2]." in found.text


def test_the_page_leaves_out_what_is_asked_for_and_what_gives_it_away():
    page = str(blank("dS"))
    assert page.count("?") == 1 + 18 + 3 and blank("dS").right is None         # JdA is a row of dS0
    assert "dS0 = A0 * (dA0 - D0)" in page and "dS0, dS1; and, as they would give it away, JdA" in " ".join(page.split())
    assert "?" in str(blank("loss")).split("Checks")[1] and f"{W['loss']:.4f}" not in str(blank("loss"))


@pytest.mark.every(4)
@pytest.mark.parametrize("options", [{}, {"attention": True}, {"attention": True, "heads": 1, "mask": "none", "seed": 4},
                                     {"attention": True, "sink": True, "softcap": 2.0, "T": 4}], ids=str)
def test_no_row_of_a_blank_is_printed_elsewhere(options):
    """But in what it is computed from: there, reading it off is the answer."""
    drawn = {k: x for k, x in options.items() if k != "attention"}
    record = explain_attention(**drawn) if options else explain()
    uses = {a["name"]: set(re.findall(r"(\w+)\[", a["rule"] or "")) for a in record["arrays"]}
    named = {re.sub(r"\W+", "_", name).rstrip("_"): name for name in uses}
    for array in record["arrays"]:
        if array["kind"] == "given":
            continue
        page, before = str(blank(array["name"], **options)), {array["name"]}
        for _ in uses:
            before |= {named[n] for name in before for n in uses[name]}
        rows = [row for row in np.atleast_2d(array["values"]) if np.abs(row).max() > 0.001 and set(row) - {0.0, 1.0}]
        for other in record["arrays"]:
            shown = [] if other["name"] in before else np.atleast_2d(other["values"])
            if any(np.shape(r) == np.shape(row) and np.allclose(np.abs(r), np.abs(row), atol=1e-12)
                   for r in shown for row in rows):
                text = page[page.index(f"\n{other['formula']} "):].split("\n\n")[0]
                assert "?" in text, (array["name"], other["name"])


AWAY = V["dS0"].copy()
AWAY[1, 1] *= -1


def close_by():
    """Wrong answers close to right ones, of numbers that are small themselves."""
    for name in "dq0", "dq1", "dS0", "dS1", "dx":
        x = V[name]
        for i in np.ndindex(x.shape):
            for by in 0.001, -0.002, -x[i], -2 * x[i]:
                if abs(by) >= 0.001:
                    answer = x.copy()
                    answer[i] += by
                    yield name, answer


@pytest.mark.slow
def test_a_wrong_entry_is_seen_among_large_ones():
    assert all(blank(name, np.round(answer, 4)).right is False for name, answer in close_by())


@pytest.mark.every(3)
@pytest.mark.parametrize("seed", range(6))
def test_whoever_computes_from_what_is_shown_is_right(seed):
    """From the 4 decimals of the page, 4 decimals in every line."""
    v = {n: np.round(x, 4) for n, x in arrays_of(explain_attention(seed=seed)).items()}
    for h in "01":
        A = np.round(v[f"e{h}"] / v[f"sum{h}"][:, None], 4)
        dA = np.round((v[f"out{h}"] - v[f"Y{h}"]) @ v["v"].T, 4)
        dS = np.round(A * (dA - np.round((A * dA).sum(axis=1), 4)[:, None]), 4)
        assert blank(f"dS{h}", dS, seed=seed).right and blank(f"dq{h}", np.round(v["scale"] * dS @ v["k"], 4), seed=seed).right
        unmasked = np.exp(v[f"S{h}"])
        A = unmasked / unmasked.sum(axis=1, keepdims=True)      # and the dA, dout of the page
        assert "mask" in blank(f"dS{h}", A * (dA - (A * dA).sum(axis=1, keepdims=True)), seed=seed).text
        assert "mask" in blank(f"dv_{h}", A.T @ v[f"dout{h}"], seed=seed).text


@pytest.mark.parametrize("name, answer, said", [
    ("dk", V["dk"].T, "it is transposed"), ("dx", V["dx"].T, "it is transposed"), ("dk", V["dk"].T + 1, "its shape is 3 x 2"),
    ("dS", np.stack([V["dS1"], V["dS0"]]), "another order"), ("dk", V["dk"] / 2, "a mean over the query heads"),
    ("dS0", np.round(V["dS0"], 2), "give 4"), ("dS", np.stack([V["dS0"], 3 + V["dS1"]]), "Look again at dS1["),
    ("dx", sum(V[f"dq{h}"] @ V[f"W_Q{h}"] for h in range(2)) + V["dk"] @ V["W_K"] + V["dv"] @ V["W_V"], "a matrix in it is transposed"),
    ("loss", V["loss"], "loss of the page of one [CLS] query (--attention has another): not yet")])
def test_what_else_is_told(name, answer, said):
    found = blank(name, answer)
    assert found.right is False and said in found.text


def test_an_answer_as_it_is_printed_and_by_several_names():
    S = {f"dS{h}": np.round(V[f"dS{h}"], 4) for h in range(2)}
    for answer in S, json.dumps({n: x.tolist() for n, x in S.items()}), str(np.stack([*S.values()])), np.stack([*S.values()]).reshape(-1):
        assert blank("dS", answer).right is True
    assert not blank("dS0", AWAY).right


@pytest.mark.parametrize("answer", [
    "one two", "[1, 2]", "[[1, 2], [3]]", "", "{}", [[1.0] * 3] * 6, np.full((3, 3), np.nan), "[null,0,0,0,0,0,0,0,0]",
    "nan 0 0\n0 0 0\n0 0 0", f"[{'9' * 400},0,0,0,0,0,0,0,0]", "[" * 3000, {"dS0": [1, [2]]}, ["a", "b"], 1j * V["dS0"]], ids=range(14))
def test_what_cannot_be_read_is_refused(answer):
    with pytest.raises(ValueError, match="^answer: expected 3 x 3 numbers, as JSON or rows, got [^\n]*$"):
        blank("dS0", answer)


def test_a_notebook_shows_the_text():
    found = blank("loss", W["loss"])
    assert repr(found) == str(found) == found.text and "right" in found.text


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="^name: expected one of .* ds, .* dS, "):
        blank("dQ")


def test_in_a_pipe_and_from_a_file(run, monkeypatch, tmp_path):
    answer = "\n".join(" ".join(f"{x:.4f}" for x in row) for row in V["dS0"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(answer.encode())))
    assert run("explain", "--blank", "dS0", "--answer", "-")[:2] == (0, str(blank("dS0", answer)) + "\n")
    (tmp_path / "answer.txt").write_text(answer.replace("-", ""))
    code, out, _ = run("explain", "--blank", "dS0", "--answer", "answer.txt")
    assert code == 1 and "not yet" in out
    code, out, _ = run("explain", "--blank", "dS0")
    assert code == 0 and "?" in out
    assert run("explain", "--blank", "nothing")[0] == run("explain", "--answer", "answer.txt")[0] == 2
    assert run("explain", "--blank", "dS", "--answer", "nowhere.txt")[0] == 2
