"""A model against the bounds: what its norms certify, and how large its class is at least on given inputs.

    certify(result, X, y)                   the error that its norms and its margin rule out: how vacuous is that?
    rademacher_lower(X, budgets, rng)       the empirical Rademacher complexity of a class, from below

Every constant is explicit, in `bounds`, `classes` and `families`.
Sources: Edelman, Goel, Kakade, Zhang 2022, section 4 (the classes); Schapire, Freund, Bartlett and Lee 1998 (norms
over margins); Bartlett and Mendelson 2002 (Rademacher complexity).
"""
import math
from typing import NamedTuple

import numpy as np

from minitf.bits import cls_head, one_hot
from minitf.generalisation import confidence, dyadic_budgets, gap_bound, margin_bound, sample_complexity
from minitf.checks import bits, examples, floats, generator, integer, require, shape
from minitf.families import family_of
from minitf.model import attention_of, head_shares
from minitf.ops import relu
from minitf.projections import Ball
from minitf.result import Result, logits_of
from minitf.yardsticks import log_supports, occam_m

TARGET = 0.1            # the error for which `needed` and `yardstick` count examples
LIMIT = 10 ** 60        # examples


class Certificate(NamedTuple):
    """What is certified about a model. error None: no bound here covers it, and `text` says why.

    error      with probability >= 1 - delta over the sample, P(wrong) is at most this; 1 says nothing
    needed     examples from which a model of these norms and this margin is certified to err at most TARGET; of one
               that does not fit all examples, TARGET above its margin loss. None: more than LIMIT
    yardstick  examples that Occam's bound asks for if the rule is known and k of T positions are to be named
    factor     needed / yardstick
    margin     what the logits are measured by: the smallest of them; where some example is wrong, the median |logit|
    """
    error: float | None
    text: str
    family: str | None = None
    fitted: bool | None = None
    margin: float | None = None
    needed: int | None = None
    yardstick: int | None = None
    factor: float | None = None
    delta: float | None = None


def certify(model, X, y, delta=0.05, *, k=None, logits=None):
    """Bound the error of a model from its measured norms and margin, once it has seen the examples: a Certificate.

    f = clip(1/2 + logit/(2g), 0, 1) decides as the model does, g its margin. The norms of f are rounded up to budgets
    on a grid that costs confidence alone (`dyadic_budgets`). In the sharpest class of `families` that holds f,
        all examples right:   error <= `margin_bound`, f being equal to y on all of them
        otherwise:            error <= mean of clip(1 - margin/g, 0, 1) + `gap_bound`
    at half of delta each. Assumed: independent examples. No constant is suppressed.

    model: a Result, or a pair (params, ModelConfig). X (m, T), y (m,) what it was trained on. k: the positions that the
    yardstick names (default: as many as have half the largest attention). logits (m,): those of X, if they are known.
    Cost: one forward pass, and a few milliseconds. Source: theorems as in the functions named.
    """
    delta = confidence(delta, 0.125)
    if not isinstance(model, Result):
        X, y = examples(X, y)
        params, config = model
        model = Result(params, config, attention_of(params, X, config), head_shares(params, X, config), X.mean(axis=0))
    y = bits("y", y, ndim=1)
    logits = logits_of(model.params, X, model.model) if logits is None else floats("logits", logits)
    shape("logits", logits, y.shape)
    margins = (2.0 * y - 1) * logits
    fitted = bool(margins.min() > 0)
    g = float(margins.min() if fitted else np.median(abs(logits))) or 1.0
    k = None if k is None else integer("k", k, 1, model.model.T)
    with np.errstate(over="ignore", invalid="ignore"):
        found = certified(model, 2 * g, delta / 2, fitted, len(y))
    if isinstance(found, str):
        return Certificate(None, f"none: {found}")
    name, gap, needed = found
    loss = 0.0 if fitted else float(np.clip(1 - margins / g, 0, 1).mean())
    error = min(1.0, loss + gap)
    strength = model.strength()
    k = int((2 * strength >= strength.max()).sum()) if k is None else k
    yardstick = occam_m(log_supports(model.model.T, k), TARGET, delta, agnostic=not fitted)
    factor = None if needed is None else needed / yardstick
    guessing = min(y.mean(), 1 - y.mean()) or 1.0           # the error of the commoner label: a bound above is vacuous
    text = summary(error if error < guessing else 1.0, len(y), fitted, needed, yardstick, factor)
    return Certificate(error, text, name, fitted, g, needed, yardstick, factor, delta)


