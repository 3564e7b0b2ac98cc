"""judge and golden_cases: what agrees, what does not, and what is not asked."""
import functools

import numpy as np
import pytest
from helpers import attention_cases

from minitf import attention, golden_cases, judge
from minitf.trust.frameworks.textbook import plain_attention
from minitf.trust.golden import load_golden
from minitf.trust.verdict import DIGITS, rounded_to


def kernel(q_ids=None, k_ids=None, **given):
    """minitf's attention in the protocol of kernels."""
    dy = tuple(given.pop(name) for name in ("dout", "dlse") if name in given)
    segments = {} if q_ids is None else {"segments": (q_ids, k_ids)}
    y, pullback = attention(**given, **segments)
    return y, pullback(dy if len(dy) > 1 else dy[0])


def textbook(dtype):
    """The plain formula in float32, its results rounded to a format."""
    def kernel(**given):
        given = {name: x.astype(np.float32) if getattr(x, "dtype", None) == np.float16 else x
                 for name, x in given.items()}
        with np.errstate(all="ignore"):
            found = plain_attention(**given)
        return {name: rounded_to(x.astype(np.float64), dtype) for name, x in found.items()}
    return kernel


@pytest.mark.parametrize("case", attention_cases())
def test_attention_agrees_in_a_call(case):
    verdict = judge(case, kernel)
    assert verdict, verdict
    assert verdict.table.splitlines()[0] == f"{case.name}, float64: agrees"


@pytest.mark.every(3)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_plain_formula_agrees_in_every_precision(dtype):
    for case in attention_cases():
        verdict = judge(case, textbook(dtype), dtype=dtype)
        assert verdict, verdict


@pytest.mark.slow
def test_pytest_calls_a_case_by_its_name(request):
    assert golden_cases("attention")[0].__name__ == golden_cases("attention")[0].name == "attention"


def test_tags_select_and_unknown_tags_are_refused(monkeypatch):
    monkeypatch.setattr("minitf.trust.golden.load_golden", functools.cache(load_golden))
    some = golden_cases("attention", tags=["mask", "grouped"], without={"empty-rows"})
    assert "grouped-mask" in {case.name for case in some}
    assert all({"mask", "grouped"} <= case.tags and "empty-rows" not in case.tags for case in some)
    assert len(golden_cases()) > len(golden_cases("attention")) > len(some) > 1
    assert len(golden_cases(tags="causal")) == len(golden_cases(tags=["causal"])) > 10
    for bad in {"tags": ["masked"]}, {"without": {"masked"}}, {"operator": "attend"}:
        with pytest.raises(ValueError, match=f"^{[*bad][0]}: expected some of .*, got"):
            golden_cases(**bad)


class OnlyDLPack:
    """An array of a library that speaks DLPack and nothing else."""
    def __init__(self, x):
        self.held = np.array(x)                                 # writable, as NumPy 1 can export no other

    def __dlpack__(self, **options):
        return self.held.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.held.__dlpack_device__()


