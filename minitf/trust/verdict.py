"""The published rule of the golden vectors, and the verdict on a kernel.

    verdict = judge(case, my_kernel, dtype="bfloat16")
    assert verdict, str(verdict)                        # a table: output, error, limit, why

A kernel is any function kernel(**arguments, **cotangents, **options) that returns a dict by name,
or a tuple in the order of the case: outputs, then gradients. What it does not return is not judged;
an argument that it changes is a fault.
"""
import functools
import math
from typing import NamedTuple

import numpy as np

from minitf.checks import choice, instance, require
from minitf.projections import l2
from minitf.trust.frameworks.conventions import FUSED
from minitf.trust.frameworks.textbook import errors, plain
from minitf.trust.golden import Golden

DIGITS = {"float64": 53, "float32": 24, "bfloat16": 8, "float16": 11}      # of a significand
LAYOUTS = "bhtd", "bthd"
MISSING, EXTRA = SILENT = "not given", "not asked for"                # and so not judged
OF_ROWS = {"q", "k", "v", "out"}               # arrays with a head axis and a row axis


def rounded_to(x, dtype):
    """The entries of an array rounded to a format, as an array of that dtype; bfloat16, which NumPy
    lacks, as float32 numbers."""
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return x.astype(dtype)
    digits, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(digits, 8)), exponent - 8).astype(np.float32)


def allowed_error(reference, *, tol=None, err_plain=None, dtype="float64"):
    """The l2 error that the published rule allows.

    tol ||reference||                         in float64
    2 err_plain + 4 eps ||reference||         where err_plain is given; eps = 2^(1 - digits)
    """
    size = float(l2(reference[np.isfinite(reference)], -1))
    if err_plain is None:
        what = f"the error of the plain formula in {dtype}"
        require(dtype == "float64", "err_plain", what, err_plain)
        return tol * size
    return 2 * err_plain + 4 * 2.0 ** (1 - DIGITS[dtype]) * size


def agreement(reference, found, *, tol, err_plain=None, exact_zeros=False, dtype="float64"):
    """Judge an array by the published rule; return its relative error ||found - reference|| over
    ||reference||, and whether it agrees.

    Norms are l2 over all entries. An infinite entry of the reference must be met exactly and is
    left out of the norms. With exact_zeros every zero of the reference must be met exactly, in any
    precision. A NaN or another shape never agrees: error inf.
    """
    dtype = dtype if dtype in DIGITS else np.dtype(dtype).name
    reference, found = np.asarray(reference, np.float64), np.asarray(found)
    if found.shape != reference.shape or found.dtype.kind not in "fiub":
        return math.inf, False
    found, infinite = found.astype(np.float64), np.isinf(reference)
    met = np.array_equal(found[infinite], reference[infinite])
    if not (met and np.isfinite(found[~infinite]).all()):
        return math.inf, False
    error, size = (float(l2(x[~infinite], -1))
                   for x in (found - np.where(infinite, 0, reference), reference))
    limit = allowed_error(reference, tol=tol, err_plain=err_plain, dtype=dtype)
    zeros = not exact_zeros or not found[reference == 0].any()
    relative = error / size if size else math.inf if error else 0.0
    return relative, error <= limit and bool(zeros)


class Row(NamedTuple):
    """One array of a verdict: relative l2 error and limit; why it disagrees, or what was not
    done."""
    name: str
    error: float
    limit: float
    agrees: bool
    why: str = ""


class Verdict(NamedTuple):
    """What came of a kernel on a case; true where it agrees."""
    case: str
    dtype: str
    rows: tuple

    @property
    def agrees(self):
        """Whether every array that was given agrees, and one was given."""
        return all(row.agrees for row in self.rows) and any(row.why not in SILENT
                                                          for row in self.rows)

    @property
    def ratio(self):
        """The largest error, in units of its limit."""
        return max((row.error / row.limit if row.limit else math.inf if row.error else 0.0
                    for row in self.rows if row.why not in SILENT), default=0.0)

    @property
    def why(self):
        """The first disagreement in a line; empty where there is none."""
        wrong = [row for row in self.rows if not row.agrees] or self.rows[:not self.agrees]
        return f"{wrong[0].name}: {wrong[0].why}" if wrong else ""

    @property
    def table(self):
        """One line an array: output, error, limit, why."""
        title = f"{self.case}, {self.dtype}: {'agrees' if self.agrees else 'DISAGREES'}"
        head = f"  {'output':10}  {'error':>8}  {'limit':>8}  why"
        lines = (f"  {row.name:10}  {row.error:8.2g}  {row.limit:8.2g}  {row.why}".rstrip()
                 for row in self.rows)
        return "\n".join([title, head, *(
            line.replace("nan", "   ") if row.why in SILENT else line
            for row, line in zip(self.rows, lines))])

    def __bool__(self):
        return self.agrees

    def __str__(self):
        return self.table