def certified(model, scale, delta, fitted, m):
    """Return the family of a model, the bound at m, the m at which it falls to TARGET or None; or why there is none."""
    try:
        family = family_of(model.params, model.model, scale)
        if isinstance(family, str):
            return family
        name, norms, build = family
        budgets, left = dyadic_budgets(norms, delta)
        logcov, rad = build(*budgets)

        def bound(m):
            return margin_bound(logcov, m, left) if fitted else gap_bound(rad(m), m, left)

        needed = None if bound(LIMIT) > TARGET else sample_complexity(bound, TARGET, rtol=5e-3, limit=LIMIT)
        return name, bound(m), needed
    except (ArithmeticError, ValueError):           # nothing here is input: a product of norms is inf, or eps over it 0
        return "its norms multiply to more than float64 holds"


def summary(error, m, fitted, needed, yardstick, factor):
    """A certificate in one line; of one that is vacuous, that it is."""
    here = f"error at most {error:.1%}" if error < 1 else f"vacuous at m = {m}"
    least = f"{TARGET:.0%} error" + ("" if fitted else " above the margin loss")
    if needed is None:
        return f"{here}; more than {LIMIT:.0e} examples of the same norms and margin would certify {least}"
    return (f"{here}; the same norms and margin certify {least} from m = {rounded(needed)} on, "
            f"{rounded(factor)} times Occam's {yardstick}")


def rounded(x):
    """Two digits of a positive number: 1.4, 13, 1,400, 2.3e7."""
    x = math.inf if x is None else float(f"{x:.2g}")
    return f"{x:.1e}".replace("+0", "").replace("+", "") if x >= 1e6 else f"{x:,.0f}" if x >= 10 else f"{x:g}"


class Rademacher(NamedTuple):
    """An empirical Rademacher complexity from below: values (n,) are what members reach for n draws of signs.

    mean +- se estimates a lower bound; lower is one with probability 1 - delta (Hoeffding, the values being between 0
    and the radius of the class), 0 if that is too few draws to tell. single is the mean over the same signs of the best
    head that attends to one position as hard as it may.
    """
    mean: float
    se: float
    lower: float
    single: float
    values: np.ndarray


