"""Golden vectors: the files are what was published, minitf meets them, the rule rejects what it must, and they come out
the same when they are computed again."""
import contextlib
import functools
import hashlib
import io
import json
import math
import re
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from damage import DAMAGE, FOLDER, edit_manifest
from helpers import ROOT

from minitf import attention_blocked, cli
from minitf.trust import golden, reference
from minitf.trust.golden import GROUPS, golden_folder, load_golden
from minitf.trust.reference import check_golden, computed
from minitf.trust.verdict import agreement, judge

CASES = {case.name: case for case in load_golden(FOLDER)}
ATTENTION = [case for case in CASES.values() if case.op == "attention"]
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())


# the files

def test_the_collection_is_as_large_as_promised_and_no_larger():
    assert len({(case.op, json.dumps(case.options, sort_keys=True)) for case in CASES.values()}) >= 80
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4e6
    assert golden_folder() == FOLDER
    operators = {"add", "linear", "embed", "softmax", "cap", "layer_norm", "unit_ball", "identity", "relu", "gelu",
                 "logistic", "mean_bit", "cls_head", "attention", "attention_tangent", "attention_hvp",
                 "attention_rope", "attention_qk_norm", "forward", "Ball", "Simplex", "Intersection",
                 "projection", "lmo", "projected_gradient"}
    assert {case.op for case in CASES.values()} == operators
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"{len(CASES)} cases" in text and f"{len(CASES)} cases" in README
    assert all(f"`{name}`" in text for name in operators | {key for entry in MANIFEST["cases"] for key in entry})
    assert {path.stem for path in FOLDER.glob("*.npz")} == set(CASES)


def test_every_array_has_its_place_and_its_source():
    for case in CASES.values():
        arrays = [name for group in GROUPS for name in getattr(case, group)]
        assert len(arrays) == len(set(arrays)) and set(case.sources) == set(case.expected), case.name
        assert set(case.sources.values()) == {"mpmath"}
        assert all(set(errors) == set(case.expected) for errors in case.err_plain.values() if errors)
        if case.family not in ("projections", "training", "tangents", "second derivatives"):
            assert case.cotangents and case.gradients, case.name
        if case.op == "attention":
            assert list(case.arguments)[:3] == ["q", "k", "v"]
            assert list(case.saved) == ["A", "lse2" if case.options.get("lse") else "lse"]
            assert list(case.gradients) == ["dq", "dk", "dv", *(
                f"d{name}" for name in ("bias", "sinks") if name in case.arguments)]
            assert list(case.outputs) == [name[1:] for name in case.cotangents]


# nobody attends to anything, and only dlse would reach a sink
SILENT = {("sinks-none-left", "dsinks"), ("sinks-no-keys", "dsinks"), ("lse-no-keys", "lse")}


def test_no_reference_is_constant_or_negligible_but_for_conventions():
    for case in CASES.values():
        assert not any(np.isnan(x).any() for x in case.expected.values())
        for name, x in (case.outputs | case.gradients).items():
            x = x[np.isfinite(x)]
            free = x[x != 0] if name in case.exact_zeros or (case.name, name) in SILENT else x.ravel()
            if free.size:
                assert np.linalg.norm(free) > 1e-5 * math.sqrt(free.size), (case.name, name)
                assert free.size == 1 or name == "lse" or np.ptp(free) > 1e-3 * np.abs(free).max(), \
                    (case.name, name)


def test_the_format_is_read_without_numpy_as_its_page_says():
    """A member is 10 bytes, a header of the length in bytes 8 and 9, and the entries: shapes are in the manifest."""
    sizes = {"<f8": ("d", 8), "|b1": ("?", 1), "|u1": ("B", 1), "<i8": ("q", 8)}
    for entry in MANIFEST["cases"]:
        with zipfile.ZipFile(FOLDER / entry["file"]) as archive:
            assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
            members = {name[:-4]: archive.read(name) for name in archive.namelist()}
        assert list(members) == [name for group in GROUPS for name in entry[group]] == list(entry["shapes"])
        for name, content in members.items():
            (letter, size), shape = sizes[entry["dtypes"][name]], entry["shapes"][name]
            start = 10 + struct.unpack("<H", content[8:10])[0]
            assert content[:8] == b"\x93NUMPY\x01\x00" and len(content) == start + size * math.prod(shape)
            case = CASES[entry["name"]]
            x = next(getattr(case, group)[name] for group in GROUPS if name in getattr(case, group))
            assert list(struct.unpack(f"<{math.prod(shape)}{letter}", content[start:])) == x.ravel().tolist()


