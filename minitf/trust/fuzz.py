"""Random cases of attention for any kernel, and the smallest one that it fails.

    for spec, case in random_cases(seed=0, count=300): ...      as golden cases are, but for digits
    small = shrink(spec, lambda case: not judge(case, kernel))
    print(script(build(small), "my_module:kernel"))     NumPy that shows the failure

A case is a dict of sizes and options, its arguments drawn from its own seed: so a smaller one is
the same dict with less in it. What is expected comes from minitf in float64; what lower precisions
may err from the plain formula, at arguments rounded to them.
"""
import math

import numpy as np

from minitf.trust.frameworks.pairs import largest_score, zeros
from minitf.trust.frameworks.textbook import plain_attention
from minitf.trust.golden import Golden
from minitf.trust.verdict import DIGITS, rounded_to

RUNS = 4                # of the plain formula: one may be lucky
OFF = {"mask": None, "empty": False, "causal": False, "window": None, "segments": False,
       "bias": None, "sinks": False, "keep": False, "lse": False, "scale": None, "softcap": None,
       "large": False}
BIASES = ((1, 1, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1), (0, 0, 1, 1), (0, 0, 0, 1))     # axes kept
CORNERS = "top-left", "bottom-right"


def draw(rng, count=3):
    """Sizes and options of a case: about `count` options are on."""
    H, G, (Tq, Tk) = 1, 1, rng.integers(1, 9, 2).tolist()
    if rng.random() < 0.7:
        G = int(rng.integers(1, 3))
        H = G * int(rng.integers(1, 4))
    spec = OFF | {"seed": int(rng.integers(2**32)), "lead": [(), (2,), (2, 2)][rng.integers(3)],
                  "H": H, "G": G, "Tq": Tq, "Tk": Tk, "d": int(rng.integers(1, 7)),
                  "dv": int(rng.integers(1, 7))}
    on = {"mask": ["boolean", "additive", "padding"][rng.integers(3)], "empty": True,
          "causal": CORNERS[rng.integers(2)], "segments": True, "sinks": True, "keep": True,
          "window": (*([None, 0, 1, 2][i] for i in rng.integers(0, 4, 2)),
                     CORNERS[rng.integers(2)]),
          "bias": BIASES[rng.integers(5)], "lse": True, "large": True, "softcap": 2.0,
          "scale": float(rng.choice([1.0, 0.3, -0.7]))}
    chosen = [name for name in on if rng.random() < count / len(on)]
    spec |= {name: on[name] for name in chosen}
    if spec["large"]:
        spec["softcap"] = None          # its slope would vanish
    if spec["causal"] and spec["window"]:
        spec["window"] = (*spec["window"][:2], spec["causal"])
    return spec


def build(spec, name="random"):
    """The case of sizes and options."""
    rng = np.random.default_rng(spec["seed"])
    arguments, dout = arguments_of(spec, rng)
    options = {key: spec[key] for key in ("causal", "window", "scale", "softcap", "lse")
               if spec[key] != OFF[key]}
    cotangents = {"dout": dout} | ({"dlse": rng.standard_normal(dout.shape[:-1])} if spec["lse"]
                                   else {})
    case = Golden(name, "random", "attention", options, arguments, cotangents, {}, {}, {}, 0.0, {},
                  (), {})
    return solved(case)


def arguments_of(spec, rng):
    """Arguments {name: array} and the cotangent of the output."""
    lead, H, Tq, Tk, d = (spec[key] for key in ("lead", "H", "Tq", "Tk", "d"))
    q, k, v = (rng.standard_normal((*lead, *shape)) for shape in (
        (H, Tq, d), (spec["G"], Tk, d), (spec["G"], Tk, spec["dv"])))
    dout = rng.standard_normal((*lead, H, Tq, spec["dv"]))
    if spec["large"]:                   # along one direction: a close race of large scores
        u = rng.standard_normal(d)
        u /= np.linalg.norm(u)
        q, k = q + 20 * u, k + (20 - k @ u)[..., None] * u
    a = {"q": q, "k": k, "v": v}
    allowed = rng.random((*lead, 1, 1, Tk) if spec["mask"] == "padding" else (Tq, Tk)) < 0.7
    if spec["empty"] and spec["mask"] and spec["mask"] != "padding":
        allowed[rng.integers(Tq)] = False
    added = rng.standard_normal(allowed.shape)
    if spec["mask"]:
        a["mask"] = np.where(allowed, added, -np.inf) if spec["mask"] == "additive" else allowed
    full = (math.prod(lead), H, Tq, Tk)
    if spec["bias"]:
        shape = tuple(n if kept else 1 for n, kept in zip(full, spec["bias"]))
        shape = (*(lead if spec["bias"][0] else (1,) * len(lead)), *shape[1:])
        a["bias"] = rng.standard_normal(shape)
    if spec["sinks"]:
        a["sinks"] = rng.standard_normal(H)
    if spec["segments"]:
        a |= {"q_ids": np.sort(rng.integers(0, 3, (*lead, Tq))),
              "k_ids": np.sort(rng.integers(0, 3, (*lead, Tk)))}
    if spec["keep"]:
        a["keep"] = np.where(rng.random((*lead, H, Tq, Tk)) < 0.75, 1 / 0.75, 0.0)
    return a, dout