def rademacher_lower(X, c, rng, *, signs=60, steps=50, starts=4, delta=0.05):
    """Estimate from below  Rad = E sup_f (1/m) sum_i s_i f(x_i),  s_i = +-1, over the class c, no clip.

    For every draw of s, projected gradient ascent from several starts, none of them taken from another draw. What it
    reaches is a member of the class, checked by its norms, and 0 is one: however bad the ascent, the mean can only be
    too low. It bounds no error from above.

    X (m, T) bits; tokens E[b_t] + P_t and x_cls, all of E, P and x_cls orthonormal. c: ScalarBudgets with T, d = T + 3,
    B_X >= sqrt 2, one head and clip=False; sigma is L_s times ReLU, and one hidden unit is used. Cost: signs x starts x
    steps forward and backward passes of one head over X.
    """
    X = bits("X", X)
    m, T = X.shape
    signs, steps, starts = integer("signs", signs, 2), integer("steps", steps, 1), integer("starts", starts, 1)
    fits = (c.T, c.d, c.H, c.clip) == (T, T + 3, 1, False) and c.B_X ** 2 >= 2 * (1 - 1e-12)
    require(fits, "c", f"ScalarBudgets of T = {T}, d = {T + 3}, B_X >= sqrt 2, one head, clip=False", c)
    delta, s = confidence(delta), generator("rng", rng).choice([-1.0, 1.0], (signs, m))
    rows, block = one_hot(X, 2, float), max(1, 2 ** 14 // T)
    values = np.concatenate([ascend(X, rows, s[i:i + block], c, steps, starts) for i in range(0, signs, block)])
    B, g = min(ball.radius for ball in balls(c)[0]), s @ X / m
    share = math.exp(B - np.logaddexp(B, math.log(T)))
    single = abs(share * g + (1 - share) / T * (g.sum(axis=1, keepdims=True) - g)).max(axis=1)
    mean, se = float(values.mean()), float(values.std(ddof=1) / math.sqrt(signs))
    chance = c.B_u * c.L_s * c.B_V * c.B_X * math.sqrt(math.log(1 / delta) / (2 * signs))
    return Rademacher(mean, se, max(0.0, mean - chance), float(single.mean()) * c.L_s * c.B_u * longest(c), values)


def balls(c):
    """The sets of q and of the one column of W_V: an l2 ball and, if the class has that norm, an l1 ball."""
    limits = (c.B_q, c.B_q1), (min(c.B_V, c.B_V21), c.B_V11)
    return [[Ball(kind, r, axes=1) for kind, r in zip(("l2", "l1"), pair) if r is not None] for pair in limits]


def longest(c):
    """How long a column of W_V may be that is a multiple of a basis vector."""
    return min(ball.radius for ball in balls(c)[1])


def moved_into(sets, x):
    """Rows of x moved into an l2 ball and then an l1 ball, which lowers entries and so does not leave the first."""
    for ball in sets:
        x = ball.project(x)
    return x


def unit_rows(x):
    """Rows scaled to length 1; rows of zeros stay."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(float).tiny)


def members(q, v, X, rows):
    """relu of n heads (n, m), q and v (n, T + 3) in the basis P_1 .. P_T, E_0, E_1, x_cls. pullback(dy) -> dq, dv."""
    T = X.shape[1]
    scores, values = (x[:, None, :T] + x[:, T:T + 2, None] for x in (q, v))
    out, back = cls_head(scores, values[..., None], q[:, -1], v[:, -1:], X, rows)
    y, back_relu = relu(out[..., 0].T)

    def pullback(dy):
        dscores, dvalues, dcls, dv_cls = back(back_relu(dy).T[..., None])
        tables = (dscores, dcls[:, None]), (dvalues[..., 0], dv_cls)
        return [np.concatenate([table.sum(axis=1), table.sum(axis=2), cls], axis=1) for table, cls in tables]

    return y, pullback


def first_members(s, X, c):
    """Starts of q and v (n, starts, T + 3) for signs s (n, m).

    Attention on the 1, 2, 4, .. positions whose bits correlate most with s, with -s, or on all in proportion; the value
    is the bit, or 1 less the bit.
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
    """The largest (1/m) sum_i s_i f(x_i) that ascents from the best starts reach, for each row of s (n, m): (n,)."""
    q, v = first_members(s, X, c)
    reached = (members(*(x.reshape(-1, x.shape[2]) for x in (q, v)), X, rows)[0].reshape(len(s), -1, len(X))
               * s[:, None]).sum(axis=2)
    best = np.argsort(-abs(reached), axis=1, kind="stable")[:, :starts]
    x = [np.take_along_axis(x, best[..., None], axis=1).reshape(-1, x.shape[2]) for x in (q, v)]
    first = np.take_along_axis(reached, best, axis=1).reshape(-1)
    ways = np.where(first < 0, -1, 1)[:, None] * np.repeat(s, best.shape[1], axis=0)       # u = +-B_u, which helps
    for rate in np.linspace(0.15, 0.002, steps):
        gradients = members(*x, X, rows)[1](ways)
        x = [moved_into(sets, a + rate * sets[0].radius * unit_rows(da)) for a, da, sets in zip(x, gradients, balls(c))]
    last = (members(*x, X, rows)[0] * ways).sum(axis=1)
    for a, sets in zip(x, balls(c)):
        for ball in sets:
            last *= ball.contains(a)
    return c.L_s * c.B_u / len(X) * np.maximum(abs(first), last).reshape(len(s), -1).max(axis=1)
