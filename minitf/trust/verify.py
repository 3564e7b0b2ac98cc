"""Is this pullback the derivative of its forward?  A checker for any op, and what a pullback keeps.

    check_pullback(attention, (q, k, v), rng)      one record an argument, or an AssertionError
    saved(pullback)                                {"A": array, "q": array, ...}

A random direction v and a random cotangent dy turn a derivative into one number, <dy, J v>: found
from the forward alone, and as <dx, v> from the pullback. Source: the dot-product test of adjoint
codes; Squire and Trapp 1998 (complex step); Richardson 1911 (extrapolation of differences).
"""
import inspect
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minitf.checks import checked, choice, each, integer, positive, require
from minitf.trust.differences import COARSE, STEPS, flat, frozen, parts, quiet, unflat
from minitf.trust.trials import Question, answer, demand, norm


class Derivative(NamedTuple):
    """One argument's check: <dy, J v>, <dx, v>, their relative difference, its tolerance, how J v
    was found, and how many of its directions and of its entries could be judged."""
    argument: str
    forward: float
    pullback: float
    error: float
    tol: float
    method: str
    directions: int
    entries: int


@checked
def check_pullback(op: Callable, args: list | tuple, rng: np.random.Generator, *,
                   wrt: each(integer) = None, method="auto", tol: positive = None):
    """Check y, pullback = op(*args) against its forward alone; return a tuple of Derivative.

    For each x = args[i], i in wrt (all float arrays and NumPy scalars unless given), three random
    directions v (all entries alike, in proportion to |x|, by the spread of each row) and two random
    cotangents dy (as y is, and evened out so that a small output shows beside a large one):
        |<dx, v> - <dy, J v>|  <=  tol |dx * v| + the error bars of J v + rounding
    and, where x has at most 64 entries, each entry of dx against its own column of J.

    J v is Im f(x + i t v) / t ("complex", exact to rounding) or comes from central differences at
    steps from 2^-7 to 2^-25, each output taking the step with the least error bar ("difference").
    "auto" takes the complex step where reliable differences confirm it. Outputs at a kink or at the
    edge of the domain get no cotangent. A mismatch counts once a second draw has shown it as well.
    tol is 1e-11 for the complex step, 1e-7 for differences, 5e-5 for a float32 argument; an op that
    refuses complex or float64 arguments is not asked again. A complex y is a pair of reals:
    <a, b> = Re sum conj(a) b, as in PyTorch.

    An AssertionError names the argument and says which it is: wrong (with the worst entries) | at a
    kink or edge of the domain | NaN or inf | not repeatable | vacuous (no signal). Checked too: dx
    has the shape and dtype of x; the pullback is linear and repeatable; nothing is written into y,
    dy, earlier gradients or the arguments, which op gets as read-only copies.
    """
    choice("method", method, ("auto", "complex", "difference"))
    args = [frozen(x) if isinstance(x, np.ndarray) else x for x in args]
    made = op(*args)
    pair = isinstance(made, (tuple, list)) and len(made) == 2 and callable(made[1])
    require(pair, "op", "a pair (y, pullback) as its result", made, TypeError)
    y, pullback = made
    wrt = differentiable(args, wrt, len(several(pullback(unflat(np.ones(flat(y).size), y)))))
    args = [np.asarray(x) if i in wrt else x for i, x in enumerate(args)]
    names = [argument_name(op, i) for i in wrt]
    demand(not np.isnan(flat(y)).any(), f"{names[0]}: NaN or inf forward: y holds NaN")

    def pull(dy):
        given = unflat(dy, y)
        grads = chosen(pullback(given), wrt, names, args)
        demand(same(flat(given), flat(unflat(dy, y))), "the pullback writes into dy")
        return grads

    spread = check_laws(lambda: op(*args)[0], y, pull, rng)
    return tuple(check_argument(Subject(op, args, y, spread, method, tol, rng), i, name,
                                lambda dy, slot=slot: pull(dy)[slot])
                 for slot, (i, name) in enumerate(zip(wrt, names)))


class Subject(NamedTuple):
    """What is checked: op at args gives y, the same up to spread, by which method, to which tol."""
    op: Callable
    args: list
    y: object
    spread: np.ndarray
    method: str
    tol: float | None
    rng: np.random.Generator


def differentiable(args, wrt, count):
    """The indices to check: wrt, or all float arrays; Python floats if the pullback counts them."""
    if wrt is None:
        kinds = [kind_of(x) for x in args]
        wrt = [i for i, kind in enumerate(kinds) if kind == "f"]
        every = [i for i, kind in enumerate(kinds) if kind in ("f", "p")]
        wrt = every if not wrt or count == len(every) else wrt
    require(len(wrt) > 0, "args", "a float32 or float64 array to differentiate", args)
    for i in wrt:
        integer("wrt", i, 0, len(args) - 1)
    return list(wrt)


def several(grads):
    """What a pullback returns, as a list."""
    return list(grads) if isinstance(grads, (tuple, list)) else [grads]


def chosen(grads, wrt, names, args):
    """The gradients of wrt as arrays: all there are, or those among one for each argument."""
    grads = several(grads)
    floats = [i for i, x in enumerate(args) if kind_of(x) == "f"]
    for every in range(len(args)), floats:
        if len(grads) == len(every) > len(wrt) and set(wrt) <= set(every):
            grads = [grads[list(every).index(i)] for i in wrt]
    counts = f"the pullback returns {len(grads)} gradients, expected {len(wrt)}"
    demand(len(grads) == len(wrt), counts)
    for name, dx in zip(names, grads):
        demand(dx is not None, f"{name}: expected a gradient, got None (or leave it out of wrt)")
    return parts(grads)


