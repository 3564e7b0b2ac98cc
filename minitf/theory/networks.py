"""Covering numbers of norm-bounded attention: tf-head, tf-scalar, L layers. Numbers in, nats out.

    c = ScalarBudgets(T=64, d=67, d_v=1, B_X=2 ** 0.5, B_q=9.94, B_V=1.02, B_V21=1.02, B_u=4)
    scalar_logcov(0.25, 1000, c)      log covering number at accuracy 1/4 on any 1000 inputs, nats

One idea serves every class. A network is a list of parts, its weights; an error e_i in the values
of part i moves the output by at most b_i e_i. Covers of the parts, with sum_i b_i e_i = eps, then
make a cover of the network and their logarithms add. A part costs at most A_i/e_i^2 + c_i, so the
best split of eps is known in closed form (`split`) and

    log N(eps) <= C2/eps^2 + c0,   C2 = (sum_i A_i^(1/3) b_i^(2/3))^3,   c0 = sum_i c_i.

`*_C2` return (C2, c0). `*_logcov` take the same split, but for each part the smallest bound of
`covering` (or of those named in covers={weight: names}); they are 0 from the radius of the class
on. Every constant is explicit. Multi-head classes have H parts of a kind, and an error in each
moves the output by `Budgets.spread` times as much. C2 and c0 grow with every budget. A value of
`*_logcov` need not: the split is best for the closed forms, and where smaller bounds win it may
fall by up to a half as a budget grows; each value is valid all the same. search=True tries fixed
shares of eps for every part instead (`searched`): nondecreasing in every budget, up to ten times
smaller where bounds of different kinds meet, some per cent larger where they do not, and twenty
times the work.
Source: Edelman, Goel, Kakade, Zhang 2022, section 4 (the classes, and these bounds up to
constants).
"""
import math
from typing import NamedTuple

import numpy as np

from minitf.checks import checked, choice, count, nonnegative, positive
from minitf.theory.budgets import HeadBudgets, ScalarBudgets, layers_of
from minitf.theory.linear import split
from minitf.theory.matrices import Linear, l21_K, linear_logcov


@checked
def softmax_l1_bound(distance: nonnegative):
    """||softmax(u) - softmax(v)||_1 <= 2 tanh(distance/2) <= distance,   distance = ||u - v||_inf.

    Equality at u = -v = (distance/2)(1, -1). Shifts do not matter, so half of max(u-v) - min(u-v)
    may be given instead. Why: the odds of any set of positions change by a factor of at most exp(2
    distance); its probability by at most S(distance) - S(-distance) = tanh(distance/2), S the
    logistic function. The paper works with 2 distance.
    """
    return 2 * math.tanh(distance / 2)


class Part(NamedTuple):
    """One weight of a network, or of each head: errors e of all copies move the output <= b e."""
    weight: str
    b: float
    maps: Linear
    copies: int = 1

    def leading(self):
        """Return (A, c) with log N <= A/e^2 + c: `l21_closed` where a (2,1) norm is known, else
        `ds`; all copies."""
        W = self.maps
        if W.l21 is None:
            A, c = 4 * (W.F * W.B) ** 2 * math.log(2 * W.n), math.log(2)
        else:
            A, c = (W.l21 * W.B * l21_K(W.n, W.p)) ** 2, 2 * math.log(W.p + 1) + math.log(2)
        return self.copies * A, self.copies * c

    def logcov(self, e, covers):
        """Return the smallest bound on log N at e, of those that covers[weight] names or of all;
        all copies."""
        return self.copies * linear_logcov(self.maps, e, covers.get(self.weight))


class Leading(NamedTuple):
    """log N(eps) <= C2/eps^2 + c0."""
    C2: float
    c0: float


def shared(parts, eps):
    """`split` of eps among the parts: what each may err by, and the minimum."""
    A, b = zip(*((part.leading()[0], part.b) for part in parts))
    e, least = split.__wrapped__(A, b, eps)
    if not math.isfinite(least):
        raise OverflowError                     # `checked` says it of the caller's arguments
    return e, least


def leading(parts):
    """Return (C2, c0) of a network of these parts: the minimum of `split`, the sum of theirs."""
    return Leading(shared(parts, 1.0)[1], math.fsum(part.leading()[1] for part in parts))


