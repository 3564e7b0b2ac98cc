"""Everything that a golden case says, from its arguments: exact values, tolerances, errors of the
plain formula in lower precisions."""
import math
import zlib

import numpy as np

from minitf.trust.exact.models import OPS
from minitf.trust.exact.tape import Var, lift, nearest, pull, rounded
from minitf.trust.golden import Golden
from minitf.trust.verdict import DIGITS, rounded_to

GIVEN = ("mask", "y", "keep")                   # float arguments that are not differentiated
RUNS = 4                                        # of the plain formula, one may be lucky


def twin_of(op, options, arguments):
    """The twin of an operator at these arguments, and the Vars among them."""
    a = {name: Var(lift(x)) if x.dtype.kind == "f" and name not in GIVEN else x
         for name, x in arguments.items()}
    return OPS[op](a, **options), {name: x for name, x in a.items() if isinstance(x, Var)}


def exact_groups(op, options, arguments, cotangents):
    """Outputs, saved, gradients as {group: {name: array of mpmath numbers}} at the working
    precision, and the twin."""
    twin, inputs = twin_of(op, options, arguments)
    groups = {"outputs": {name: y.value for name, y in twin.outputs.items()}, "saved": twin.saved,
              "gradients": {}}
    for name, dy in cotangents.items():
        grads = pull(twin.outputs[name[1:]], lift(dy), list(inputs.values()))
        for name, g in zip(inputs, grads):
            groups["gradients"][f"d{name}"] = groups["gradients"].get(f"d{name}", 0) + g
    return groups, twin


def solve(case, arguments, cotangents):
    """The Golden of a case (its name, family, op, options) at these arguments."""
    import mpmath
    seen = {}

    def compute():
        groups, seen["twin"] = exact_groups(case.op, case.options, arguments, cotangents)
        seen["names"] = {group: list(arrays) for group, arrays in groups.items()}
        return {name: x for arrays in groups.values() for name, x in arrays.items()}

    exact = rounded(compute)
    plain = dict.fromkeys(exact, 0.0)
    for lost in range(RUNS):                    # with every digit less the error doubles
        with mpmath.workprec(DIGITS["float32"] - lost):
            for name, x in compute().items():
                plain[name] = max(plain[name],
                                  rounded_up(distance(nearest(x), exact[name]) / 2**lost))
    twin = seen["twin"]
    low = {dtype: low_errors(case, exact, arguments, cotangents, dtype)
           for dtype in ("bfloat16", "float16")}
    groups = {group: {name: exact[name] for name in names}
              for group, names in seen["names"].items()}
    zeros = [name for name, zero in twin.zeros.items() if name in exact and zero.any()]
    zeros = tuple(name for name in zeros if np.array_equal(exact[name] == 0, twin.zeros[name]))
    tol = 1e-12 + 16 * 2.0**-53 * twin.score
    if case.op == "Intersection":               # what such a projection is asked for
        tol = 1e-10
    return Golden(case.name, case.family, case.op, case.options, arguments, cotangents, **groups,
                  tol=rounded_up(tol), err_plain={"float32": plain} | low, exact_zeros=zeros,
                  sources=dict.fromkeys(exact, "mpmath"))


def low_errors(case, exact, arguments, cotangents, dtype):
    """l2 errors {name: error} of the formula in float32 at arguments rounded to a format, its
    results rounded to it: the worst of RUNS, all but the first from arguments a unit in the last
    place away. None where the format overflows."""
    import mpmath
    rng, worst = np.random.default_rng(zlib.crc32(case.name.encode())), dict.fromkeys(exact, 0.0)
    for run in range(RUNS):
        given, dy = ({name: near(x, dtype, rng, run) for name, x in group.items()}
                     for group in (arguments, cotangents))
        pairs = [(given | dy, arguments | cotangents)]
        if not overflows(*pairs[0]):
            with mpmath.workprec(DIGITS["float32"]):
                groups, _ = exact_groups(case.op, case.options, given, dy)
            found = {name: nearest(x) for group in groups.values() for name, x in group.items()}
            found = {name: rounded_to(x, dtype).astype(np.float64) for name, x in found.items()}
            pairs.append((found, exact))
        if any(overflows(*pair) for pair in pairs):
            return None
        for name, x in found.items():
            worst[name] = max(worst[name], rounded_up(distance(x, exact[name])))
    return worst


def near(x, dtype, rng, run):
    """A float array rounded to a format, after a step of a unit in the last place unless run =
    0."""
    if x.dtype != np.float64:
        return x
    steps = 2.0 ** -DIGITS[dtype] * rng.choice([-1, 1], x.shape) * bool(run)
    return rounded_to(x * (1 + steps), dtype).astype(np.float64)


def overflows(found, arrays):
    """Whether a number has become infinite."""
    return any((np.isinf(found[name]) & np.isfinite(x)).any() for name, x in arrays.items()
               if x.dtype.kind == "f")


def distance(x, y):
    """l2 norm of x - y over the entries that are finite; sums are correctly rounded, the same on
    every machine."""
    x, y = np.broadcast_arrays(x, y)
    pairs = zip(x.ravel().tolist(), y.ravel().tolist())
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in pairs if math.isfinite(b)))


def rounded_up(x):
    """Three digits, and never below x."""
    up = float(f"{x:.2e}")
    return up if up >= x else float(f"{1.006 * x:.2e}")
