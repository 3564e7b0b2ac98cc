"""Is this pullback the derivative of its forward?  A checker for any op, and a look at what a pullback remembers.

    check_pullback(attention, (q, k, v), rng)          one record an argument, or an AssertionError naming what differs
    saved(pullback)                                    {"A": array, "q": array, ...}

A random direction v and a random cotangent dy turn a derivative into one number, <dy, J v>: found from the forward
alone, and as <dx, v> from the pullback. Source: the dot-product test of adjoint codes; Squire and Trapp 1998 (complex
step); Richardson 1911 (extrapolation of differences).
"""
import inspect
from typing import NamedTuple

import numpy as np

from minitf.checks import choice, generator, require


class Derivative(NamedTuple):
    """One argument's check: <dy, J v>, <dx, v>, their relative difference, its tolerance, how J v was found."""
    argument: str
    forward: float
    pullback: float
    error: float
    tol: float
    method: str


def check_pullback(op, args, rng, *, wrt=None, method="auto", tol=None):
    """Check y, pullback = op(*args) against its forward alone; return a tuple of Derivative, or raise AssertionError.

    For each x = args[i], i in wrt (all float arrays unless given), with random v like x and dy like y:
        |<dx, v> - <dy, J v>|  <=  tol |<dy, J v>|
    J v is Im op(x + i h v) / h with h = 1e-30, exact to rounding ("complex"), or comes from central differences at
    three steps, extrapolated to step 0 ("difference": keep x about 1 % of its largest entry away from any kink).
    "auto" takes the complex step where the two agree, that is where op is analytic. tol is 1e-11 for the complex step,
    1e-7 for differences, 1e-4 for a float32 argument (its J v is found in float64).

    Where <dy, J v> is less than 1e-8 of |dy| |y| |v| / |x| or of its own terms, no error would show: the check fails as
    vacuous. Checked too: dx has the shape and dtype of x; the pullback is linear, and identical when called again; a
    second forward is identical; nothing is written into y, dy, earlier gradients or the arguments, which op gets as
    read-only copies. y is an array or a tuple of arrays, and dy then a tuple too.
    """
    generator("rng", rng), choice("method", method, ("auto", "complex", "difference"))
    args = [frozen(x) if isinstance(x, np.ndarray) else x for x in args]
    if wrt is None:
        wrt = [i for i, x in enumerate(args) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    require(len(wrt) > 0, "args", "a float32 or float64 array to differentiate", args)
    y, pullback = op(*args)
    dy = cotangent(flat(y), y, rng)
    grads = check_laws(op, args, y, pullback, dy, rng)
    demand(len(grads) == len(wrt), f"the pullback returns {len(grads)} gradients, expected {len(wrt)}")
    return tuple(check_value(op, args, i, y, flat(dy), dx, rng, method, tol) for i, dx in zip(wrt, grads))


def check_laws(op, args, y, pullback, dy, rng):
    """Check all about a pullback but its values; return its gradients at dy as a list."""
    before = frozen(flat(y))
    first = parts(pullback(dy))
    kept = [g.copy() for g in first]
    other, (a, b) = cotangent(flat(y), y, rng), rng.standard_normal(2)
    second, third = parts(pullback(other)), parts(pullback(unflat(a * flat(dy) + b * flat(other), y)))
    demand(same(first, kept), "the pullback writes into gradients that it has given away")
    for i, (g, h, m) in enumerate(zip(first, second, third)):
        error, size = np.linalg.norm(m - (a * g + b * h)), np.linalg.norm(a * g) + np.linalg.norm(b * h)
        linear = error <= 2e4 * np.finfo(before.dtype).eps * size
        demand(linear, f"gradient {i} is not linear in dy: off by {error:.3g} of {size:.3g}")
    demand(same(parts(pullback(dy)), kept), "the pullback gives other gradients when it is called again")
    demand(same([flat(y)], [before]), "the pullback writes into y")
    demand(same(parts(op(*args)[0]), parts(y)), "the forward gives another y when it is called again")
    return first


def check_value(op, args, i, y, dy, dx, rng, method, tol):
    """Compare <dx, v> with <dy, J v> for one argument; return the Derivative."""
    x, name = args[i], argument_name(op, i)
    like = (dx.shape, dx.dtype) == (x.shape, x.dtype)
    demand(like, f"{name}: expected a {x.dtype} gradient of shape {x.shape}, got {dx.dtype} {dx.shape}")
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a for a in args]
    v = rng.standard_normal(x.shape)
    Jv, how = directional(lambda z: flat(op(*wide[:i], z, *wide[i + 1:])[0]), wide[i], v, method)
    exact, got, size = float(dy @ Jv), float((dx * v).sum()), np.linalg.norm
    natural = max(size(dy) * size(flat(y)) * size(v) / (size(x) or 1), np.abs(dy * Jv).sum())
    seen = abs(exact) > 1e-8 * natural
    demand(seen, f"{name}: vacuous check, <dy, J v> = {exact:.3g} is negligible next to {natural:.3g}")
    tol = tol or (1e-4 if x.dtype == np.float32 else 1e-11 if how == "complex" else 1e-7)
    error = abs(got - exact) / abs(exact)
    both = f"<dy, J v> = {exact:.17g} ({how}), <dx, v> = {got:.17g}"
    demand(error <= tol, f"{name}: {both}, relative error {error:.3g} > {tol:g}")
    return Derivative(name, exact, got, error, tol, how)


