"""Cross-checks, with peers in NumPy, and PyTorch and JAX where installed: right answers pass and wrong kernels do not."""
import functools
import importlib
import json
import math
import re

import numpy as np
import pytest

from minitf import cli
from minitf.trust import crosscheck, reference
from minitf.trust.crosscheck import (
    AGREES,
    DISAGREES,
    FAMILIES,
    UNASKED,
    ask,
    cast,
    questions,
    table,
    verdicts,
)
from minitf.trust.frameworks import adapters as peers
from minitf.trust.frameworks.adapters import PEERS, Peer
from minitf.trust.frameworks.conventions import (
    CAUSAL,
    EMPTY,
    FUSED,
    LEAK,
    MEAN,
    MEANING,
    SINGLE,
    attention_values,
    averaging,
    leaking,
    model_values,
    nothing_left,
)
from minitf.trust.frameworks.pairs import OPTIONS, allowed_pairs, largest_score
from minitf.trust.frameworks.random_cases import attention_cases, model_cases
from minitf.trust.frameworks.textbook import plain, plain_model
from minitf.trust.golden import load_golden

pytestmark = pytest.mark.slow

GOLDEN_ONLY = {"no keys", "bias", "sinks", "window", "segments", "keep", "lse", "lse of empty rows"}
GOOD = Peer("plain", plain)
asked = functools.cache(lambda: [q for q in questions(seed=1, count=60) if q.kind == "attention"])


# what is asked

@pytest.mark.parametrize("shapes", [None, 20])
def test_every_option_is_in_a_fifth_of_the_random_cases(shapes):
    counts = dict.fromkeys(OPTIONS, 0)
    for seed in range(4):
        seen = 0
        for case in attention_cases(seed, 300, shapes):
            seen += 1
            for name, has in OPTIONS.items():
                counts[name] += has(*case)
        assert seen == 300
    assert {name for name, n in counts.items() if n < 0.2 * 1200} == GOLDEN_ONLY, counts


def test_the_cases_of_a_seed_are_the_same_and_another_seed_has_others():
    first, again, other = ([x.tobytes() for a, _ in attention_cases(seed, 20) for x in a.values()] for seed in (0, 0, 1))
    assert first == again and not set(first) & set(other)
    shapes = {tuple(x.shape for x in a.values()) for a, _ in attention_cases(0, 300, 20)}
    assert 15 < len(shapes) <= 3 * 20                   # leading axes may broadcast in two ways


def test_golden_cases_are_asked_with_their_published_tolerances():
    cases = {case.name: case for case in load_golden()}
    some = [q for q in asked() if q.family == "golden vectors"]
    assert len(some) == sum(case.op == "attention" for case in cases.values())
    for q in some:
        case = cases[q.name]
        assert q.tol == case.tol and q.err_plain == case.err_plain["float32"]
        for name, marks in q.zeros.items():             # where both say what must be zero they say the same
            if name in case.exact_zeros and q.options["scale"] != 0:
                assert np.array_equal(marks, q.expected[name] == 0), (q.name, name)
    assert set().union(*(q.has for q in some)) == set(OPTIONS) - {"NaN in masked v", "more than 512 keys"}


def test_random_cases_are_tests():
    for q in asked():
        if q.family != "golden vectors" and q.options["scale"] != 0:
            assert all(np.linalg.norm(np.nan_to_num(x)) > 0 for x in q.expected.values()), q.name
            assert not any(np.isnan(x).any() for x in q.expected.values()), q.name     # minitf contains a masked NaN


def test_the_textbook_formulas_are_minitf_where_no_convention_matters():
    for a, o in attention_cases(2, 40):
        if not np.isnan(a["v"]).any():
            for fused in False, True:
                x, y = plain(a, o, fused), attention_values(a, o)
                assert all(np.allclose(x[name], y[name], rtol=1e-9, atol=1e-9 * (1 + largest_score(a, o))) for name in y)
    for a, o in model_cases(2, 8):
        x, y = plain_model(a, o), model_values(a, o)
        assert set(x) == set(y) and all(np.linalg.norm(x[name] - y[name]) < 1e-11 * np.linalg.norm(y[name]) for name in y)


# verdicts

def tallied(peer, some=None, dtypes=("float64", "float32")):
    return [v for v in verdicts([peer], asked() if some is None else some) if v.dtype in dtypes]