def test_the_manifest_is_strict_json_and_checked_by_sha256sum():
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")
    content = (FOLDER / "manifest.json").read_bytes()
    json.loads(content, parse_constant=refuse)
    published = (FOLDER / "manifest.json.sha256").read_text()
    assert published == f"{hashlib.sha256(content).hexdigest()}  manifest.json\n"


# damage

@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(FOLDER, tmp_path / "golden"))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_and_refused(copy, damage, monkeypatch, capsys):
    name, spoil = DAMAGE[damage]
    spoil(copy / name)
    with pytest.raises((ValueError, OSError)) as error:
        load_golden(copy)
    assert name in str(error.value) and "\n" not in str(error.value)
    monkeypatch.setattr(golden, "golden_folder", lambda: copy)
    with pytest.raises(SystemExit) as end:
        cli.commands.main(["check", "golden"])
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "") and err.count("\n") == 1 and name in err


def test_only_what_is_asked_for_is_read(copy):
    DAMAGE["delete"][1](copy / "gelu.npz")
    assert [case.name for case in load_golden(copy, ["relu", "add"])] == ["relu", "add"]
    with pytest.raises(ValueError, match="names: expected names of cases in .*manifest.json, got 'nothing'"):
        load_golden(copy, ["nothing"])


def test_an_unknown_format_and_a_missing_folder_are_refused(copy, monkeypatch):
    edit_manifest(copy, lambda m: m.update(format=2), publish=True)
    with pytest.raises(ValueError, match="manifest.json: format: expected 1, got 2"):
        load_golden(copy)
    monkeypatch.setattr(golden, "__file__", str(copy / "a" / "b" / "golden.py"))
    with pytest.raises(FileNotFoundError, match="the golden vectors are not installed"):
        golden_folder()


# the rule

REFERENCE = np.array([3.0, 0.0, -4.0])


@pytest.mark.parametrize("found, agrees", [
    ([3.0, 0.0, -4.0], True), ([3.0, 0.0, -4.0 + 4e-12], True), ([3.0, 0.0, -4.0 + 6e-12], False),
    ([3.0, 1e-30, -4.0], False), ([3.0, -0.0, -4.0], True), ([3.0, math.nan, -4.0], False),
    ([3.0, 0.0, math.inf], False), ([[3.0, 0.0, -4.0]], False), ([3.0, 0.0], False), (None, False), ("3", False),
    ([3.0, 0.0, -4.0 + 0j], False),
])
def test_agreement_in_float64(found, agrees):
    error, verdict = agreement(REFERENCE, found, tol=1e-12, exact_zeros=True)
    assert verdict is agrees and (agrees <= (error <= 1e-12))


def test_agreement_returns_the_relative_error():
    assert agreement(REFERENCE, REFERENCE + [0, 0.5, 0], tol=0.1) == (0.1, True)
    assert agreement(REFERENCE, REFERENCE + [0, 0.5, 0], tol=0.0999) == (0.1, False)
    assert agreement(REFERENCE, [3.0, math.nan, -4.0], tol=1.0) == (math.inf, False)


def test_agreement_of_infinite_entries_and_of_zeros():
    lse = np.array([-math.inf, 5.0])
    assert agreement(lse, [-math.inf, 5.0], tol=1e-12) == (0.0, True)
    assert agreement(lse, [-math.inf, 5.0001], tol=1e-6) == (pytest.approx(2e-5), False)
    for wrong in ([math.inf, 5.0], [-1e9, 5.0], [math.nan, 5.0], [-math.inf, -math.inf]):
        assert not agreement(lse, wrong, tol=1.0)[1]
    assert agreement(np.zeros(2), np.zeros(2), tol=1e-12) == (0.0, True)
    assert agreement(np.zeros(2), [0, 1e-300], tol=1e-12) == (math.inf, False)
    assert agreement(np.zeros((2, 0)), np.zeros((2, 0)), tol=1e-12) == (0.0, True)