def directional(f, x, v, method):
    """Return J v, the derivative of f at x along v, and the method that found it."""
    if method != "difference":
        try:
            Jv = f(x + 1e-30j * v).imag / 1e-30
        except (TypeError, ValueError):
            demand(method == "auto", "the forward refuses complex arguments")
            method = "difference"
    if method != "complex":
        h = 2.0**-7 * (np.abs(x).max(initial=0) or 1) / np.abs(v).max()
        coarse, middle, fine = ((f(x + e * v) - f(x - e * v)) / (2 * e) for e in (h, h / 2, h / 4))
        difference = (64 * fine - 20 * middle + coarse) / 45
        if method == "difference" or not np.linalg.norm(Jv - difference) <= 1e-5 * np.linalg.norm(difference):
            return difference, "difference"
    return Jv, "complex"


def projection_gap(x, p, set):
    """Return set.gap(x, p): 0 where p is the point nearest to x in a set of minitf.projections, else how far it is."""
    return set.gap(x, p)


def saved(pullback):
    """Return {name: array}: what a pullback keeps. Nested functions, tuples and dicts give names like "uncap.u"."""
    found, seen = {}, set()

    def walk(name, value):
        if isinstance(value, np.ndarray):
            found[name] = value
        elif (inspect.isfunction(value) or isinstance(value, (tuple, list, dict))) and id(value) not in seen:
            seen.add(id(value))
            inside = inspect.getclosurevars(value).nonlocals if callable(value) else value
            for key, item in inside.items() if isinstance(inside, dict) else enumerate(inside):
                walk(f"{name}.{key}".lstrip("."), item)

    walk("", pullback)
    return found


def argument_name(op, i):
    """Name positional argument i of op."""
    try:
        names = [p.name for p in inspect.signature(op).parameters.values() if p.kind < p.VAR_POSITIONAL]
    except (TypeError, ValueError):
        names = []
    return names[i] if i < len(names) else f"argument {i}"


def parts(y):
    """List the arrays of an array or a tuple of arrays."""
    return [np.asarray(p) for p in (y if isinstance(y, (tuple, list)) else [y])]


def flat(y):
    """Lay all entries of an array or a tuple of arrays in one vector."""
    return np.concatenate([p.ravel() for p in parts(y)])


def unflat(u, y):
    """Cut a vector into read-only arrays with the shapes and dtypes of y."""
    cuts = np.cumsum([p.size for p in parts(y)])[:-1]
    pieces = tuple(frozen(piece.reshape(p.shape).astype(p.dtype)) for piece, p in zip(np.split(u, cuts), parts(y)))
    return pieces if isinstance(y, (tuple, list)) else pieces[0]


def cotangent(u, y, rng):
    """Draw a random cotangent like y, whose entries are the vector u."""
    return unflat(rng.standard_normal(u.size), y)


def frozen(x):
    """Copy an array, read-only."""
    x = x.copy()
    x.flags.writeable = False
    return x


def same(these, those):
    """Are two lists of arrays equal, byte for byte?"""
    return [x.tobytes() for x in these] == [x.tobytes() for x in those]


def demand(condition, message):
    """Raise AssertionError(message) unless condition holds; unlike the statement, under python -O as well."""
    if not condition:
        raise AssertionError(message)