def test_a_plain_kernel_agrees_but_for_the_convention_that_it_has():
    peer = GOOD._replace(lacks=("NaN in masked v",))
    found = tallied(peer)
    assert [(v.question.name, v.why) for v in found if v.verdict not in (AGREES, UNASKED)] == []
    assert {v.verdict for v in found} == {AGREES, UNASKED}
    assert max(v.ratio for v in found if v.dtype == "float64") < 0.3


def test_a_convention_must_be_predicted_and_met():
    leaks = [q for q in asked() if "NaN in masked v" in q.has]
    named = GOOD._replace(conventions={LEAK: (leaking, plain)})
    assert len(leaks) > 10 and all(v.verdict == DISAGREES for v in tallied(GOOD, leaks))
    assert all(v.verdict == LEAK for v in tallied(named, leaks))
    nan = GOOD._replace(run=lambda a, o: {n: np.full_like(x, np.nan) for n, x in plain(a, o).items()},
                        conventions=named.conventions)
    assert all(v.verdict == DISAGREES for v in tallied(nan, leaks))


def averaged(a, o):
    """Hidden scores are -1e30 and pass no derivative on: a query that may attend to nothing averages all values."""
    allowed = allowed_pairs(a, o)
    empty = ~allowed.any(axis=-1, keepdims=True)
    found = plain(a | {"q": np.where(empty, 0, a["q"])}, o | {"mask": np.where(allowed, 0.0, -1e30), "causal": False})
    return found | {"dq": np.where(empty, 0, found["dq"])}


def test_empty_rows_are_a_mean_or_nan_and_each_is_named():
    some = [q for q in questions(seed=0, count=50, golden=False) if q.family == "empty rows"]
    mean = GOOD._replace(run=averaged, conventions={MEAN: (averaging, averaging), EMPTY: (nothing_left, nothing_left)})
    assert len(some) > 5 and {v.verdict for v in tallied(mean, some)} == {MEAN}
    only_nan = mean._replace(conventions={EMPTY: (nothing_left, nothing_left)})
    assert {v.verdict for v in tallied(only_nan, some)} == {DISAGREES}
    lost = mean._replace(run=lambda a, o: nothing_left(a, o))
    assert {v.verdict for v in tallied(lost, some)} == {EMPTY}


def test_a_float32_softmax_is_judged_as_that_and_no_worse():
    def single(a, o, digits=np.float32):
        return {name: x.astype(np.float64) for name, x in plain(cast(cast(a, digits), np.float32), o).items()}
    peer = GOOD._replace(run=single, lacks=("NaN in masked v",), precision=np.float32,
                         conventions={SINGLE: (attention_values, plain)})
    assert {v.verdict for v in tallied(peer, dtypes=["float64"])} <= {SINGLE, UNASKED, AGREES}
    half = tallied(peer._replace(run=functools.partial(single, digits=np.float16)), asked()[::4], dtypes=["float64"])
    assert sum(v.verdict == DISAGREES for v in half) > 0.9 * sum(v.verdict != UNASKED for v in half)


def test_an_unattended_key_must_have_exactly_zero_gradients():
    def dusty(a, o):
        found = plain(a, o)
        return found | {"dk": found["dk"] + np.finfo(np.float32).tiny * (found["dk"] == 0)}
    some = [q for q in asked() if q.zeros["dk"].any() and "NaN in masked v" not in q.has]
    assert len(some) > 10 and {v.verdict for v in tallied(GOOD, some)} == {AGREES}
    assert {v.verdict for v in tallied(GOOD._replace(run=dusty), some)} == {DISAGREES}


def test_what_a_peer_raises_is_an_answer():
    def broken(a, o):
        raise RuntimeError("no such kernel")
    v = ask(GOOD._replace(run=broken), asked()[0], np.float64)
    assert (v.verdict, v.ratio, v.why) == (DISAGREES, math.inf, "RuntimeError: no such kernel")


# planted faults

def other(**changes):
    return lambda run, a, o: run(a, o | {name: change(o[name]) for name, change in changes.items()})


def backward_alone(fault):
    """The fault in the gradients; the values are right."""
    return lambda run, a, o: fault(run, a, o) | {"out": run(a, o)["out"]}


