"""What to hold a norm bound against: other bounds on the same class, parameter counting, and the
problem itself.

    rho = rho_overlap([0, 0, 0, 1], p=0.5 ** (1 / 3))       AND of 3 bits, labels balanced
    m_star(64, rho, delta=0.05)                     36 examples determine the 3 of 64 positions

- `zhang`, `*_scaling`, `length_free_logcov`, `param_count_logcov`: the same classes, other bounds.
A scaling is the
  form the paper prints; its constants are suppressed, so it shows a shape and bounds nothing.
- `log_precision`, `vc_scaling`: parameters counted in bits, and as a VC dimension.
- `occam_m`, `fano_m`, `m_star`: what k-sparse rules need, whatever learns them; exact integers, log
supports in nats.
- `screening_correlation`: what a method that looks at one bit at a time has to go by.
Sources: Edelman, Goel, Kakade, Zhang 2022; Zhang 2002; Trauger and Tewari 2024; Fano's inequality,
Cover and Thomas, section 2.10.
"""
import math
from itertools import combinations

import numpy as np

from minitf.checks import (
    bits,
    checked,
    count,
    each,
    integer,
    nonnegative,
    positive,
    real,
    require,
)
from minitf.tasks import count_ones, labels_by_count
from minitf.theory.error import probability, sample_complexity
from minitf.theory.linear import log_binomial


@checked
def log_supports(T: count, k):
    """Return log C(T, k), what it takes to name k of T positions, in nats."""
    return log_binomial(T, integer("k", k, 0, T))


@checked
def occam_m(log_H: nonnegative, eps: positive, delta: probability, *, agnostic: bool = False):
    """m >= (log|H| + log(1/delta))/eps  examples suffice for every consistent hypothesis of H to
    err at most eps.

    With probability >= 1 - delta. Why: one that errs more survives with probability (1 - eps)^m <=
    exp(-eps m). agnostic=True:  m >= (log|H| + log(2/delta))/(2 eps^2), then every empirical error
    is within eps of the true one (Hoeffding).
    """
    return math.ceil((log_H + math.log(2 / delta)) / (2 * eps ** 2)
                     if agnostic else (log_H - math.log(delta)) / eps)


@checked
def fano_m(log_H: nonnegative, delta: probability, pi: probability = 0.5):
    """m >= ((1 - delta) log|H| - log 2)/h(pi)  examples are necessary to name one of |H| equally
    likely rules.

    For any method that is wrong with probability at most delta. h is the entropy of one label, P(y
    = 1) = pi: an example carries no more information. Rules equally balanced, inputs independent of
    them.
    """
    entropy = -pi * math.log(pi) - (1 - pi) * math.log1p(-pi)
    return max(0, math.ceil(((1 - delta) * log_H - math.log(2)) / entropy))


@checked
def rho_overlap(g, p: probability, *, junta: bool = False):
    """Return (rho_0, ..., rho_(k-1)),  rho_j = P(g on S differs from g on S').

    S and S' are k-subsets that share j positions; bits are Bernoulli(p). g: the labels of 0, 1,
    ..., k ones, a symmetric rule; with junta=True a truth table of 2^k labels, least significant
    bit first over the ascending support, k <= 12. Given the shared bits the two labels are
    independent, equal to 1 with probabilities h and h', so rho_j = E h (1 - h') + (1 - h) h', which
    is what all 2^(2k-j) cases add up to. For AND: 2 (p^k - p^(2k-j)). A junta may read shared bits
    as different variables of S and of S': rho_j is then the smallest over all such pairs, and
    `union_U` an upper bound.
    """
    g = bits("g", g, ndim=1)
    if junta:
        k = len(g).bit_length() - 1
        require(1 <= k <= 12 and len(g) == 1 << k, "g",
                "a truth table of 2^k labels, k from 1 to 12", g)
    else:
        k = len(g) - 1
        require(k >= 1, "g", "the k + 1 labels of 0 to k ones, k >= 1", g)
    return tuple(junta_rho(g, j, k, p) if junta else symmetric_rho(g, j, k, p) for j in range(k))


