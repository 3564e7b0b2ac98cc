"""Covering numbers of norm-bounded attention: tf-head, tf-scalar, L layers. Numbers in, nats out.

    c = ScalarBudgets(T=64, d=67, d_v=1, B_X=2 ** 0.5, B_q=9.94, B_V=1.02, B_V21=1.02, B_u=4)
    scalar_logcov(0.25, 1000, c)            log covering number at accuracy 1/4 on any 1000 inputs, in nats

One idea serves every class. A network is a list of parts, its weights; an error e_i in the values of part i moves the
output by at most b_i e_i. Covers of the parts, with sum_i b_i e_i = eps, then make a cover of the network and their
logarithms add. A part costs at most A_i/e_i^2 + c_i, so the best split of eps is known in closed form (`split`) and

    log N(eps) <= C2/eps^2 + c0,   C2 = (sum_i A_i^(1/3) b_i^(2/3))^3,   c0 = sum_i c_i.

`*_C2` return (C2, c0). `*_logcov` take the same split, but for each part the smallest bound of `covering` (or of those
named in covers={weight: names}); they are 0 from the radius of the class on. Every constant is explicit.
The split is best for the closed forms. Where smaller bounds win it is not, and a value may fall by some per mille as a
budget or m grows; each is valid all the same.
T positions and [CLS] make T + 1 rows; sigma is L_s-Lipschitz, sigma(0) = 0; scores are X W_QK z.
Source: Edelman, Goel, Kakade, Zhang 2022, section 4 (the classes, and these bounds up to constants).
"""
import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from minitf.checks import choice, integer, require
from minitf.covering import Linear, l21_K, linear_logcov, nonnegative, positive, split


def softmax_l1_bound(distance):
    """||softmax(u) - softmax(v)||_1 <= 2 tanh(distance/2) <= distance,   distance = ||u - v||_inf.

    Equality at u = -v = (distance/2)(1, -1). Shifts do not matter, so half of max(u-v) - min(u-v) may be given instead.
    Why: the odds of any set of positions change by a factor of at most exp(2 distance); its probability by at most
    S(distance) - S(-distance) = tanh(distance/2), S the logistic function. The paper works with 2 distance.
    """
    return 2 * math.tanh(nonnegative("distance", distance) / 2)


class Part(NamedTuple):
    """One weight of a network: an error e in its values moves the output by at most b e."""
    weight: str
    b: float
    maps: Linear

    def leading(self):
        """Return (A, c) with log N <= A/e^2 + c: `l21_closed` where a (2,1) norm is known, else `ds`."""
        W = self.maps
        if W.l21 is None:
            return 4 * (W.F * W.B) ** 2 * math.log(2 * W.n), math.log(2)
        return (W.l21 * W.B * l21_K(W.n, W.p)) ** 2, 2 * math.log(W.p + 1) + math.log(2)


class Leading(NamedTuple):
    """log N(eps) <= C2/eps^2 + c0."""
    C2: float
    c0: float


def leading(parts):
    A, c = zip(*(part.leading() for part in parts))
    return Leading(split(A, [part.b for part in parts], 1.0)[1], math.fsum(c))


def logcov(eps, parts, radius, covers):
    weights = {part.weight for part in parts}
    for name in covers or {}:
        choice("covers", name, sorted(weights))
    if positive("eps", eps) >= radius:
        return 0.0
    e, _ = split([part.leading()[0] for part in parts], [part.b for part in parts], eps)
    return math.fsum(linear_logcov(part.maps, e_i, (covers or {}).get(part.weight)) for part, e_i in zip(parts, e))


class Budgets:
    """Checks shared by the classes of networks: whole numbers >= 1, norms >= 0, None where a norm may be unknown."""

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is bool:
                require(isinstance(value, bool), field.name, "True or False", value, TypeError)
            elif value is not None or field.default is not None:
                check = nonnegative if field.type is float else lambda name, n: integer(name, n, 1)
                object.__setattr__(self, field.name, check(field.name, value))