def permuted(run, a, o):
    found = run(a | {name: a[name][..., ::-1, :, :] for name in "kv"}, o)
    return found | {name: found[name][..., ::-1, :, :] for name in ("dk", "dv")}


def capped_after_mask(run, a, o):
    """The softcap takes -inf to -c: masked keys leak."""
    with np.errstate(invalid="ignore"):
        mask = np.zeros((a["q"].shape[-2], a["k"].shape[-2])) if o["mask"] is None else o["mask"]
        mask = np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask
        return run(a, o | {"mask": np.maximum(mask, -o["softcap"])})


def single_inside(run, a, o):
    return {name: x.astype(a["q"].dtype) for name, x in run(cast(a, np.float32), o).items()}


def zeroed(run, a, o):
    return {name: np.zeros_like(x) for name, x in run(a, o).items()}


forgotten = other(mask=lambda mask: None)
FAULTS = {      # name: (fault, the options that make it matter, precisions in which it is wrong)
    "mask forgotten": (forgotten, {"boolean mask", "padding", "additive mask"}, 2),
    "mask forgotten in the backward": (backward_alone(forgotten), {"boolean mask", "padding", "additive mask"}, 2),
    "mask inverted": (other(mask=np.logical_not), {"boolean mask", "padding"}, 2),
    "scale missing": (other(scale=lambda scale: 1.0), {"scale"}, 2),
    "scale missing in the backward": (backward_alone(other(scale=lambda scale: 1.0)), {"scale"}, 2),
    "heads permuted": (permuted, {"grouped heads"}, 2),
    "softcap after mask": (capped_after_mask, {"softcap"}, 2),
    "softcap forgotten": (other(softcap=lambda cap: None), {"softcap"}, 2),
    "causal at the other end": (other(causal=lambda c: {"top-left": "bottom-right", "bottom-right": "top-left"}.get(c)),
                                {"top-left", "bottom-right"}, 2),
    "float32 inside": (single_inside, set(OPTIONS), 1),
    "NaN": (lambda run, a, o: run(a, o) | {"dk": np.full_like(a["k"], np.nan)}, set(OPTIONS), 2),
    "zeros": (zeroed, set(OPTIONS), 2),
    "no gradient": (lambda run, a, o: {"out": run(a, o)["out"]}, set(OPTIONS), 2),
    "a gradient 0.01 % too large": (lambda run, a, o: run(a, o) | {"dv": run(a, o)["dv"] * np.float32(1.0001)}, set(OPTIONS), 2),
    "heads of a group not summed": (lambda run, a, o: run(a, o) | {"dk": run(a, o)["dk"] / 2}, {"grouped heads"}, 2),
}


def matters(fault, q, dtype):
    """Whether a fault changes the right answer much, and rounding does not."""
    with np.errstate(all="ignore"):
        right, wrong = plain(q.arguments, q.options), FAULTS[fault][0](plain, q.arguments, q.options)
    sure = dtype == np.float64 or all(q.err_plain[name] <= 1e-5 * np.linalg.norm(x) for name, x in right.items())
    return sure and any(x.any() and not np.linalg.norm(wrong.get(name, np.nan) - x) <= 1e-9 * np.linalg.norm(x)
                        for name, x in right.items())


def faulty(peer, fault):
    return peer._replace(run=lambda a, o: FAULTS[fault][0](peer.run, a, o))


def caught(peer, fault, asked):
    """Ask a peer with a fault what matters to it: how many cases, and those that pass nevertheless."""
    _, options, precisions = FAULTS[fault]
    some = [q for q in asked if options & set(q.has) and not {"NaN in masked v", "no keys", *peer.lacks} & set(q.has)]
    pairs = [(q, dtype) for q in some for dtype in (np.float64, np.float32)[:precisions] if matters(fault, q, dtype)]
    found = [ask(faulty(peer, fault), q, dtype) for q, dtype in pairs]
    return len(pairs), [(v.question.name, v.dtype, v.verdict, v.ratio) for v in found if v.verdict != DISAGREES]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_in_every_case_that_it_touches(fault):
    few = [q for q in asked()[::2] if q.options["scale"] != 0]
    count, passed = caught(GOOD, fault, few)
    assert count >= 10 and passed == []


