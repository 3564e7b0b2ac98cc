"""Anybody's kernel against the golden cases and random ones: what `minitf check kernel` does.

    report = check_kernel("my_module:my_kernel", tags=["causal"], dtype="bfloat16", random=200)
    report["cases"][0]                  {"case": ..., "agrees": ..., "ratio": ..., "why": ...}
"""
import importlib
import inspect
import sys
from collections import Counter
from xml.etree import ElementTree

from minitf.checks import require
from minitf.trust.fuzz import build, random_cases, script, shrink
from minitf.trust.golden import golden_cases
from minitf.trust.verdict import MISSING, SILENT, Row, Verdict, asked, judge

BESIDE = {"A", "lse", "lse2"}           # golden values that a kernel need not have


def load_kernel(name):
    """The function that "module:function" names, modules of the working folder included."""
    module, colon, function = name.partition(":")
    require(bool(module and function), "kernel", "MODULE:FUNCTION", name)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        kernel = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"kernel: expected a function of a module that loads, got {name!r}: "
                         f"{error}") from None
    require(callable(kernel), "kernel", "a function", kernel)
    return kernel


def unasked(kernel, case):
    """The options and arguments of a case that the signature of a kernel does not know."""
    try:
        known = inspect.signature(kernel).parameters
    except (TypeError, ValueError):
        return []
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return []
    return [name for name in (*case.arguments, *case.cotangents, *case.options)
            if name not in known]


def verdict_on(kernel, case, dtype, layout="bhtd"):
    """The verdict on a kernel; what it raises is a disagreement."""
    try:
        return judge(case, kernel, dtype=dtype, layout=layout)
    except (Exception, SystemExit) as error:        # whatever foreign code may raise is an answer
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Verdict(case.name, dtype, (Row("raised", float("inf"), 0.0, False, why),))


def selected(kernel, tags, without, random, seed):
    """The golden cases that tags select, and random ones with the same that the kernel can be
    asked: pairs (spec or None, case)."""
    operators = {case.op for case in golden_cases()}
    operator = None if operators & set(tags) else "attention"
    golden = [(None, case) for case in golden_cases(operator, tags=tags, without=without)]
    return golden + list(random_cases(seed, random, lambda case: not unasked(kernel, case) and
                                      set(tags) <= case.tags and not set(without) & case.tags))


def check_kernel(name, *, tags=(), without=(), dtype="float64", layout="bhtd", random=0, seed=0):
    """Judge a kernel on all golden cases of attention, or of the operator among the tags, and on
    random ones; return a dict of rows, counts, and the script of the smallest random failure."""
    kernel = load_kernel(name)
    rows, lacks, smallest, drawn = [], Counter(), None, 0
    silent = {why: Counter() for why in SILENT}
    for spec, case in selected(kernel, tags, without, random, seed):
        missing = unasked(kernel, case)
        if missing:
            lacks[missing[0]] += 1
            continue
        verdict = verdict_on(kernel, case, dtype, layout)
        drawn += spec is not None
        beside = BESIDE - ({"lse"} if case.options.get("lse") else set())
        for row in verdict.rows:
            if row.why in SILENT and (row.why != MISSING or row.name not in beside):
                silent[row.why][row.name] += 1
        rows.append({"case": case.name, "tags": sorted(case.tags), "agrees": verdict.agrees,
                     "ratio": verdict.ratio, "why": verdict.why})
        if spec is not None and not verdict and smallest is None:
            smallest = shrink(spec, lambda case: not unasked(kernel, case)
                              and not verdict_on(kernel, case, dtype, layout))
    found = None
    if smallest is not None:
        case = build(smallest)
        case = case._replace(**{group: asked(part, dtype, layout) for group, part in (
            ("arguments", case._replace(cotangents={})),
            ("cotangents", case._replace(arguments={})))})
        found = script(case, name)
    return {"kernel": name, "dtype": dtype, "cases": rows, "not_asked": dict(lacks),
            "script": found, "random": [drawn, random],
            **{why.replace(" ", "_"): dict(names) for why, names in silent.items()}}


def by_tag(rows):
    """{tag: (cases, agreeing, largest error in units of its limit)}, most cases first."""
    tags = Counter(tag for row in rows for tag in row["tags"])
    return {tag: (count, sum(row["agrees"] for row in rows if tag in row["tags"]),
                  max(row["ratio"] for row in rows if tag in row["tags"]))
            for tag, count in tags.most_common()}


def junit(report):
    """The report as JUnit XML, a testcase a case."""
    rows = report["cases"]
    suite = ElementTree.Element("testsuite", name=report["kernel"], tests=str(len(rows)),
                                failures=str(sum(not row["agrees"] for row in rows)))
    for row in rows:
        name = f"{report['kernel']} {report['dtype']}"
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=row["case"])
        if not row["agrees"]:
            ElementTree.SubElement(case, "failure", message=row["why"])
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