# shares of eps are multiples of eps/UNITS, each about a quarter above the one before
UNITS = 256
SHARES = sorted({round(UNITS ** (j / 24)) for j in range(25)})


def logcov(eps, parts, radius, covers, search=False):
    """The bound on log N of a network of these parts, as this module says; 0 from radius on."""
    covers, weights = covers or {}, {part.weight for part in parts}
    for name in covers:
        choice("covers", name, sorted(weights))
    if eps >= radius:
        return 0.0
    if search:
        return searched(eps, parts, covers)
    e, _ = shared(parts, eps)
    return math.fsum(part.logcov(e_i, covers) for part, e_i in zip(parts, e))


def searched(eps, parts, covers):
    """Return the least sum of covers over all ways to give each part one of SHARES, UNITS or fewer
    in all.

    least[u] is that for the parts so far within u units. A term of the minimum names no budget but
    in its covers, so the minimum grows with all of them.
    """
    least = np.zeros(UNITS + 1)
    for part in parts:
        if part.b * part.maps.F * part.maps.B == 0:     # costs nothing and takes no share
            continue
        costs = [part.logcov(eps * n / UNITS / part.b, covers) for n in SHARES]
        least = np.min([np.concatenate((np.full(n, math.inf), least[:UNITS + 1 - n] + cost))
                        for n, cost in zip(SHARES, costs)], axis=0)
    return float(least[-1])


def value_maps(c, m):
    """x -> W_V^T x on the m (T+1) tokens; ||W_V||_F <= min(||W_V||_{2,1}, sqrt(rank) ||W_V||_2)."""
    F = min(c.B_V21, math.sqrt(min(c.d, c.d_v)) * c.B_V)
    return Linear(c.d_v, c.d, m * (c.T + 1), c.B_X, F, c.B_V21, c.B_V11)


def head_parts(m, c):
    """Return the parts of tf-head on m inputs.

    A score <W_QK, x_t z^T> is linear in W_QK. Its error e moves the attention by at most e in l1
    (`softmax_l1_bound`), hence the head by L_s B_V B_X e; an error e of the values moves it by L_s
    e.
    """
    score = Linear(1, c.d * c.d, m * (c.T + 1), c.B_X * c.B_Z, c.B_QKF,
                   l11=c.B_QK11)
    return [Part("W_QK", c.L_s * c.B_V * c.B_X, score), Part("W_V", c.L_s, value_maps(c, m))]


@checked
def head_C2(m: count, c: HeadBudgets):
    """Return (C2, c0) of tf-head, output in l2, on any m pairs (X, z).

    C2 = (L_s B_X)^2 [(B_V21 K)^(2/3) + (2 B_V B_QKF B_X B_Z sqrt(log 2n))^(2/3)]^3,  n = m (T+1),
    K = `l21_K`(n, d_v), c0 = 2 log(d_v + 1) + 2 log 2.
    """
    return leading(head_parts(m, c))


@checked
def head_logcov(eps: positive, m: count, c: HeadBudgets, covers: dict | None = None,
                search: bool = False):
    """Return a bound on the log covering number of tf-head on any m pairs (X, z).

    Weights: W_QK, W_V.
    """
    return logcov(eps, head_parts(m, c), c.L_s * c.B_V * c.B_X, covers, search)


def scalar_parts(m, c):
    """Return the parts of tf-scalar: `head_parts` with q for W_QK, and u, linear on the m hidden
    vectors.

    Every head is at most R = L_s B_V B_X long: H R their sum, sqrt(H) R side by side.
    """
    R, wide = c.L_s * c.B_V * c.B_X, c.H if c.heads == "concat" else 1
    score = Linear(1, c.d, m * (c.T + 1), c.B_X, c.B_q, l11=c.B_q1)
    return [Part("q", c.spread * c.B_u * R, score, c.H),
            Part("W_V", c.spread * c.B_u * c.L_s, value_maps(c, m), c.H),
            Part("u", c.readouts, Linear(1, wide * c.d_v, m, c.spread / c.readouts * R, c.B_u),
                 c.readouts)]