@pytest.mark.parametrize("fault", ["scale missing", "zeros", "NaN", "float32 inside", "mask forgotten in the backward"])
def test_all_conventions_together_excuse_no_fault(fault):
    every = {name: both for peer in PEERS["torch"] + PEERS["jax"] for name, both in peer.conventions.items()
             if peer.kind == "attention" and name != SINGLE}
    assert set(every) == set(MEANING) - {SINGLE}
    count, passed = caught(GOOD._replace(conventions=every), fault, [q for q in asked()[::3] if not is_causal_fails(q)])
    assert count >= 10 and passed == []


# the frameworks themselves, where they are installed

FEW = 40                # random cases, besides all golden ones


@functools.cache
def asked_of(framework):
    pytest.importorskip(framework)
    return list(questions(seed=3, count=FEW, shapes={"jax": 8}.get(framework)))


@pytest.mark.parametrize("framework", PEERS)
def test_a_framework_agrees_or_differs_by_a_convention(framework):
    rows = table(verdicts(PEERS[framework], asked_of(framework)))
    assert [line for row in rows for line in row["disagree"]] == []
    assert {row["peer"] for row in rows} == {peer.name for peer in PEERS[framework]}
    assert all(row["dtype"] in ("float64", "float32") and row["worst"] <= 1 for row in rows)
    assert {name for row in rows for name in row["verdicts"]} <= {AGREES, *MEANING}