@pytest.mark.parametrize("dtype, eps", [(np.float32, 2.0**-23), (np.float16, 2.0**-10)])
def test_agreement_in_lower_precision(dtype, eps):
    limit = 2 * 1e-3 + 4 * eps * 5
    for factor, agrees in (0.99, True), (1.01, False):
        found = REFERENCE + [0, factor * limit, 0]
        assert agreement(REFERENCE, found, tol=1e-12, err_plain=1e-3, dtype=dtype)[1] is agrees
        assert agreement(REFERENCE, found, tol=1e-12, err_plain=1e-3, dtype=dtype, exact_zeros=True)[1] is False
    with pytest.raises(ValueError, match="err_plain: expected the error of the plain formula in float"):
        agreement(REFERENCE, REFERENCE, tol=1e-12, dtype=dtype)


# minitf against the values

def test_minitf_agrees_with_every_case():
    rows = list(check_golden())
    assert len(rows) == len(CASES) and [row for row in rows if not row["agrees"]] == []
    assert max(row["ratio"] for row in rows) < 0.2


def single(x):
    return x.astype(np.float32) if x.dtype == np.float64 else x


def test_minitf_agrees_in_float32():
    for case in CASES.values():
        found = computed(case._replace(arguments={name: single(x) for name, x in case.arguments.items()},
                                       cotangents={name: single(x) for name, x in case.cotangents.items()}))
        for name, exact in case.expected.items():
            plain, zeros = case.err_plain["float32"][name], name in case.exact_zeros
            assert agreement(exact, found[name], tol=case.tol, err_plain=plain, exact_zeros=zeros,
                             dtype=np.float32)[1], (case.name, name)


def blocked(q_ids=None, k_ids=None, **given):
    dy = tuple(given.pop(name) for name in ("dout", "dlse") if name in given)
    segments = None if q_ids is None else (q_ids, k_ids)
    y, pullback = attention_blocked(**given, segments=segments)
    return y, pullback(dy if len(dy) > 1 else dy[0])


@pytest.mark.every(2)
@pytest.mark.parametrize("block", [1, 3])
def test_attention_in_blocks_agrees(block):
    for case in ATTENTION:
        verdict = judge(case._replace(saved={}), functools.partial(blocked, block=block))
        assert verdict, verdict


def single_inside(case):
    found = computed(case._replace(arguments={name: single(x) for name, x in case.arguments.items()}))
    return found | {"dv": found["dv"].astype(np.float64)}


FAULTS = {
    "arguments in float32": single_inside,
    "NaN": lambda case: computed(case) | {"dk": np.full_like(case.gradients["dk"], np.nan)},
    "zeros": lambda case: {name: np.zeros_like(x) for name, x in case.expected.items()},
    "twice the tolerance": lambda case: computed(case) | {"out": case.outputs["out"] * (1 + 2 * case.tol)},
    "a gradient of another shape": lambda case: computed(case) | {"dq": case.gradients["dq"][..., :1]},
    "no scale": lambda case: computed(case._replace(options=case.options | {"scale": 1.1})),
    "softcap forgotten": lambda case: computed(case._replace(options=case.options | {"softcap": None})),
    "causal forgotten": lambda case: computed(case._replace(options=case.options | {"causal": False})),
    "heads permuted": lambda case: computed(case._replace(arguments=case.arguments | {
        "k": case.arguments["k"][..., ::-1, :, :]})),
    "mask forgotten": lambda case: computed(case._replace(arguments={
        name: x for name, x in case.arguments.items() if name != "mask"})),
    "mask of the forward alone": lambda case: FAULTS["mask forgotten"](case) | {
        name: computed(case)[name] for name in ("out", "A", "lse")},
}


def touched(fault, case):
    """Whether a fault matters to a case."""
    needs = {"softcap forgotten": "softcap" in case.options, "causal forgotten": "causal" in case.options and case.arguments["q"].shape[-2] > 1,
             "no scale": case.family == "attention" and case.options.get("scale") != 0,
             "mask forgotten": "mask" in case.arguments, "mask of the forward alone": "mask" in case.arguments,
             "heads permuted": case.family == "heads" and case.arguments["k"].shape[-3] > 1}
    zero = all(not x.any() for x in (case.outputs | case.gradients).values())
    return needs.get(fault, case.family in ("attention", "masks")) and not zero


