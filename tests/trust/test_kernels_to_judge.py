"""Kernels of NumPy, PyTorch and JAX, judged as a user would judge them, each with a planted fault beside it."""
import importlib.util
import sys
from pathlib import Path

import pytest

from minitf import golden_cases, judge

SPEC = importlib.util.spec_from_file_location("kernels_to_judge", Path(__file__).with_name("kernels_to_judge.py"))
kernels = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(kernels)
OPTIONS = {"softcap", "bias", "sinks", "window", "segments", "keep", "lse", "bottom-right", "broadcast"}
PLAIN = golden_cases("attention", without=OPTIONS | {"causal", "grouped"})


@pytest.mark.parametrize("case", PLAIN)
def test_numpy(case):
    verdict = judge(case, kernels.numpy_kernel)
    assert verdict, verdict


def test_numpy_with_a_fault():
    masked = [case for case in PLAIN if "mask" in case.tags and any(x.any() for x in case.gradients.values())
              and not (case.arguments["mask"].dtype == bool and case.arguments["mask"].all())]
    assert len(masked) > 10 and not any(judge(case, kernels.numpy_faulty) for case in masked)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pytorch(dtype):
    pytest.importorskip("torch")
    # PyTorch hides before it scales, refuses a mask beside is_causal, and keeps no heads apart without a head axis
    some = [case for case in golden_cases("attention", without=OPTIONS | {"no-heads", "large-logits"})
            if not {"mask", "causal"} <= case.tags and case.options.get("scale") != -0.7]
    assert len(some) > 40
    for case in some:
        verdict = judge(case, kernels.torch_sdpa, dtype=dtype)
        assert verdict, verdict
    grouped = [case for case in some if "grouped" in case.tags and case.arguments["k"].shape[-3] > 1]
    assert len(grouped) >= 5 and not any(judge(case, kernels.torch_faulty, dtype=dtype) for case in grouped)


def test_jax():
    jax = pytest.importorskip("jax")
    some = [case for case in golden_cases("attention", without=OPTIONS | {"no-heads", "large-logits", "empty-rows"})
            if case.arguments["q"].ndim == 4 and case.arguments["q"].shape[-1] == case.arguments["v"].shape[-1]
            and case.options.get("scale") != 0][::3]
    assert len(some) >= 8
    with jax.default_device(jax.devices("cpu")[0]):
        for case in some:
            verdict = judge(case, kernels.jax_attention, dtype="float32", layout="bthd")
            assert verdict, verdict
            assert not judge(case, kernels.jax_faulty, dtype="float32", layout="bthd") or case.options.get("scale") == 1


@pytest.mark.slow
def test_from_the_shell(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "kernels_to_judge", kernels)
    code, out, _ = run("check", "kernel", "kernels_to_judge:numpy_kernel", "--without", "grouped,broadcast")
    assert code == 0, out
    code, out, _ = run("check", "kernel", "kernels_to_judge:numpy_faulty", "--tags", "mask", "--without", "grouped")
    assert code == 1 and "DISAGREES" in out