def solved(case):
    """A case with what is expected of it, by minitf in float64 and the plain formula elsewhere."""
    from minitf.trust.reference import computed
    outputs = ("out", "lse") if case.options.get("lse") else ("out",)
    grads = [f"d{name}" for name in ("q", "k", "v", "bias", "sinks") if name in case.arguments]
    case = case._replace(outputs=dict.fromkeys(outputs), gradients=dict.fromkeys(grads))
    found = computed(case)
    options = {"mask": case.arguments.get("mask"), "causal": False, "scale": None} | case.options
    given = case.arguments | case.cotangents
    tol = 1e-12 + 16 * 2.0**-53 * largest_score(given, options)
    exact = zeros(given, options)
    listed = tuple(name for name, zero in exact.items()
                   if zero.any() and np.array_equal(found[name] == 0, zero))
    expected = {name: found[name] for name in (*outputs, *grads)}
    plain = {dtype: plain_errors(case, expected, dtype) for dtype in DIGITS if dtype != "float64"}
    return case._replace(outputs={name: found[name] for name in outputs}, tol=tol, err_plain=plain,
                         gradients={name: found[name] for name in grads}, exact_zeros=listed)


def plain_errors(case, expected, dtype):
    """l2 errors {name: error} of the plain formula: arguments rounded to a format, arithmetic in
    float32, results rounded; the worst of RUNS, all but the first a unit in the last place away."""
    rng, worst = np.random.default_rng(0), dict.fromkeys(expected, 0.0)
    for run in range(RUNS):
        given = {}
        for name, x in (case.arguments | case.cotangents).items():
            unit = 2.0 ** -DIGITS[dtype] * rng.choice([-1, 1], x.shape) * bool(run)
            given[name] = rounded_to(x * (1 + unit), dtype).astype(np.float32) \
                if x.dtype == np.float64 else x
        with np.errstate(all="ignore"):
            found = plain_attention(**given, **case.options)
        for name, x in expected.items():
            y = rounded_to(found[name].astype(np.float64), dtype).astype(np.float64)
            error = float(np.linalg.norm(y[np.isfinite(x)] - x[np.isfinite(x)]))
            worst[name] = max(worst[name], error)
    return worst


def telling(case):
    """Whether errors show: no array is negligible, but for zeros by convention, and the plain
    formula keeps half of the digits of float32 in each."""
    for name, error in case.err_plain["float32"].items():
        x = case.expected[name][np.isfinite(case.expected[name])]
        zero = not x.any() and name in case.exact_zeros
        if not zero and not max(error * 1e4, 1e-6) <= np.linalg.norm(x):
            return False
    return True


def random_cases(seed, count, wanted=lambda case: True):
    """Yield pairs (spec, case) of `count` telling cases that are wanted, from 100 times as many;
    none where none is among the first 500."""
    rng, found = np.random.default_rng(seed), 0
    for i in range(100 * count):
        if i == 500 and not found:
            return
        spec = draw(rng)
        if found < count and wanted(case := build(spec, f"random-{seed}-{i}")) and telling(case):
            found += 1
            yield spec, case


def smaller(spec):
    """Yield what is a step smaller: without an option, without an axis, with half the rows."""
    for name in OFF:
        if spec[name] != OFF[name]:
            yield spec | {name: OFF[name]}
    if spec["lead"]:
        yield spec | {"lead": spec["lead"][1:]}
    if spec["H"] > 1:
        yield spec | {"H": 1, "G": 1}
        yield spec | {"H": spec["H"] // spec["G"], "G": 1}
    for name in "Tq", "Tk", "d", "dv":
        for n in {1, spec[name] // 2, spec[name] - 1} - {0, spec[name]}:
            yield spec | {name: n}


def shrink(spec, fails):
    """The smallest case that fails, reached by the first smaller one that does, again and again."""
    while True:
        for less in smaller(spec):
            if telling(case := build(less)) and fails(case):
                spec = less
                break
        else:
            return spec


def script(case, kernel):
    """NumPy that calls a kernel, "module:function", on a case and prints what is off."""
    module, _, function = kernel.partition(":")

    def literal(x):
        return f"np.array({x.tolist()!r}, np.{x.dtype.name})"

    def block(name, arrays):
        return [f"{name} = {{", *(f"    {key!r}: {literal(x)}," for key, x in arrays.items()), "}"]

    return "\n".join([
        "import numpy as np", "from numpy import inf, nan", "", f"from {module} import {function}",
        "", *block("given", case.arguments | case.cotangents),
        *block("expected", case.expected), f"found = {function}(**given, **{case.options!r})",
        "if not isinstance(found, dict):", "    found = dict(zip(expected, found))",
        "for name, x in found.items():",
        "    print(name, np.linalg.norm(np.nan_to_num(x - expected[name])) /",
        "          np.linalg.norm(np.nan_to_num(expected[name])))"]) + "\n"
