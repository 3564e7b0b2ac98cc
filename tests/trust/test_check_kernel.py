"""minitf check kernel: a kernel of the user's, judged from the command line."""
import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import ROOT

from minitf.trust.fuzz import OFF, build, random_cases, script, shrink
from minitf.trust.verdict import judge, rounded_to

MINE = '''import numpy as np

def right(q, k, v, dout, mask=np.array(True), scale=None):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if q.ndim > 2 and q.shape[-3] != k.shape[-3]:
        raise NotImplementedError("shared key heads")
    S = scale * (q @ k.swapaxes(-1, -2))
    S = np.where(mask, S, -np.inf) if mask.dtype == bool else S + mask
    A = np.exp(S - S.max(axis=-1, keepdims=True, initial=-1e30))
    A /= np.maximum(A.sum(axis=-1, keepdims=True), 1e-30)
    dA = dout @ v.swapaxes(-1, -2)
    dS = scale * A * (dA - (A * dA).sum(axis=-1, keepdims=True))
    return A @ v, dS @ k, dS.swapaxes(-1, -2) @ q, A.swapaxes(-1, -2) @ dout

def no_scale_back(q, k, v, dout, scale=None):
    out, dq, dk, dv = right(q, k, v, dout, scale=scale)
    return out, dq / (scale or 1), dk, dv

number = 3
'''


@pytest.fixture
def desk(run, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_a_right_kernel_and_what_it_was_not_asked(run, desk):
    code, out, err = run("check", "kernel", "mine:right", "--without", "grouped,broadcast",
                         "--random", 6, "--seed", 3)
    assert (code, err) == (0, "") and "DISAGREES" not in out
    assert "not asked, for a named argument or option that the kernel does not take: " in out and "softcap " in out
    assert out.rstrip().splitlines()[-1].endswith("cases agree with their golden values")
    record = json.loads(run("check", "kernel", "mine:right", "--tags", "mask,scale", "--without",
                            "grouped", "--dtype", "float32", "--json")[1])
    assert record["dtype"] == "float32" and record["failed"] == [] and record["cases"]
    assert all({"mask", "scale"} <= set(row["tags"]) for row in record["cases"])


@pytest.mark.slow
def test_a_wrong_kernel_ends_with_1_a_script_and_junit(run, desk):
    code, out, err = run("check", "kernel", "mine:no_scale_back", "--without", "grouped,broadcast",
                         "--tags", "scale", "--random", 6, "--junit", "report.xml")
    assert code == 1 and "attention-scale1.5: dq: off by" in out and "attention-scale1:" not in out
    suite = ElementTree.parse(desk / "report.xml").getroot()
    cases = suite.findall("testcase")
    assert int(suite.get("tests")) == len(cases) >= 10
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) >= 2
    code = out.split("the smallest random case that disagrees:\n\n")[1].rsplit("\n", 2)[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=desk, capture_output=True, text=True)
    errors = dict(line.split() for line in done.stdout.splitlines())
    assert float(errors["dq"]) > 0.1 and max(float(errors[x]) for x in ("out", "dk", "dv")) < 1e-12


@pytest.mark.parametrize("words, message", [
    (["kernel"], "a kernel, MODULE:FUNCTION, belongs to check kernel"),
    (["golden", "mine:right"], "a kernel, MODULE:FUNCTION, belongs to check kernel"),
    (["kernel", "mine"], "kernel: expected MODULE:FUNCTION, got 'mine'"),
    (["kernel", "mine:left"], "kernel: expected a function of a module that loads, got 'mine:left'"),
    (["kernel", "nobody:f"], "kernel: expected a function of a module that loads"),
    (["kernel", "mine:number"], "kernel: expected a function, got 3"),
    (["kernel", "mine:right", "--tags", "masked"], "--tags: expected some of"),
])
def test_bad_input_is_one_line(run, desk, words, message):
    code, out, err = run("check", *words)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


@pytest.mark.slow
def test_nothing_to_ask_is_not_agreement(run, desk):
    code, out, _ = run("check", "kernel", "mine:right", "--tags", "causal")
    assert code == 1 and "0 of 0 cases" in out


@pytest.mark.slow
def test_random_cases_are_repeatable_and_shrink_to_the_fault():
    first, again = (list(random_cases(7, 10)) for _ in range(2))
    assert [spec for spec, _ in first] == [spec for spec, _ in again]
    used = {name for spec, _ in random_cases(1, 150) for name in OFF if spec[name] != OFF[name]}
    assert used == set(OFF)

    def fails(case):
        return "sinks" in case.arguments and case.options.get("lse", False)
    spec = next(spec for spec, case in random_cases(1, 150) if fails(case))
    small = shrink(spec, fails)
    assert [name for name in OFF if small[name] != OFF[name]] == ["sinks", "lse"]
    assert (small["lead"], small["H"], small["Tq"], small["dv"]) == ((), 1, 1, 1)
    assert "sinks" in script(build(small), "a:b")


@pytest.mark.slow
def test_no_right_kernel_is_refused_in_any_format():
    """One that rounds the weights and dS to the format before its products, as fused kernels do, too."""
    from minitf.trust.frameworks import textbook

    def kernel(dtype, fused):
        def low(x):
            return rounded_to(x.astype(np.float64), dtype).astype(np.float32)
        names = vars(textbook) | {"low": low}
        source = (ROOT / "minitf" / "trust" / "frameworks" / "textbook.py").read_text(encoding="utf-8")
        source = source[source.index("def plain_attention"):source.index("def plain_scores")]
        assert "out = (A * keep) @ V" in source and "    grads = {\"dq\"" in source
        exec(source.replace("out = (A * keep) @ V", "A = low(A); out = (A * keep) @ V").replace(
            "    grads = {\"dq\"", "    dS = low(dS)\n    grads = {\"dq\"") if fused else source, names)

        def kernel(**given):
            given = {name: x.astype(np.float32) if getattr(x, "dtype", None) == np.float16 else x
                     for name, x in given.items()}
            with np.errstate(all="ignore"):
                found = names["plain_attention"](**given)
            return {name: rounded_to(x.astype(np.float64), dtype) for name, x in found.items()}
        return kernel

    kernels = [(dtype, kernel(dtype, fused)) for dtype in ("float64", "float32", "bfloat16", "float16")
               for fused in (False, True) if not fused or dtype in ("bfloat16", "float16")]
    for _, case in random_cases(11, 60):
        for dtype, one in kernels:
            verdict = judge(case, one, dtype=dtype)
            assert verdict, verdict