@checked
def scalar_C2(m: count, c: ScalarBudgets):
    """Return (C2, c0) of tf-scalar: `split` over scores, values and readout;  c0 = 2 log(d_v + 1) +
    3 log 2.

    A = (4 (B_q B_X)^2 log(2n), (B_V21 B_X K(n, d_v))^2, 4 (B_u R)^2 log(2m)),  b = (B_u R, B_u L_s,
    1), R = L_s B_V B_X,  n = m (T+1), for one head. (W_V, u) -> (a W_V, u/a) changes nothing.
    """
    return leading(scalar_parts(m, c))


@checked
def scalar_logcov(eps: positive, m: count, c: ScalarBudgets, covers: dict | None = None,
                  search: bool = False):
    """Return a bound on the log covering number of tf-scalar on any m inputs.

    Weights: q, W_V, u.
    The radius is B_u L_s B_V B_X, times `spread` for several heads; or 1/2 about the constant 1/2
    if that is smaller and the output is clipped.
    """
    radius = c.spread * c.B_u * c.L_s * c.B_V * c.B_X
    return logcov(eps, scalar_parts(m, c), min(radius, 0.5) if c.clip else radius, covers, search)


def layers_parts(m, T, layers, B_X, B_w, residual=False):
    """Return the parts of  w^T g^L[0],  g^l = Pi(sigma(Pi(A^l g^(l-1) W_V)) W_C),  g^0 = X.

    Pi projects every row on the unit ball; residual adds g^(l-1) inside the outer Pi. Heads are
    combined before the inner Pi, with sum-out after it. Errors of rows obey  e_l <= s L_s B_C [B_V
    (1 + 2 b^2 B_QK) e_(l-1) + B_V b e_QK + e_V] + e_C (+ e_(l-1)),  b = B_X for l = 1, then 1, s =
    `spread` (1 for one head; e_C H times with sum-out): two bilinear terms move the scores, the
    attention moves no more in l1, Pi is 1-Lipschitz. Unrolled from the readout back, D is what an
    error of g^l costs at the output. Inner layers ask T+1 queries of T+1 rows, the last only [CLS].
    """
    rows, D = T + 1, B_w
    last = len(layers) - 1
    parts = [Part("w", 1.0, Linear(1, layers[last].d, m, 1.0, D))]
    for l, c in reversed(list(enumerate(layers))):
        b, queries = (B_X, 1.0)[l > 0], (rows, 1)[l == last]
        wide, D_V = c.H * c.k if c.heads == "concat" else c.k, D * c.spread * c.L_s * c.B_C
        F_V, F_C = (min(s21, math.sqrt(min(c.d, k)) * s)
                    for s21, s, k in ((c.B_V21, c.B_V, c.k), (c.B_C21, c.B_C, wide)))
        h = c.L_s * min(1.0, b * c.B_V * c.spread / c.readouts)
        parts += [Part("W_C", D * c.readouts, Linear(c.d, wide, m * queries, h, F_C, c.B_C21),
                       c.readouts),
                  Part("W_V", D_V, Linear(c.k, c.d, m * rows, b, F_V, c.B_V21), c.H),
                  Part("W_QK", D_V * c.B_V * b,
                       Linear(1, c.d * c.d, m * rows * queries, b * b, c.B_QKF), c.H)]
        D = D_V * c.B_V * (1 + 2 * b * b * c.B_QK) + residual * D
    return parts


@checked
def layers_C2(m: count, T: count, layers: layers_of, B_X: nonnegative, B_w: nonnegative,
              residual: bool = False):
    """Return (C2, c0) of the L-layer network from its exact recursion of errors: O(L), 3L + 1 parts
    (`layers_parts`).

    Every layer multiplies C2 by about (L_s B_C B_V (1 + 2 B_QK))^2, one more inside the square with
    residual: exponential in depth.
    """
    return leading(layers_parts(m, T, layers, B_X, B_w, residual))


@checked
def layers_logcov(eps: positive, m: count, T: count, layers: layers_of, B_X: nonnegative,
                  B_w: nonnegative, residual: bool = False, covers: dict | None = None,
                  search: bool = False):
    """Return a bound on the log covering number of the L-layer network on any m inputs.

    Weights: W_QK, W_V, W_C, w. The last Pi makes B_w the radius.
    """
    return logcov(eps, layers_parts(m, T, layers, B_X, B_w, residual), B_w, covers, search)
