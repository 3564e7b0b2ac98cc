"""The empirical Rademacher complexity of a class, from below."""
import math
from typing import NamedTuple

import numpy as np

from minitf.checks import bits, checked, integer, require
from minitf.fast import cls_head, one_hot
from minitf.ops import relu
from minitf.projections import Ball
from minitf.theory.budgets import ScalarBudgets
from minitf.theory.error import probability


class Rademacher(NamedTuple):
    """An empirical Rademacher complexity from below: values (n,) are what members reach for n draws
    of signs.

    mean +- se estimates a lower bound; lower is one with probability 1 - delta, 0 if there are too
    few draws to tell: mean - D sqrt(2 log(1/delta)/(m n)), D the radius of the class (McDiarmid
    over all m n signs: one moves a supremum by at most 2D/m). single is the mean over the same
    signs of the best head that attends to one position as hard as it may.
    """
    mean: float
    se: float
    lower: float
    single: float
    values: np.ndarray


def some(name, value):
    """Return value as int; it must be a whole number from 1 to 10^6."""
    return integer(name, value, 1, 10 ** 6)


@checked
def rademacher_lower(X, c: ScalarBudgets, rng: np.random.Generator, *, signs: some = 60,
                     steps: some = 50, starts: some = 4, delta: probability = 0.05):
    """Estimate from below  Rad = E sup_f (1/m) sum_i s_i f(x_i),  s_i = +-1, over the class c, no
    clip.

    For every draw of s, projected gradient ascent from several starts, none of them taken from
    another draw. What it reaches is a member of the class, checked by its norms, and 0 is one:
    however bad the ascent, the mean can only be too low. It bounds no error from above.

    X (m, T) bits; tokens E[b_t] + P_t and x_cls, all of E, P and x_cls orthonormal. c:
    ScalarBudgets with T, d = T + 3, B_X >= sqrt 2, one head and clip=False; sigma is L_s times
    ReLU, and one hidden unit is used. Cost: signs x starts x steps forward and backward passes of
    one head over X.
    """
    X = bits("X", X)
    m, T = X.shape
    require(m > 0, "X", "at least one row", X)
    signs = integer("signs", signs, 2)
    fits = (c.T, c.d, c.H, c.clip) == (T, T + 3, 1, False) and c.B_X ** 2 >= 2 * (1 - 1e-12)
    require(fits, "c",
            f"ScalarBudgets of T = {T}, d = {T + 3}, B_X >= sqrt 2, one head, clip=False", c)
    s = rng.choice([-1.0, 1.0], (signs, m))
    rows, block = one_hot(X, 2, float), max(1, 2 ** 14 // T)
    values = np.concatenate([ascend(X, rows, s[i:i + block], c, steps, starts)
                             for i in range(0, signs, block)])
    B, g = min(ball.radius for ball in balls(c)[0]), s @ X / m
    share = math.exp(B - np.logaddexp(B, math.log(T)))
    single = abs(share * g + (1 - share) / T * (g.sum(axis=1, keepdims=True) - g)).max(axis=1)
    mean, se = float(values.mean()), float(values.std(ddof=1) / math.sqrt(signs))
    chance = c.B_u * c.L_s * c.B_V * c.B_X * math.sqrt(2 * math.log(1 / delta) / (m * signs))
    return Rademacher(mean, se, max(0.0, mean - chance),
                      float(single.mean()) * c.L_s * c.B_u * longest(c), values)


def balls(c):
    """The sets of q and of the one column of W_V: an l2 ball and, if the class has that norm, an l1
    ball."""
    limits = (c.B_q, c.B_q1), (min(c.B_V, c.B_V21), c.B_V11)
    return [[Ball(kind, r, axes=1) for kind, r in zip(("l2", "l1"), pair) if r is not None]
            for pair in limits]


def longest(c):
    """How long a column of W_V may be that is a multiple of a basis vector."""
    return min(ball.radius for ball in balls(c)[1])


def moved_into(sets, x):
    """Rows of x moved into an l2 ball and then an l1 ball, which lowers entries and so does not
    leave the first."""
    for ball in sets:
        x = ball.project(x)
    return x


def unit_rows(x):
    """Rows scaled to length 1; rows of zeros stay."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(float).tiny)


def members(q, v, X, rows):
    """relu of n heads (n, m), q and v (n, T + 3) in the basis P_1 .. P_T, E_0, E_1, x_cls.
    pullback(dy) -> dq, dv."""
    T = X.shape[1]
    scores, values = (x[:, None, :T] + x[:, T:T + 2, None] for x in (q, v))
    out, back = cls_head(scores, values[..., None], q[:, -1], v[:, -1:], X, rows)
    y, back_relu = relu(out[..., 0].T)

    def pullback(dy):
        dscores, dvalues, dcls, dv_cls = back(back_relu(dy).T[..., None])
        tables = (dscores, dcls[:, None]), (dvalues[..., 0], dv_cls)
        return [np.concatenate([table.sum(axis=1), table.sum(axis=2), cls], axis=1)
                for table, cls in tables]

    return y, pullback


def first_members(s, X, c):
    """Starts of q and v (n, starts, T + 3) for signs s (n, m).

    Attention on the 1, 2, 4, .. positions whose bits correlate most with s, with -s, or on all in
    proportion; the value is the bit, or 1 less the bit.
    """
    g, q, T = s @ X / len(X), [], X.shape[1]
    for h in (g, -g):
        order = np.argsort(-h, axis=1, kind="stable")
        for k in (1 << j for j in range(T.bit_length())):
            q.append(np.zeros_like(h))
            np.put_along_axis(q[-1], order[:, :k], c.B_q / math.sqrt(k), axis=1)
        q.append(c.B_q * unit_rows(h - h.mean(axis=1, keepdims=True)))
    q = np.pad(np.stack(q * 2, axis=1), ((0, 0), (0, 0), (0, 3)))
    v, half = np.zeros_like(q), q.shape[1] // 2
    v[:, :half, T + 1] = v[:, half:, T] = longest(c)
    return moved_into(balls(c)[0], q.reshape(-1, T + 3)).reshape(q.shape), v


def ascend(X, rows, s, c, steps, starts):
    """The largest (1/m) sum_i s_i f(x_i) that ascents from the best starts reach, for each row of s
    (n, m): (n,)."""
    q, v = first_members(s, X, c)
    reached = (members(*(x.reshape(-1, x.shape[2]) for x in (q, v)), X, rows)[0].reshape(len(s),
                                                                                         -1, len(X))
               * s[:, None]).sum(axis=2)
    best = np.argsort(-abs(reached), axis=1, kind="stable")[:, :starts]
    x = [np.take_along_axis(x, best[..., None], axis=1).reshape(-1, x.shape[2]) for x in (q, v)]
    first = np.take_along_axis(reached, best, axis=1).reshape(-1)
    # u = +-B_u, which helps
    ways = np.where(first < 0, -1, 1)[:, None] * np.repeat(s, best.shape[1], axis=0)
    for rate in np.linspace(0.15, 0.002, steps):
        gradients = members(*x, X, rows)[1](ways)
        x = [moved_into(sets, a + rate * sets[0].radius * unit_rows(da))
             for a, da, sets in zip(x, gradients, balls(c))]
    last = (members(*x, X, rows)[0] * ways).sum(axis=1)
    for a, sets in zip(x, balls(c)):
        for ball in sets:
            last *= ball.contains(a)
    return c.L_s * c.B_u / len(X) * np.maximum(abs(first), last).reshape(len(s), -1).max(axis=1)