def judge(case, kernel=None, *, found=None, dtype="float64", layout="bhtd", array=None):
    """Hold a kernel, or what it found, against a golden case; return a Verdict, true where it
    agrees.

    kernel    called as kernel(**arguments, **cotangents, **options); returns a dict by name, or a
              tuple in the order outputs, gradients, which may end early. Not given: not wrong.
              In its place: what it found, such a dict or tuple, which may be called found
    dtype     "float64", "float32", "bfloat16" or "float16": the arguments are rounded to it and the
              rule is that of the precision. NumPy has no bfloat16: its numbers come as float32
    layout    "bthd": q, k, v, out and their gradients and tangents are (B, T, H, d)
    array     applied to every array before the call, such as torch.tensor
    A gradient in float32 that misses the limit is held against the error of the formula that keeps
    no weights, too, and its row says so.
    Arrays that come back may be NumPy's, ml_dtypes', or of any library whose arrays NumPy reads.
    Source: the rule for golden vectors, data/golden/README.md.
    """
    choice("dtype", dtype, DIGITS), choice("layout", layout, LAYOUTS)
    instance("case", case, Golden)
    require(array is None or callable(array), "array", "a function of an array", array, TypeError)
    require((kernel is None) != (found is None), "kernel, found", "one of them", (kernel, found))
    found, kernel = (found, kernel) if callable(kernel) or kernel is None else (kernel, None)
    plain = case.err_plain.get(dtype) if dtype != "float64" else {}
    if plain is None:
        return Verdict(case.name, dtype, (Row("", 0.0, 0.0, True, f"skipped: {dtype} overflows"),))
    rows = []
    if kernel is not None:
        given, before = (asked(case, dtype, layout) for _ in range(2))
        found = kernel(**{name: array(x) if array else x for name, x in given.items()},
                       **case.options)
        rows = [Row(name, math.inf, 0.0, False, "an argument that the kernel changed")
                for name, x in given.items() if not np.array_equal(x, before[name], equal_nan=True)]
    found = named(case, found)
    rows += [row_of(case, name, found, dtype, layout) for name in case.expected]
    rows += [Row(str(name), math.nan, math.nan, True, EXTRA) for name in found
             if name not in case.expected]
    return Verdict(case.name, dtype, tuple(rows))


def asked(case, dtype="float64", layout="bhtd"):
    """The arguments and cotangents of a case as a kernel gets them, before `array`."""
    return {name: turned(name, rounded_to(x, dtype) if x.dtype == np.float64 else x.copy(), layout)
            for name, x in (case.arguments | case.cotangents).items()}


def turned(name, x, layout):
    """An array in another layout, and back: heads and rows change places."""
    bare = name.removesuffix("_dot")
    rows = bare in OF_ROWS or bare[1:] in OF_ROWS and bare[0] == "d"
    return x.swapaxes(-3, -2) if layout == "bthd" and rows and x.ndim > 2 else x


def named(case, found):
    """What a kernel returned as a dict; tuples are taken in the order outputs, gradients."""
    if isinstance(found, dict):
        return found
    flat = []
    for item in found if isinstance(found, (tuple, list)) else (found,):
        flat += item if isinstance(item, (tuple, list)) else [item]
    names = [*case.outputs, *case.gradients]
    return dict(zip(names + [f"entry {i}" for i in range(len(names), len(flat))], flat))


def row_of(case, name, found, dtype, layout):
    """The row of one array of a case."""
    reference = case.expected[name]
    if found.get(name) is None:
        return Row(name, math.nan, math.nan, True, MISSING)
    x = turned(name, as_numbers(found[name]), layout)
    rule = {"tol": case.tol, "err_plain": (case.err_plain.get(dtype) or {}).get(name),
            "dtype": dtype}
    zeros = name in case.exact_zeros
    error, agrees = agreement(reference, x, exact_zeros=zeros, **rule)
    again = not agrees and dtype == "float32" and case.op == "attention" and name in case.gradients
    if again:
        rule["err_plain"] = max(rule["err_plain"], error_without_weights(case, name))
        error, agrees = agreement(reference, x, exact_zeros=zeros, **rule)
    size = float(l2(reference[np.isfinite(reference)], -1))
    limit = allowed_error(reference, **rule) / size if size else 0.0
    why = FUSED * again if agrees else reason(reference, x, error, limit)
    return Row(name, error, limit, agrees, why)


def error_without_weights(case, name):
    """The l2 error in float32 of a gradient where the weights are made again as exp(S - lse), as
    fused kernels do: |lse| eps of them is lost."""
    fused = functools.partial(plain, fused=True)
    with np.errstate(over="ignore", invalid="ignore"):
        return errors(fused, case.arguments | case.cotangents, case.options,
                      {name: case.gradients[name]}, np.float32)[name]


def reason(reference, x, error, limit):
    """Why an array disagrees."""
    if x.shape != reference.shape:
        return f"expected shape {reference.shape}, got {x.shape}"
    if x.dtype.kind not in "fiub":
        return f"expected real numbers, got {x.dtype}"
    if np.isnan(x).any():
        return f"{np.isnan(x).sum()} of {x.size} entries are NaN"
    if error <= limit:
        return "not exactly zero where it must be"
    far = math.isfinite(error)
    return f"off by {error:.2g}" if far else "infinite, or not zero, where it may not"


def as_numbers(x):
    """An array of another library as one of NumPy; formats that NumPy lacks become float64."""
    if isinstance(x, np.ma.MaskedArray):
        x = x.astype(np.float64).filled(np.nan)
    for step in "detach", "cpu":                # of PyTorch; others have no such attribute
        x = getattr(x, step, lambda x=x: x)()
    try:
        x = np.asarray(x) if hasattr(x, "__array__") or not hasattr(x, "__dlpack__") else \
            np.from_dlpack(x)
    except TypeError:                           # PyTorch's bfloat16
        x = np.asarray(x.float())
    return x.astype(np.float64) if x.dtype.name == "bfloat16" else x