def is_causal_fails(q):
    """Where all answers are NaN by convention no fault can be seen; 0 hides faults in dq and dk."""
    return "scale <= 0" in q.has and (q.options["mask"] is None or q.options["scale"] == 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_adapter_of_pytorch_is_caught(fault):
    peer = PEERS["torch"][1 if "softcap" in fault else 0]
    peer = next(p for p in PEERS["torch"] if "softcap" not in p.lacks) if "softcap" in fault else peer
    some = [q for q in asked_of("torch") if q.kind == "attention" and "empty rows" not in q.has and not is_causal_fails(q)]
    count, passed = caught(peer, fault, some)
    assert count >= 8 and passed == []


@pytest.mark.parametrize("fault", ["mask forgotten", "scale missing in the backward", "heads permuted", "NaN", "zeros"])
def test_a_fault_in_the_adapter_of_jax_is_caught(fault):
    some = [q for q in asked_of("jax") if q.kind == "attention" and q.options["scale"] != 0 and "empty rows" not in q.has]
    count, passed = caught(PEERS["jax"][0], fault, some)
    assert count >= 8 and passed == []


def test_causal_order_before_a_negative_scale_is_met_where_it_is_predicted():
    pytest.importorskip("torch")
    sdpa = PEERS["torch"][0]
    q = next(q for q in asked() if q.name == "causal-top-left-scale")
    assert {ask(sdpa, q, dtype).verdict for dtype in (np.float64, np.float32)} == {CAUSAL}
    for name in "out", "dq", "dv":
        half = sdpa._replace(run=lambda a, o: sdpa.run(a, o) | {name: np.zeros_like(q.expected[name])})
        assert ask(half, q, np.float64).verdict == DISAGREES


@pytest.mark.parametrize("name", ["0/W_K", "1/b_V", "1/W_2", "0/gain_1"])
def test_a_weight_that_is_not_carried_over_is_caught(name):
    pytest.importorskip("torch")
    encoder, = (peer for peer in PEERS["torch"] if peer.kind == "encoder")
    case = next(q for q in questions(seed=3, count=200, golden=False) if q.kind == "encoder" and q.options["model"].L == 2)
    slipped = encoder._replace(run=lambda a, o: encoder.run(a | {name: a[name] * np.float32(1.01)}, o))
    assert ask(encoder, case, np.float64).verdict == AGREES
    assert all(ask(slipped, case, dtype).verdict == DISAGREES for dtype in (np.float64, np.float32))


# the command

def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        cli.commands.main(["check", *words])
    out, err = capsys.readouterr()
    return end.value.code or 0, out, err


@pytest.fixture
def small(monkeypatch):
    """check torch and check jax with peers in NumPy, few questions, and modules that stand for the frameworks."""
    monkeypatch.setattr("minitf.commands.progress.PATIENCE", math.inf)
    versions = {name: type(importlib)(name) for name in PEERS}
    for name, module in versions.items():
        module.__version__ = "1.2.3"
        monkeypatch.setitem(importlib.sys.modules, name, module)
    peer = GOOD._replace(name="numpy attention", lacks=("softcap",), conventions={LEAK: (leaking, plain)})
    for name in PEERS:
        monkeypatch.setitem(peers.PEERS, name, (peer,))
    few = reference.load_golden()[::9]
    monkeypatch.setattr(reference, "load_golden", lambda folder=None: few)
    all_questions = crosscheck.questions
    monkeypatch.setattr(crosscheck, "questions", lambda seed, shapes: all_questions(seed, 24, shapes))
    return peer


def test_the_table_names_verdicts_conventions_and_counts(small, capsys):
    code, out, err = run(capsys, "torch", "--seed", "5")
    assert (code, err) == (0, "") and max(map(len, out.splitlines())) <= 140
    assert out.startswith("torch 1.2.3 against minitf") and re.search(r"^numpy attention   \(not asked: softcap \d+\)$", out, re.M)
    assert re.search(r"^  golden vectors +float64 +\d+ +0\.\d+  agree \d+$", out, re.M)
    assert re.search(r"^  NaN in masked v +float32 +\d+ +0\.\d+  0 \* NaN leaks \d+$", out, re.M)
    assert "24 random cases of attention; of them had" in out and LEAK in out and "DISAGREE" not in out
    assert re.search(r"NaN in a value that is masked out: minitf leaves it out", out) and FUSED not in out
    record = json.loads(run(capsys, "jax", "--json")[1])
    assert (record["what"], record["failed"], record["random"], record["version"]) == ("jax", [], 24, "1.2.3")
    assert set(record["options"]) <= set(OPTIONS) and {row["family"] for row in record["cases"]} <= set(FAMILIES)


def test_a_disagreement_is_said_and_ends_with_1(small, monkeypatch, capsys):
    monkeypatch.setitem(peers.PEERS, "torch", (faulty(small, "scale missing"),))
    code, out, err = run(capsys, "torch")
    assert code == 1 and re.search(r"^  golden vectors +float64 .*DISAGREES \d+", out, re.M)
    assert re.search(r"^\d+ answers DISAGREE$", out, re.M) and "more; --json has them all" in out
    assert re.search(r"^numpy attention: fuzz \d+, float64: out: off by .* times the error allowed$|"
                     r"^numpy attention: [\w-]+, float64: \w+: off by .* times the error allowed$", out, re.M)
    monkeypatch.setitem(peers.PEERS, "torch", (faulty(small, "NaN"),))
    code, out, err = run(capsys, "torch", "--json")
    assert code == 1 and json.loads(out)["failed"] and "shape, a zero or a NaN is wrong" in out


def test_a_missing_extra_is_one_line_before_any_work(monkeypatch, capsys):
    monkeypatch.setattr(crosscheck, "questions", lambda *args, **options: pytest.fail("worked"))
    for name in PEERS:
        monkeypatch.setitem(importlib.sys.modules, name, None)
        code, out, err = run(capsys, name)
        assert (code, out) == (2, "") and err == f"Error: this needs {name}: pip install 'minitf-attention[{name}]'\n"


def test_all_runs_what_is_installed_and_says_what_is_not(small, monkeypatch, capsys):
    monkeypatch.setitem(importlib.sys.modules, "jax", None)
    code, out, err = run(capsys, "all")
    assert (code, err) == (0, "") and re.findall(r"^== (\w+)", out, re.M) == ["gradients", "golden", "torch", "jax"]
    assert out.endswith("== jax: skipped, not installed: pip install 'minitf-attention[jax]'\n")
    record = json.loads(run(capsys, "all", "--json")[1])
    assert list(record["checks"]) == ["gradients", "golden", "torch"] and record["skipped"] == ["jax"]
    monkeypatch.setitem(peers.PEERS, "torch", (faulty(small, "zeros"),))
    assert run(capsys, "all")[0] == 1


def test_progress_is_shown_on_stderr_when_it_takes_long(small, monkeypatch, capsys):
    monkeypatch.setattr("minitf.commands.progress.PATIENCE", 0.0)
    code, out, err = run(capsys, "torch")
    assert code == 0 and "asking torch" in err and "asking" not in out