@pytest.mark.parametrize("factor", [1.0, 1.0 + 1e-6])
def test_arrays_that_come_by_dlpack_alone_are_read_and_judged(factor):
    case = attention_cases()[0]

    def others(**given):
        y, gradients = kernel(**given)
        return OnlyDLPack(factor * y), tuple(map(OnlyDLPack, gradients))

    assert not hasattr(OnlyDLPack(0.0), "__array__")
    assert judge(case, others).agrees == (factor == 1.0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_arrays_of_ml_dtypes_go_in_and_out(dtype):
    """A kernel that computes in the format itself where the format is ml_dtypes': a fault beyond its rounding shows."""
    kind = pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else np.float16

    def others(factor):
        def run(**given):
            assert all(x.dtype == kind for x in given.values() if getattr(x, "dtype", np.dtype(bool)).kind in "fV")
            given = {name: x.astype(np.float32) if getattr(x, "dtype", None) == kind else x for name, x in given.items()}
            return {name: (factor * x).astype(kind) for name, x in plain_attention(**given).items()}
        return run

    def to_kind(x):
        return x.astype(kind) if x.dtype.kind == "f" else x

    for case in golden_cases("attention", tags="grouped", without={"lse", "segments", "large-logits"}):
        assert judge(case, others(1.0), dtype=dtype, array=to_kind)
        assert not judge(case, others(1.2), dtype=dtype, array=to_kind)


CASE, = (case for case in attention_cases() if case.name == "mask-empty")


def test_what_is_not_returned_is_not_wrong_and_nothing_is_not_right():
    right = kernel(**CASE.arguments, **CASE.cotangents)
    forward = judge(CASE, lambda **given: right[0])
    assert forward.agrees and "dq" in forward.table and "not given" in forward.table
    assert judge(CASE, {"dv": right[1][2]}) and judge(CASE, found=right)
    nothing = judge(CASE, {})
    assert not nothing.agrees and nothing.why == "out: not given"


@pytest.mark.parametrize("change, why", [
    ({"out": lambda x: x + 1e-9}, "out: off by"), ({"dq": lambda x: x[..., :2]}, "dq: expected shape"),
    ({"out": lambda x: np.where(x == 0, 1e-30, x)}, "out: not exactly zero where it must be"),
    ({"dk": lambda x: np.full_like(x, np.nan)}, "dk: 112 of 112 entries are NaN"),
    ({"dv": lambda x: x + 0j}, "dv: expected real numbers, got complex128"),
    ({"lse": lambda x: np.where(np.isinf(x), -1e9, x)}, "lse: infinite, or not zero, where it may not"),
])
def test_why_a_kernel_disagrees(change, why):
    verdict = judge(CASE, {name: change.get(name, lambda x: x)(x) for name, x in CASE.expected.items()})
    assert not verdict and verdict.why.startswith(why) and "DISAGREES" in str(verdict)


def test_heads_may_be_the_third_axis():
    def turned(**given):
        given = {name: x.swapaxes(1, 2) if name in ("q", "k", "v", "dout") else x for name, x in given.items()}
        out, grads = kernel(**given)
        return [x.swapaxes(1, 2) for x in (out, *grads[:3])]
    for case in golden_cases("attention", tags=["grouped"], without=["lse"]):
        assert judge(case, turned, layout="bthd"), case.name


@pytest.mark.parametrize("dtype", DIGITS)
def test_rounding_to_a_format(dtype):
    x = np.array([1.0, 1 + 2.0 ** -DIGITS[dtype] * 1.01, -3.14159, 0.0, 1e-3, -np.inf])
    y = rounded_to(x, dtype).astype(np.float64)
    assert y[1] == 1 + 2.0 ** (1 - DIGITS[dtype]) and y[3] == 0 and y[5] == -np.inf
    assert np.all(np.abs(y[:5] - x[:5]) <= 2.0 ** -DIGITS[dtype] * np.abs(x[:5]))
    if dtype == "bfloat16":
        ml_dtypes = pytest.importorskip("ml_dtypes")
        x = np.random.default_rng(0).standard_normal(1000)
        assert np.array_equal(rounded_to(x, dtype), x.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_a_format_that_overflows_is_skipped_and_arguments_are_checked():
    null = CASE._replace(err_plain={"float32": CASE.err_plain["float32"], "float16": None})
    assert judge(null, lambda **given: 1 / 0, dtype="float16").agrees
    with pytest.raises(ValueError, match="^dtype: expected one of"):
        judge(CASE, kernel, dtype="float8")
    with pytest.raises(ValueError, match="^layout: expected one of bhtd, bthd"):
        judge(CASE, kernel, layout="hbtd")
    with pytest.raises(ValueError, match="^kernel, found: expected one of them"):
        judge(CASE)


def test_arrays_of_other_libraries_come_and_go():
    torch = pytest.importorskip("torch")
    case = next(case for case in attention_cases() if case.name == "grouped-mask")

    def sdpa(q, k, v, dout, mask):
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        out = torch.nn.functional.scaled_dot_product_attention(*leaves, attn_mask=mask, enable_gqa=True)
        return out, torch.autograd.grad(out, leaves, dout)
    assert judge(case, sdpa, array=torch.tensor)

    def half(x):
        return torch.tensor(x, dtype=torch.bfloat16) if x.dtype.kind == "f" else torch.tensor(x)
    assert judge(case, lambda **given: sdpa(**given)[0], dtype="bfloat16", array=half)
