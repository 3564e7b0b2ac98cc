"""Judge attention of another framework: values and gradients against minitf, over golden vectors
and random cases.

    for row in crosscheck("torch", seed=0)["cases"]:
        print(row["peer"], row["family"], row["dtype"], row["cases"], row["worst"], row["verdicts"])
    {q.name: q for q in questions(seed=0)}["fuzz 17"]       # its arguments, what is expected

A case agrees by the published rule (`golden.agreement`), differs by a convention if the peer meets
what minitf computes under that convention (`conventions`), and DISAGREES otherwise.
"""
import importlib
import math
from collections import Counter
from typing import NamedTuple

import numpy as np

from minitf.model import ModelConfig
from minitf.trust.frameworks.adapters import PEERS
from minitf.trust.frameworks.conventions import attention_values, model_values
from minitf.trust.frameworks.pairs import OPTIONS, largest_score, zeros
from minitf.trust.frameworks.random_cases import attention_cases, model_cases
from minitf.trust.frameworks.textbook import cast, errors, plain, plain_model
from minitf.trust.golden import load_golden
from minitf.trust.verdict import agreement, allowed_error

CLOSE, AGAIN = 2, 128           # a miss by less than CLOSE is looked at again, with AGAIN runs
HUGE = 1e200                    # a relative error that is none
SHAPES = {"jax": 20}            # JAX compiles for every shape
AGREES, DISAGREES, UNASKED = "agree", "DISAGREES", "not expressible"
FAMILIES = ("golden vectors", "no mask", "causal", "boolean mask", "padding", "additive mask",
            "large logits", "scale <= 0", "NaN in masked v", "empty rows",
            "empty rows, additive mask", "random weights")


class Question(NamedTuple):
    """A case for the peers of one kind: "attention", "block" or "encoder".

    expected   {name: array}, float64
    err_plain  {name: l2 error of the plain formula in float32}
    zeros      {name: boolean array}, entries that must be 0          has   the names of its options
    """
    name: str
    family: str
    kind: str
    arguments: dict
    options: dict
    expected: dict
    err_plain: dict
    tol: float
    zeros: dict
    has: tuple


class Verdict(NamedTuple):
    """What came of a question. ratio: error / allowed error of the worst array; why: its name, or
    what was raised."""
    peer: str
    question: Question
    dtype: str
    verdict: str
    ratio: float = 0.0
    why: str = ""


