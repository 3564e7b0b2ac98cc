"""One attention head of width of order q log T averages any q of T values, at finite precision.

    input   values z_1 .. z_T in the unit ball, and for every position a set y of q positions
    wanted  (1/q) sum_(j in y) z_j

    key     u_j = random signs / sqrt(p)                            (T, p)
    query   w_y = U_y (U_y^T U_y)^-1 1, so that u_j . w_y = 1 for j in y, at all others less
    out     sum_j softmax_j(scale u_j . w_y) z_j

With `rest` the largest u_j . w_y outside y, at most T - q weights exp(scale (rest - 1)) go astray:

    ||out - wanted|| <= 2 b / (1 + b),   b = (T - q)/q exp(-scale (1 - rest))

which is the certificate. Queries are rounded to half precision; what their inner products then are
is measured, not assumed.
"""
import itertools
import math

import numpy as np

from minitf.lab.reproduce.page import Page, row, unit, whole
from minitf.ops import attention


def width(T, q):
    """Enough for rest <= 1/2: outside y the products have variance about q/p, so 8 q log T."""
    return math.ceil(8 * q * math.log(T))


def queries(U, sets):
    """The least w with u_j . w = 1 on each of the sets (n, q), in half precision: (n, p)."""
    parts = U[sets]
    gram = parts @ parts.swapaxes(1, 2)
    weights = np.linalg.solve(gram, np.ones((*sets.shape, 1)))
    return (parts.swapaxes(1, 2) @ weights)[..., 0].astype(np.float16).astype(float)


def average(U, sets, z, eps):
    """Errors of the head and their certified bounds, a set a row, and the largest `rest`."""
    T, q = len(U), sets.shape[1]
    w = queries(U, sets)
    S = w @ U.T
    chosen = np.take_along_axis(S, sets, axis=1)
    np.put_along_axis(S, sets, -np.inf, axis=1)
    gap = chosen.min(axis=1) - S.max(axis=1)
    scale = math.log(4 * T / (q * eps)) / gap.min()
    out, _ = attention(w, U, z, scale=scale)
    uneven = np.exp(scale * np.ptp(chosen, axis=1)) - 1         # what rounding does within y
    b = (T - q) / q * np.exp(-scale * gap)
    bound = uneven + 2 * b / (1 + b)
    return np.linalg.norm(out - z[sets].mean(axis=1), axis=1), bound, gap.min()


def measure(rng, small=16, large=10_000, qs=(2, 3, 4, 8), sets=500, eps=0.05, d=8):
    rows, curves = [], {"width": [], "T": [], "q": []}
    for q in qs:
        for T in (small, large):
            p = width(T, q)
            U = rng.choice([-1.0, 1.0], (T, p)) / math.sqrt(p)
            z = unit(rng.standard_normal((T, d)))
            if T == small:
                y = np.array(list(itertools.combinations(range(T), q)))
            else:
                y = np.array([rng.choice(T, q, replace=False) for _ in range(sets)])
            some = np.array_split(y, math.ceil(len(y) / 500))
            parts = [average(U, part, z, eps) for part in some]
            error, bound = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
            certified = "certified" if (error <= bound + 1e-12).all() else "NOT certified"
            which = "all" if T == small else "random"
            rows.append(row(f"q = {q}, T = {T:,}: largest error over {which} {len(y):,} sets",
                            error.max(), f"width {p}, {certified} <= {bound.max():.3f}, smallest "
                            f"gap {min(part[2] for part in parts):.2f}"))
            for key, value in (("width", p), ("T", T), ("q", q)):
                curves[key].append(value)
    return rows, curves


def draw(figure, curves):
    ax = figure.subplots()
    x = np.array(curves["q"]) * np.log(curves["T"])
    ax.plot(x, curves["width"], "o")
    ax.set(xlabel="q log T", ylabel="width of the head")


PAGE = Page(
    claim="A head of width of order q log T computes q-sparse averages at finite precision",
    setting="keys of random signs, queries in half precision; all sets of 16 positions, 500 random "
            "ones of 10,000; q = 2, 3, 4, 8; eps = 0.05",
    published="theorem: width of order d + q log T suffices, width of order q is needed",
    source="Sanford, Hsu and Telgarsky 2023, arXiv 2306.02896",
    criteria={"every error is below eps = .05 and below its certificate": lambda found: all(
        r["ours"] <= 0.05 and "NOT" not in r["note"] for r in found.values())},
    run=whole(measure),
    draw=draw,
)