@dataclass(frozen=True)
class HeadBudgets(Budgets):
    """The class tf-head:  sigma(W_V^T X^T softmax(X W_QK z)),  W_QK (d, d), W_V (d, d_v).

    ||x_t||_2 <= B_X, ||z||_2 <= B_Z, ||W_QK||_F <= B_QKF, ||W_V||_2 <= B_V, ||W_V||_{2,1} <= B_V21; and, if known,
    ||W_QK||_{1,1} <= B_QK11, ||W_V||_{1,1} <= B_V11.

    The paper bounds a (2,1) norm of W_QK, in either orientation at least ||W_QK||_F: give it as B_QKF.
    """
    T: int
    d: int
    d_v: int
    B_X: float
    B_Z: float
    B_QKF: float
    B_V: float
    B_V21: float
    L_s: float = 1.0
    B_QK11: float = None
    B_V11: float = None


@dataclass(frozen=True)
class ScalarBudgets(Budgets):
    """The class tf-scalar, read at [CLS]:  u^T sigma(W_V^T X^T softmax(X q)),  q = W_QK x_cls, u = W_C w.

    ||q||_2 <= B_q, ||u||_2 <= B_u, X and W_V as in `HeadBudgets`; and, if known, ||q||_1 <= B_q1.
    clip=True: the output is clipped to [0, 1], which is 1-Lipschitz and costs nothing.
    """
    T: int
    d: int
    d_v: int
    B_X: float
    B_q: float
    B_V: float
    B_V21: float
    B_u: float
    L_s: float = 1.0
    B_q1: float = None
    B_V11: float = None
    clip: bool = True


@dataclass(frozen=True)
class LayerBudgets(Budgets):
    """One layer:  bounds on ||W_QK||_2, ||W_QK||_F, ||W_V||_2, ||W_V||_{2,1}, ||W_C||_2, ||W_C||_{2,1}.

    W_QK (d, d), W_V (d, k), W_C (k, d).
    """
    d: int
    k: int
    B_QK: float
    B_QKF: float
    B_V: float
    B_V21: float
    B_C: float
    B_C21: float
    L_s: float = 1.0


def value_maps(c, m):
    """x -> W_V^T x on the m (T+1) tokens; ||W_V||_F <= min(||W_V||_{2,1}, sqrt(rank) ||W_V||_2)."""
    F = min(c.B_V21, math.sqrt(min(c.d, c.d_v)) * c.B_V)
    return Linear(c.d_v, c.d, m * (c.T + 1), c.B_X, F, c.B_V21, c.B_V11)


def head_parts(m, c):
    """Return the parts of tf-head on m inputs.

    A score <W_QK, x_t z^T> is linear in W_QK. Its error e moves the attention by at most e in l1 (`softmax_l1_bound`),
    hence the head by L_s B_V B_X e; an error e of the values moves it by L_s e.
    """
    score = Linear(1, c.d * c.d, integer("m", m, 1) * (c.T + 1), c.B_X * c.B_Z, c.B_QKF, l11=c.B_QK11)
    return [Part("W_QK", c.L_s * c.B_V * c.B_X, score), Part("W_V", c.L_s, value_maps(c, m))]


def head_C2(m, c):
    """Return (C2, c0) of tf-head, output in l2, on any m pairs (X, z).

    C2 = (L_s B_X)^2 [(B_V21 K)^(2/3) + (2 B_V B_QKF B_X B_Z sqrt(log 2n))^(2/3)]^3,  n = m (T+1),  K = `l21_K`(n, d_v),
    c0 = 2 log(d_v + 1) + 2 log 2.
    """
    return leading(head_parts(m, c))


def head_logcov(eps, m, c, covers=None):
    """Return a bound on the log covering number of tf-head on any m pairs (X, z).     Weights: W_QK, W_V."""
    return logcov(eps, head_parts(m, c), c.L_s * c.B_V * c.B_X, covers)


def scalar_parts(m, c):
    """Return the parts of tf-scalar: `head_parts` with q for W_QK, and u, linear on the m hidden vectors."""
    R = c.L_s * c.B_V * c.B_X
    score = Linear(1, c.d, integer("m", m, 1) * (c.T + 1), c.B_X, c.B_q, l11=c.B_q1)
    return [Part("q", c.B_u * R, score), Part("W_V", c.B_u * c.L_s, value_maps(c, m)),
            Part("u", 1.0, Linear(1, c.d_v, m, R, c.B_u))]