def questions(seed, count=300, shapes=None, golden=True):
    """The golden cases that peers can be asked, and random ones: `count` of attention, a tenth as
    many of models."""
    for case in load_golden() if golden else ():
        if case.op == "attention":
            arguments = {name: x for name, x in (case.arguments | case.cotangents).items()
                         if name != "mask"}
            options = {"mask": case.arguments.get("mask"), "causal": False, "scale": None,
                       "softcap": None} | case.options
            yield question(case.name, "attention", arguments, options, case)
        elif case.op == "forward" and case.options.get("block") == "gpt":
            arguments = {name: x for name, x in (case.arguments | case.cotangents).items()
                         if name != "X"}
            options = {"model": ModelConfig(**case.options), "X": case.arguments["X"]}
            yield question(case.name, kind_of(options["model"]), arguments, options, case)
    for i, (arguments, options) in enumerate(attention_cases(seed, count, shapes)):
        yield question(f"fuzz {i}", "attention", arguments, options)
    for i, (arguments, options) in enumerate(model_cases(seed, count // 10)):
        yield question(f"fuzz model {i}", kind_of(options["model"]), arguments, options)


def question(name, kind, arguments, options, case=None):
    """A Question; what is expected, if not a golden case says it, comes from minitf in float64."""
    attends = kind == "attention"
    values = attention_values if attends else model_values
    has = tuple(name for name, test in OPTIONS.items()
                if test(arguments, options)) if attends else ()
    if case is None:
        expected = values(arguments, options)
        err_plain = errors(formula_of(kind), arguments, options, expected, np.float32)
        tol = 1e-12 + 16 * 2.0**-53 * (largest_score(arguments, options) if attends else 0)
    else:
        expected = case.outputs | case.gradients
        err_plain, tol = case.err_plain["float32"], case.tol
    family = "golden vectors" if case else family_of(has) if attends else "random weights"
    return Question(name, family, kind, arguments, options, expected, err_plain, tol,
                    zeros(arguments, options) if attends else {}, has)


def kind_of(model):
    """Whether a block of this gpt is nn.TransformerEncoderLayer, or nn.MultiheadAttention and no
    more."""
    return "encoder" if model.d_ff else "block"


def family_of(has):
    """The one family that a case of attention with these options is counted in."""
    if "empty rows" in has:
        return "empty rows, additive mask" if "additive mask" in has else "empty rows"
    for name in ("NaN in masked v", "scale <= 0", "large logits", "additive mask", "padding",
                 "boolean mask"):
        if name in has:
            return name
    return "causal" if {"top-left", "bottom-right"} & set(has) else "no mask"


def verdicts(peers, asked):
    """Yield the Verdict of every peer on every question of its kind, in float64 and in float32."""
    for q in asked:
        for peer in peers:
            if peer.kind == q.kind:
                for dtype in np.float64, np.float32:
                    yield ask(peer, q, dtype)


def ask(peer, q, dtype):
    """The Verdict of one peer on one question in one precision."""
    lacks = [name for name in peer.lacks if name in q.has]
    name = np.dtype(dtype).name
    if lacks:
        return Verdict(peer.name, q, name, UNASKED, why=lacks[0])
    try:
        found = peer.run(cast(q.arguments, dtype), q.options)
    except Exception as error:          # whatever foreign code may raise is an answer too
        return Verdict(peer.name, q, name, DISAGREES, math.inf, f"{type(error).__name__}: {error}")
    verdict, near = answer(peer, q, dtype, found)
    if verdict.verdict == DISAGREES and near < CLOSE:   # the worst of few runs may be lucky
        if q.family != "golden vectors":
            err = errors(formula_of(q.kind), q.arguments, q.options, q.expected, np.float32, AGAIN)
            q = q._replace(err_plain=err)
        verdict, near = answer(peer, q, dtype, found, AGAIN)
    return verdict


def formula_of(kind):
    """What textbooks write of this kind; a NaN in an argument counts as 0."""
    formula = plain if kind == "attention" else plain_model
    return lambda arguments, options: formula(
        {name: np.nan_to_num(x) for name, x in arguments.items()}, options)


def answer(peer, q, dtype, found, *runs):
    """The Verdict on what a peer found, and by how much it missed the rule that it met best."""
    name = np.dtype(dtype).name
    exact = dict.fromkeys(q.expected, q.tol)
    allowed = exact if dtype == np.float64 else lower(q.expected, q.err_plain, dtype)
    agrees, *worst = compare(q.expected, found, allowed, q.zeros)
    if agrees:
        return Verdict(peer.name, q, name, AGREES, *worst), 0
    near = worst[0]
    for convention, (predict, formula) in peer.conventions.items():
        expected = predict(q.arguments, q.options)
        # NaN in their places
        if expected is not None and compare(expected, found, dict.fromkeys(expected, HUGE))[0]:
            rule = peer.precision or dtype
            least = exact if rule == np.float64 else lower(expected, q.err_plain, rule)
            err = errors(formula, q.arguments, q.options, expected, rule, *runs)
            allowed = {name: max(error, least[name])
                       for name, error in lower(expected, err, rule).items()}
            agrees, *met = compare(expected, found, allowed)
            if agrees:
                return Verdict(peer.name, q, name, convention, *met), 0
            near = min(near, met[0])
    return Verdict(peer.name, q, name, DISAGREES, *worst), near


def lower(expected, err, dtype):
    """The relative errors {name: error} that the published rule allows a precision in which a
    formula has these."""
    name = np.dtype(dtype).name
    return {key: allowed_error(x, err_plain=err[key], dtype=name)
            / (float(np.linalg.norm(np.nan_to_num(x))) or 1.0) or 1.0
            for key, x in expected.items()}


def compare(expected, found, allowed, zeros={}):   # noqa: B006 (read only)
    """Do all arrays agree? Then error / allowed error of the worst one, and its name. A NaN must be
    met by a NaN."""
    results = []
    for name, reference in expected.items():
        x, nan = np.asarray(found.get(name)), np.isnan(reference)
        if x.shape != reference.shape or not np.array_equal(np.isnan(x), nan):
            return False, math.inf, name
        error, agrees = agreement(np.where(nan, 0, reference), np.where(nan, 0, x),
                                  tol=allowed[name])
        if name in zeros and x[zeros[name]].any():
            error, agrees = math.inf, False
        results.append((agrees, -error / allowed[name], name))
    agrees, ratio, worst = min(results)
    return agrees, -ratio, worst


def table(found):
    """Sum Verdicts up, a dict for every peer, family and precision: how many cases, the worst,
    which verdicts."""
    groups, peers = {}, []
    for v in found:
        peers += [v.peer] if v.peer not in peers else []
        if v.verdict != UNASKED:
            groups.setdefault((v.peer, v.question.family, v.dtype), []).append(v)
    ordered = sorted(groups, key=lambda key: (peers.index(key[0]), FAMILIES.index(key[1]),
                                              key[2] != "float64"))
    return [{"case": ", ".join(key), "peer": key[0], "family": key[1], "dtype": key[2],
             "cases": len(groups[key]), "worst": max(v.ratio for v in groups[key]),
             "agrees": all(v.verdict != DISAGREES for v in groups[key]),
             "verdicts": tally(v.verdict for v in groups[key]),
             "disagree": [disagreement(v) for v in groups[key] if v.verdict == DISAGREES]}
             for key in ordered]


def disagreement(v):
    """One line on a Verdict that is DISAGREES."""
    off = f"off by {v.ratio:.3g} times the error allowed"
    off = off if v.ratio < math.inf else "shape, a zero or a NaN is wrong"
    return f"{v.question.name}, {v.dtype}: " + (f"{v.why}: {off}" if v.why in v.question.expected
                                                else v.why)


def tally(names):
    """{name: how often it came}"""
    return dict(Counter(names).most_common())


def crosscheck(framework, seed=0, watch=iter):
    """Ask the peers of a framework everything: a dict with its version, how many random cases had
    which option, the rows of `table` as "cases", and for every peer how many cases it cannot
    express. watch: shows who is asking how far."""
    asked = list(questions(seed, shapes=SHAPES.get(framework)))
    random = [q for q in asked if q.kind == "attention" and q.family != "golden vectors"]
    found = list(verdicts(PEERS[framework], watch(asked)))
    lacks = [v for v in found if v.verdict == UNASKED and v.dtype == "float64"]
    return {"framework": framework, "version": importlib.import_module(framework).__version__,
            "random": len(random), "options": tally(option for q in random for option in q.has),
            "cases": table(found), "unasked": {peer.name: tally(
                v.why for v in lacks if v.peer == peer.name) for peer in PEERS[framework]}}