def check_laws(again, y, pull, rng):
    """Check all about a pullback but its values; return by how much a second and third y differ."""
    before = flat(y)
    eps = precision_of(y)
    dy, other = rng.standard_normal((2, before.size))
    a, b = rng.standard_normal(2)
    first = pull(dy)
    kept = [g.copy() for g in first]
    second, third = pull(other), pull(a * dy + b * other)
    demand(all(map(same, first, kept)), "the pullback writes into gradients that it has given away")
    told = "not repeatable: the pullback gives other gradients when it is called again"
    demand(all(near(g, h, eps) for g, h in zip(kept, pull(dy))), told)
    for i, (g, h, m) in enumerate(zip(kept, second, third)):
        size, error = norm(a * g) + norm(b * h), norm(m - (a * g + b * h))
        told = f"gradient {i} is not linear in dy: off by {error:.3g} of {size:.3g}"
        demand(not error > 2e4 * eps * size, told)
    demand(same(flat(y), before), "the pullback writes into y")
    others = flat(again()), flat(again())
    told = "not repeatable: the forward gives another y when it is called again"
    demand(all(near(before, u, eps) for u in others), told)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.maximum(*(np.abs(u - before) for u in others)))


def near(x, y, eps):
    """Whether y is x again, up to sums in another order."""
    finite = np.isfinite(x)
    close = norm(x[finite] - y[finite]) <= 2e4 * eps * norm(x[finite])
    return same(x, y) or (same(finite, np.isfinite(y)) and bool(close))


def check_argument(subject, i, name, pull):
    """Compare dx with J for one argument; return the Derivative."""
    op, args, y, spread, method, tol, rng = subject
    x, dx = args[i], pull(np.ones(flat(y).size))
    like = dx.shape == x.shape and (dx.dtype == x.dtype or not x.ndim and dx.dtype == np.float64)
    demand(like, f"{name}: expected a {x.dtype} gradient of shape {x.shape}, "
                 f"got {dx.dtype} {dx.shape}")
    if not dx.size or not flat(y).size:
        demand(not dx.any(), f"{name}: wrong: y is empty, but the gradient is not zero")
        return Derivative(name, 0.0, 0.0, 0.0, 0.0, "empty", 0, 0)
    wide, here, eps = widened(op, args, y)
    fine = eps < 1e-10
    if method == "auto" and not (fine and all(p.dtype.kind != "c" for p in parts(y))):
        method = "difference"
    dtype = wide[i].dtype
    f = quiet(lambda z: op(*wide[:i], z, *wide[i + 1:])[0], here.size,
              lambda z: z if z.dtype.kind == "c" else z.astype(dtype))
    here = np.nan_to_num(here, posinf=0, neginf=0)
    steps, share = (STEPS, 1e-6) if fine else (COARSE, 1e-2)
    precision = max(np.finfo(x.dtype).eps, precision_of(y))
    spread = 0 * spread if eps < precision_of(y) else spread
    noise = (8 if fine else 2) * eps * np.abs(here) + 4 * spread
    return Derivative(name, *answer(Question(
        name, f, np.asarray(wide[i], np.float64), here, noise,
        precision, steps, share, method, tol, pull, lambda dy: flat(unflat(dy, y)), rng)))


def widened(op, args, y):
    """float32 arguments as float64 where op then computes so; return the arguments, y, its eps."""
    eps = precision_of(y)
    if eps > 1e-10:
        wide = [a.astype(np.float64) if kind_of(a) == "f" else a for a in args]
        result = []
        quiet(lambda z: result.append(op(*wide)[0]) or 0.0, 1)(np.zeros(1))
        if result and precision_of(result[0]) < 1e-10 and flat(result[0]).size == flat(y).size:
            return wide, flat(result[0]), precision_of(result[0])
    return args, flat(y), eps


def precision_of(y):
    """The coarsest eps among the outputs."""
    return max(np.finfo(p.dtype).eps if p.dtype.kind in "fc" else 2.0**-52 for p in parts(y))


def kind_of(x):
    """The kind of a NumPy dtype, "p" of a Python float, "" of anything else."""
    return x.dtype.kind if isinstance(x, (np.ndarray, np.generic)) else "p" * isinstance(x, float)


def projection_gap(x, p, set):
    """Return set.gap(x, p): 0 where p is the point of a set nearest to x, else how far it is."""
    able = callable(getattr(set, "gap", None))
    require(able, "set", "a Ball, Box, Simplex or Intersection", set, TypeError)
    return set.gap(x, p)


@checked
def saved(pullback: Callable):
    """Return {name: array}: what a pullback keeps; in nested functions, tuples, dicts "uncap.u"."""
    found, seen = {}, set()

    def walk(name, value):
        value = inspect.unwrap(value) if callable(value) else value
        nested = isinstance(value, (tuple, list, dict))
        if isinstance(value, np.ndarray):
            found[name] = value
        elif (nested or inspect.isfunction(value)) and id(value) not in seen:
            seen.add(id(value))
            inside = inspect.getclosurevars(value).nonlocals if callable(value) else value
            for key, item in inside.items() if isinstance(inside, dict) else enumerate(inside):
                walk(f"{name}.{key}".lstrip("."), item)

    walk("", pullback)
    return found


def argument_name(op, i):
    """Name positional argument i of op."""
    try:
        kinds = inspect.signature(op).parameters.values()
        names = [p.name for p in kinds if p.kind < p.VAR_POSITIONAL]
    except (TypeError, ValueError):
        names = []
    return names[i] if i < len(names) else f"argument {i}"


def same(x, y):
    """Are two arrays equal, byte for byte?"""
    return x.tobytes() == y.tobytes()