def rho_of(kind, rule, p):
    """`rho_overlap` of the truth table of a rule of KINDS."""
    junta = kind == "junta"
    return rho_overlap(rule if junta else labels_by_count(rule), p, junta=junta)


def binomial(n, p):
    """P(a ones among n bits) for a = 0..n."""
    return np.array([math.comb(n, a) * p ** a * (1 - p) ** (n - a) for a in range(n + 1)])


def differ(h, other, P):
    """P(two labels differ), given the shared bits 1 with probability h and `other`; P the
    probabilities of those."""
    return (h * P) @ (1 - other).T + ((1 - h) * P) @ other.T


def symmetric_rho(g, j, k, p):
    """P(labels differ) of a rule that counts, over the number of ones among the j shared bits."""
    own = binomial(k - j, p)
    h = np.array([g[a:a + k - j + 1] @ own for a in range(j + 1)])
    return float(differ(h, h, binomial(j, p)))


def junta_rho(table, j, k, p):
    """The smallest rho over the variables that S and S' may have in common: j of each, matched in
    ascending order."""
    # axis i of the cube is variable k - 1 - i
    cube, weights = table.reshape((2,) * k), np.array([1 - p, p])
    h = []
    for shared in combinations(range(k), j):
        rest = cube
        for axis in reversed([i for i in range(k) if i not in shared]):
            rest = np.moveaxis(rest, axis, -1) @ weights
        h.append(rest.reshape(-1))
    ones, h = count_ones(j), np.array(h)
    return float(differ(h, h, p ** ones * (1 - p) ** (j - ones)).min())


def share(name, value):
    """Return value as float; it must be a probability, 0 and 1 included."""
    return real(name, value, "a probability", lambda x: 0 <= x <= 1)


@checked
def noise_factor(rho: share, nu):
    """Return  1 - rho (1 - 2 sqrt(nu (1 - nu))),  the factor by which one noisy example thins out a
    wrong rule.

    The rule differs from the truth with probability rho, labels are flipped with probability nu:
    P(it fits m noisy examples at least as well as the truth) <= noise_factor^m (Chernoff). Without
    noise: 1 - rho.
    """
    nu = real("nu", nu, "a flip rate from 0 to below 0.5", lambda x: 0 <= x < 0.5)
    return 1 - rho * (1 - 2 * math.sqrt(nu * (1 - nu)))


@checked
def union_U(m, T: count, rho: each(share), nu=0.0):
    """P(some other k-subset explains m examples as well) <= U(m) = sum_j C(k, j) C(T-k, k-j)
    noise_factor(rho_j, nu)^m.

    rho from `rho_overlap`, k its length. U(m) is the number of competitors at m = 0; math.inf if it
    exceeds the largest float.
    """
    m, k = integer("m", m, 0), len(rho)
    T = integer("T", T, k)
    total = 0.0
    for j, r in enumerate(rho):
        factor = noise_factor(r, nu)
        if T - k >= k - j and (factor > 0 or m == 0):
            log_term = log_binomial(k, j) + log_binomial(T - k, k - j) + (m * math.log(factor)
                                                                          if m else 0.0)
            total += math.exp(log_term) if log_term < 700 else math.inf
    return total


@checked
def m_star(T: count, rho: each(share), delta: probability, nu=0.0):
    """Return the smallest m with U(m) <= delta (`union_U`).

    So many examples determine the support, with probability >= 1 - delta. Exact integers; 0 if
    there is no competitor.
    Errors: a rule of which some competitor never differs (rho_j = 0).
    """
    require(all(noise_factor(r, nu) < 1 for r in rho), "rho",
            "probabilities above 0: each competitor differs somewhere", rho)
    return 0 if union_U(0, T, rho,
                        nu) <= delta else sample_complexity(lambda m: union_U(m, T, rho, nu), delta)
