"""Kernels that end the process, overwrite what they are given, or return more, less, or something else than was asked for."""
import sys

import numpy as np
import pytest
from helpers import attention_cases

from minitf import attention, golden_cases, judge

CASE = {case.name: case for case in attention_cases()}["attention"]

ODD = '''import sys
import numpy as np
from minitf import attention

def right(q, k, v, dout, mask=None, scale=None):
    out, pullback = attention(q, k, v, mask=mask, scale=scale)
    return dict(zip(("out", "dq", "dk", "dv"), (out, *pullback(dout))))

def ends(q, k, v, dout, mask=None, scale=None):
    sys.exit(0)

def talks(q, k, v, dout, mask=None, scale=None):
    raise ValueError("line\\n" * 500)

def forward(q, k, v, dout, mask=None, scale=None):
    found = right(q, k, v, dout, mask, scale)
    return {"out": found["out"], "grad_q": 7 * found["dq"]}
'''


def right(q, k, v, dout, **options):
    out, pullback = attention(q, k, v, **options)
    return dict(zip(("out", "dq", "dk", "dv"), (out, *pullback(dout))))


def overwrites(q, k, v, dout, **options):
    found = right(q, k, v, dout, **options)
    q[...] = found["dq"]
    return found | {"dq": q}


@pytest.fixture
def desk(run, tmp_path, monkeypatch):
    (tmp_path / "odd.py").write_text(ODD)
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.every(2)
@pytest.mark.parametrize("name, said", [("ends", "raised: SystemExit"), ("talks", "raised: ValueError: line line line")])
def test_a_kernel_that_ends_or_talks_on_disagrees_in_a_line(run, desk, name, said):
    code, out, err = run("check", "kernel", f"odd:{name}", "--tags", "scale", "--without", "grouped,broadcast")
    assert (code, err) == (1, "") and said in out and max(map(len, out.splitlines())) <= 300


@pytest.mark.slow
def test_what_was_not_judged_is_said(run, desk):
    code, out, _ = run("check", "kernel", "odd:forward", "--tags", "scale", "--without", "grouped,broadcast")
    assert code == 0 and "not given, and so not judged: " in out and "dq 14" in out and "given, and not asked for: grad_q " in out
    code, out, _ = run("check", "kernel", "odd:right", "--tags", "no-heads", "--random", 3)
    assert code == 0 and "0 of 3 random cases: no more were found that have these tags" in out and "not given" not in out


def test_an_argument_that_is_overwritten_is_a_fault():
    kept = {name: x.copy() for name, x in CASE.arguments.items()}
    verdict = judge(CASE, overwrites)
    assert not verdict and verdict.why == "q: an argument that the kernel changed"
    assert all(np.array_equal(x, CASE.arguments[name]) for name, x in kept.items())
    shared = judge(CASE, overwrites, array=lambda x: x)          # as torch.as_tensor shares its memory
    assert not shared and judge(CASE, overwrites, array=np.copy) and judge(CASE, right)


def test_masked_entries_are_no_numbers():
    found = right(**CASE.arguments, **CASE.cotangents)
    verdict = judge(CASE, found | {"dv": np.ma.masked_array(found["dv"], mask=True)})
    assert not verdict and "are NaN" in verdict.why
    assert judge(CASE, found | {"dv": np.ma.masked_array(found["dv"])})


def test_more_than_was_asked_for_is_named():
    found = right(**CASE.arguments, **CASE.cotangents)
    verdict = judge(CASE, (*found.values(), 1, 2))
    assert verdict and "entry 4" in str(verdict) and "not asked for" in str(verdict) and "nan" not in str(verdict)
    assert judge(CASE, {"grad_q": found["dq"]}).agrees is False
    with pytest.raises(TypeError, match="^array: expected a function of an array, got 3$"):
        judge(CASE, right, array=3)


def test_tags_of_attention_are_listed_first():
    with pytest.raises(ValueError, match="^tags: expected some of .*causal.*, got 'foo'$"):
        golden_cases("attention", tags="foo")