def scalar_C2(m, c):
    """Return (C2, c0) of tf-scalar: `split` over scores, values and readout;  c0 = 2 log(d_v + 1) + 3 log 2.

    A = (4 (B_q B_X)^2 log(2n), (B_V21 B_X K(n, d_v))^2, 4 (B_u R)^2 log(2m)),  b = (B_u R, B_u L_s, 1),
    R = L_s B_V B_X,  n = m (T+1).  (W_V, u) -> (a W_V, u/a) changes nothing.
    """
    return leading(scalar_parts(m, c))


def scalar_logcov(eps, m, c, covers=None):
    """Return a bound on the log covering number of tf-scalar on any m inputs.     Weights: q, W_V, u.

    The radius is B_u L_s B_V B_X, or 1/2 about the constant 1/2 if that is smaller and the output is clipped.
    """
    radius = c.B_u * c.L_s * c.B_V * c.B_X
    return logcov(eps, scalar_parts(m, c), min(radius, 0.5) if c.clip else radius, covers)


def layers_parts(m, T, layers, B_X, B_w, residual=False):
    """Return the parts of  w^T g^L[0],  g^l = Pi(sigma(Pi(A^l g^(l-1) W_V)) W_C),  g^0 = X.

    Pi projects every row on the unit ball; residual adds g^(l-1) inside the outer Pi.
    Errors of rows obey  e_l <= L_s B_C [B_V (1 + 2 b^2 B_QK) e_(l-1) + B_V b e_QK + e_V] + e_C (+ e_(l-1)),  b = B_X
    for l = 1, then 1: two bilinear terms move the scores, the attention moves no more in l1, Pi is 1-Lipschitz.
    Unrolled from the readout back, D is what an error of g^l costs at the output. Inner layers ask T+1 queries of T+1
    rows, the last only [CLS].
    """
    require(len(layers) > 0, "layers", "at least one LayerBudgets", layers)
    rows, B_X, D = integer("T", T, 1) + 1, nonnegative("B_X", B_X), nonnegative("B_w", B_w)
    last = len(layers) - 1
    parts = [Part("w", 1.0, Linear(1, layers[last].d, integer("m", m, 1), 1.0, D))]
    for l, c in reversed(list(enumerate(layers))):
        b, queries = (B_X, 1.0)[l > 0], (rows, 1)[l == last]
        F_V, F_C = (min(s21, math.sqrt(min(c.d, c.k)) * s) for s21, s in ((c.B_V21, c.B_V), (c.B_C21, c.B_C)))
        parts += [Part("W_C", D, Linear(c.d, c.k, m * queries, c.L_s * min(1.0, b * c.B_V), F_C, c.B_C21)),
                  Part("W_V", D * c.L_s * c.B_C, Linear(c.k, c.d, m * rows, b, F_V, c.B_V21)),
                  Part("W_QK", D * c.L_s * c.B_C * c.B_V * b, Linear(1, c.d * c.d, m * rows * queries, b * b, c.B_QKF))]
        D *= c.L_s * c.B_C * c.B_V * (1 + 2 * b * b * c.B_QK) + bool(residual)
    return parts


def layers_C2(m, T, layers, B_X, B_w, residual=False):
    """Return (C2, c0) of the L-layer network from its exact recursion of errors: O(L), 3L + 1 parts (`layers_parts`).

    Every layer multiplies C2 by about (L_s B_C B_V (1 + 2 B_QK))^2, one more inside the square with residual:
    exponential in depth.
    """
    return leading(layers_parts(m, T, layers, B_X, B_w, residual))


def layers_logcov(eps, m, T, layers, B_X, B_w, residual=False, covers=None):
    """Return a bound on the log covering number of the L-layer network on any m inputs.     Weights: W_QK, W_V, W_C, w.

    The last Pi makes B_w the radius.
    """
    return logcov(eps, layers_parts(m, T, layers, B_X, B_w, residual), B_w, covers)


def multihead_combine(A, kind):
    """Return C2 of several heads with log N_h <= A_h/eps^2:  (sum A_h^(1/3))^3, or (sum A_h^(1/2))^2 for "concat".

    sum-out adds outputs: errors add. sum-pre adds before one activation: the same, with L_s applied once. concat:
    squares of errors add. H equal heads cost H^3, or H^2.
    """
    choice("kind", kind, ("sum-out", "sum-pre", "concat"))
    A = [nonnegative("A", a) for a in A]
    return math.fsum(map(math.sqrt, A)) ** 2 if kind == "concat" else math.fsum(map(np.cbrt, A)) ** 3