OLD = "attention", "masks", "causal", "heads", "logits"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_kernel_disagrees_in_every_case_that_it_touches(fault):
    cases = [case for case in ATTENTION if touched(fault, case) and case.family in OLD]
    assert len(cases) >= 5
    for case in cases:
        assert not judge(case, FAULTS[fault](case)), case.name


@pytest.mark.slow
def test_check_golden_prints_a_table_or_json_and_fails_on_a_disagreement(capsys, monkeypatch):
    def run(*words):
        with pytest.raises(SystemExit) as end:
            cli.commands.main(["check", "golden", *words])
        return end.value.code or 0, capsys.readouterr().out

    code, out = run()
    assert code == 0 and out.endswith(f"{len(CASES)} of {len(CASES)} cases agree with their golden values\n")
    assert re.search(r"^causal +20 +\d", out, re.M) and "DISAGREES" not in out
    few = [CASES[name] for name in ("add", "mask-empty", "project-l1", "project-l2")]
    monkeypatch.setattr(reference, "load_golden", lambda folder: few)
    code, out = run("--json")
    record = json.loads(out)
    assert code == 0 and record["failed"] == [] and len(record["cases"]) == 4
    monkeypatch.setattr(reference, "computed", lambda case: computed(case) | ({"p": None} if case.op == "Ball" else {}))
    code, out = run()
    assert code == 1 and re.search(r"^projections +2 +inf  DISAGREES$", out, re.M)
    assert re.search(r"^project-l1: p is off by inf, tolerance 1e-12$", out, re.M)
    assert json.loads(run("--json")[1])["failed"] == ["project-l1", "project-l2"]
    almost = few[1].outputs["out"] + 1e-30
    monkeypatch.setattr(reference, "computed", lambda case: computed(case) | (
        {"out": almost} if case.name == "mask-empty" else {}))
    code, out = run()
    assert code == 1 and re.search(r"^mask-empty: out is not exactly zero where it must be$", out, re.M)


# the script of the README

README = (ROOT / "minitf" / "trust" / "README.md").read_text(encoding="utf-8")
SCRIPT, = [code for code in re.findall(r"```python\n(.*?)```", README, flags=re.S) if "manifest.json" in code]


def run_script(code, monkeypatch):
    monkeypatch.chdir(ROOT)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    return printed.getvalue().splitlines()


@pytest.mark.parametrize("dtype", ["np.float64", "np.float32"])
def test_the_script_of_the_readme_needs_numpy_alone_and_agrees(dtype, monkeypatch):
    assert len(SCRIPT.splitlines()) <= 25
    assert set(re.findall(r"^import (\w+)|^from (\w+)", SCRIPT, flags=re.M)) == {("json", ""), ("numpy", "")}
    lines = run_script(SCRIPT.replace('"data/golden", np.float64', f'"data/golden", {dtype}'), monkeypatch)
    assert len(lines) >= 100 and all(line.endswith(" agrees") for line in lines)


@pytest.mark.parametrize("right, wrong, share", [
    ("scale * (q @", "(q @", 0.5), ("dS = scale * A", "dS = A", 0.2), ("(A * dA).sum(axis=-1, keepdims=True)", "0", 0.3),
    ("return A @ v,", "return np.nan * A @ v,", 0.2), ("return A @ v,", "return (A @ v)[0],", 0.2),
    ("return A @ v,", "return 0 * (A @ v),", 0.2), ("np.where(mask, S, -np.inf)", "np.where(mask, S, -20)", 0.2),
    ("return A @ v,", "return (A @ v).astype(np.float32),", 0.2), ("dS @ k", "dS @ k + 1e-11", 0.2),
])
@pytest.mark.every(3)
def test_the_script_of_the_readme_reports_a_wrong_kernel(right, wrong, share, monkeypatch):
    assert right in SCRIPT
    lines = run_script(SCRIPT.replace(right, wrong), monkeypatch)
    assert sum(line.endswith(" DISAGREES") for line in lines) >= share * len(lines)
