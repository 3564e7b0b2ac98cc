"""What to hold a norm bound against: other bounds on the same class, parameter counting, and the problem itself.

    rho = rho_overlap([0, 0, 0, 1], p=0.5 ** (1 / 3))       AND of 3 bits, labels balanced
    m_star(64, rho, delta=0.05)                             36 examples determine the 3 of 64 positions

- `zhang`, `*_scaling`, `length_free_logcov`, `param_count_logcov`: the same classes, other bounds. A scaling is the
  form the paper prints; its constants are suppressed, so it shows a shape and bounds nothing.
- `log_precision`, `vc_scaling`: parameters counted in bits, and as a VC dimension.
- `occam_m`, `fano_m`, `m_star`: what k-sparse rules need, whatever learns them; exact integers, log supports in nats.
- `screening_correlation`: what a method that looks at one bit at a time has to go by.
Sources: Edelman, Goel, Kakade, Zhang 2022; Zhang 2002; Trauger and Tewari 2024; Fano's inequality, Cover and
Thomas, section 2.10.
"""
import math
from itertools import combinations

import numpy as np

from minitf.generalisation import confidence, sample_complexity
from minitf.checks import bits, integer, real, require
from minitf.covering import log_binomial, mau, nonnegative, positive, ratio, split, vol
from minitf.tasks import count_ones


def zhang(a, B, eps, n):
    """Zhang 2002, theorem 4:  log2 N <= 36 (aB/eps)^2 log2(2 ceil(4aB/eps + 2) n + 1), here in nats.

    The bound usually cited for the class of `ds`, for comparison: about ten times `ds`. Constants as published.
    """
    r = ratio(eps, a=a, B=B)
    n = integer("n", n, 1)
    return 36 * r * r * math.log(2 * math.ceil(4 * r + 2) * n + 1) if r > 1 else 0.0


def l21_scaling(B, B_X, eps, n, d):
    """The paper's form  (B B_X/eps)^2 log(dn)  of `l21_closed`."""
    return ratio(eps, B=B, B_X=B_X) ** 2 * math.log(integer("d", d, 1) * integer("n", n, 1))


def head_scaling(eps, m, c):
    """The paper's form  (L_s B_X)^2 (B_V21^(2/3) + (B_QK21 B_V B_X)^(2/3))^3 log(mT)/eps^2,  B_QKF B_Z for B_QK21."""
    bracket = float(np.cbrt(c.B_V21 ** 2) + np.cbrt((c.B_QKF * c.B_Z * c.B_V * c.B_X) ** 2))
    return ratio(eps, L_s=c.L_s, B_X=c.B_X) ** 2 * bracket ** 3 * math.log(integer("m", m, 1) * c.T)


def scalar_scaling(eps, m, c):
    """The paper's form of `head_scaling` times B_u^2, with B_q in the place of B_QK21."""
    bracket = float(np.cbrt(c.B_V21 ** 2) + np.cbrt((c.B_q * c.B_V * c.B_X) ** 2))
    return ratio(eps, B_u=c.B_u, L_s=c.L_s, B_X=c.B_X) ** 2 * bracket ** 3 * math.log(integer("m", m, 1) * c.T)


def layers_scaling(eps, m, T, d, L, *, B_X, B_w, C_2, C_21, L_s=1.0, power):
    """The paper's form  (C_2 L_s)^O(L) B_X^2 B_w^2 C_{2,1}^2 log(dmT)/eps^2;  O(L) is power * L, power the caller's."""
    L, size = integer("L", L, 1), integer("d", d, 1) * integer("m", m, 1) * integer("T", T, 1)
    base = nonnegative("C_2", C_2) * nonnegative("L_s", L_s)
    return base ** (positive("power", power) * L) * ratio(eps, B_X=B_X, B_w=B_w, C_21=C_21) ** 2 * math.log(size)


def length_free_logcov(eps, c, *, norm_only=True):
    """Bound log N of tf-head by Maurey for both weights: neither T nor m, but (1,1) norms and the logarithm of d.

    MAU(B_QK11, B_X B_Z, e_s, 2 d^2) + MAU(B_V11, B_X, e_v, 2 d d_v), split as in `head_C2`. In a one-hot basis d is
    T + 3, and log T is back. norm_only=False takes the binomial, which for N >> V counts parameters and no longer
    measures norms. After Trauger and Tewari 2024 (a bound of this form; the proof used here is that of `mau`).
    """
    require(None not in (c.B_QK11, c.B_V11), "c", "HeadBudgets with B_QK11 and B_V11", c)
    V, M = (2 * c.d * c.d, 2 * c.d * c.d_v), (c.B_QK11 * c.B_X * c.B_Z, c.B_V11 * c.B_X)
    if positive("eps", eps) >= c.L_s * c.B_V * c.B_X:
        return 0.0
    e, _ = split([a * a * math.log(v + 1) for a, v in zip(M, V)], (c.L_s * c.B_V * c.B_X, c.L_s), eps)
    return math.fsum(0.0 if a <= x else mau(a, 1.0, x, v, norm_only=norm_only) for a, x, v in zip(M, e, V))


def param_count_logcov(eps, D, r, b):
    """Return  sum_i D_i log(1 + 2 r_i/e_i),  b_i e_i = eps D_i/sum D: parameter counting for parts of D_i parameters.

    r_i is the radius of the values of part i (its norm times that of its input) and b_i what an error there costs.
    """
    require(len(D) == len(r) == len(b) and len(D) > 0, "D", "as many dimensions as radii r and sensitivities b", D)
    total = sum(integer("D", n, 1) for n in D)
    eps = positive("eps", eps)
    parts = zip(D, (nonnegative("r", x) for x in r), (nonnegative("b", x) for x in b))
    return math.fsum(vol(n, b_i * r_i, eps * n / total) for n, r_i, b_i in parts)


def log_precision(D, digits):
    """Return  log|H| = digits D log 2  of D parameters of that many bits each: what `occam_m` takes."""
    return integer("D", D, 1) * integer("digits", digits, 1) * math.log(2)


def vc_scaling(L, D, T):
    """The form  L D log(T D)  of the VC dimension of Transformers of depth L with D parameters on T tokens.

    Constants suppressed: a shape, in which even parameter counting grows with log T. Almost matched from below. Source:
    Yang, Srebro and Li 2026, as stated in its abstract.
    """
    L, D, T = integer("L", L, 1), integer("D", D, 1), integer("T", T, 1)
    return L * D * math.log(T * D)


def log_supports(T, k):
    """Return log C(T, k), what it takes to name k of T positions, in nats."""
    return log_binomial(integer("T", T, 1), integer("k", k, 0, T))


def junta_rules(k):
    """Return how many Boolean functions depend on each of k variables:  sum_j (-1)^(k-j) C(k, j) 2^(2^j).

    2, 10, 218, 64594, ... for k = 1, 2, 3, 4, ..., up to 20. C(T, k) times that many hypotheses if the rule is unknown.
    """
    integer("k", k, 1, 20)
    return sum((-1) ** (k - j) * math.comb(k, j) << (1 << j) for j in range(k + 1))


def occam_m(log_H, eps, delta, *, agnostic=False):
    """m >= (log|H| + log(1/delta))/eps  examples suffice for every consistent hypothesis of H to err at most eps.

    With probability >= 1 - delta. Why: one that errs more survives with probability (1 - eps)^m <= exp(-eps m).
    agnostic=True:  m >= (log|H| + log(2/delta))/(2 eps^2), then every empirical error is within eps of the true one
    (Hoeffding).
    """
    log_H, eps, delta = nonnegative("log_H", log_H), positive("eps", eps), confidence(delta)
    return math.ceil((log_H + math.log(2 / delta)) / (2 * eps ** 2) if agnostic else (log_H - math.log(delta)) / eps)


def fano_m(log_H, delta, pi=0.5):
    """m >= ((1 - delta) log|H| - log 2)/h(pi)  examples are necessary to name one of |H| equally likely rules.

    For any method that is wrong with probability at most delta. h is the entropy of one label, P(y = 1) = pi: an
    example carries no more information. Rules equally balanced, inputs independent of them.
    """
    pi = real("pi", pi, "a probability above 0 and below 1", lambda x: 0 < x < 1)
    entropy = -pi * math.log(pi) - (1 - pi) * math.log1p(-pi)
    return max(0, math.ceil(((1 - confidence(delta)) * nonnegative("log_H", log_H) - math.log(2)) / entropy))


def rho_overlap(g, p, *, junta=False):
    """Return (rho_0, ..., rho_(k-1)),  rho_j = P(g on S differs from g on S').

    S and S' are k-subsets that share j positions; bits are Bernoulli(p). g: the labels of 0, 1, ..., k ones, a
    symmetric rule; with junta=True a truth table of 2^k labels, least significant bit first over the ascending support,
    k <= 12. Given the shared bits the two labels are independent, equal to 1 with probabilities h and h', so
    rho_j = E h (1 - h') + (1 - h) h', which is what all 2^(2k-j) cases add up to. For AND: 2 (p^k - p^(2k-j)).
    A junta may read shared bits as different variables of S and of S': rho_j is then the smallest over all such pairs,
    and `union_U` an upper bound.
    """
    g = bits("g", g, ndim=1)
    p = real("p", p, "a probability above 0 and below 1", lambda p: 0 < p < 1)
    if junta:
        k = len(g).bit_length() - 1
        require(1 <= k <= 12 and len(g) == 1 << k, "g", "a truth table of 2^k labels, k from 1 to 12", g)
    else:
        k = len(g) - 1
        require(k >= 1, "g", "the k + 1 labels of 0 to k ones, k >= 1", g)
    return tuple(junta_rho(g, j, k, p) if junta else symmetric_rho(g, j, k, p) for j in range(k))


def binomial(n, p):
    """P(a ones among n bits) for a = 0..n."""
    return np.array([math.comb(n, a) * p ** a * (1 - p) ** (n - a) for a in range(n + 1)])


def differ(h, other, P):
    """P(two labels differ), given the shared bits 1 with probability h and `other`; P the probabilities of those."""
    return (h * P) @ (1 - other).T + ((1 - h) * P) @ other.T


def symmetric_rho(g, j, k, p):
    """P(labels differ) of a rule that counts, over the number of ones among the j shared bits."""
    own = binomial(k - j, p)
    h = np.array([g[a:a + k - j + 1] @ own for a in range(j + 1)])
    return float(differ(h, h, binomial(j, p)))


def junta_rho(table, j, k, p):
    """The smallest rho over the variables that S and S' may have in common: j of each, matched in ascending order."""
    cube, weights = table.reshape((2,) * k), np.array([1 - p, p])   # axis i of the cube is variable k - 1 - i
    h = []
    for shared in combinations(range(k), j):
        rest = cube
        for axis in reversed([i for i in range(k) if i not in shared]):
            rest = np.moveaxis(rest, axis, -1) @ weights
        h.append(rest.reshape(-1))
    ones, h = count_ones(j), np.array(h)
    return float(differ(h, h, p ** ones * (1 - p) ** (j - ones)).min())


def screening_correlation(table, p):
    """Return the correlation of the label with each of k bits:  (p (1-p)/(pi (1-pi)))^(1/2) (P(y|b_i=1) - P(y|b_i=0)).

    table: 2^k labels, least significant bit first; bits Bernoulli(p), pi = P(y = 1). Every other bit has correlation 0.
    Ranking bits by their sample covariance with the label (first-order screening, cost m T) works as far as these
    differ from 0; for a monotone rule the difference is the influence of the bit; for parity at p = 1/2 it is 0.
    """
    table = bits("table", table, ndim=1)
    p = real("p", p, "a probability above 0 and below 1", lambda p: 0 < p < 1)
    k = len(table).bit_length() - 1
    require(k >= 1 and len(table) == 1 << k, "table", "a truth table of 2^k labels, k >= 1", table)
    ones = count_ones(k)
    weights = p ** ones * (1 - p) ** (k - ones)
    pi = float(weights @ table)
    require(0 < pi < 1, "table", "a rule that is not constant", table)
    index, y = np.arange(1 << k), weights * table
    means = [(y[index >> i & 1 == 1].sum() / p, y[index >> i & 1 == 0].sum() / (1 - p)) for i in range(k)]
    return np.array([high - low for high, low in means]) * math.sqrt(p * (1 - p) / (pi * (1 - pi)))


def noise_factor(rho, nu):
    """Return  1 - rho (1 - 2 sqrt(nu (1 - nu))),  the factor by which one noisy example thins out a wrong rule.

    The rule differs from the truth with probability rho, labels are flipped with probability nu: P(it fits m noisy
    examples at least as well as the truth) <= noise_factor^m (Chernoff). Without noise: 1 - rho.
    """
    rho = real("rho", rho, "a probability", lambda x: 0 <= x <= 1)
    nu = real("nu", nu, "a flip rate from 0 to below 0.5", lambda x: 0 <= x < 0.5)
    return 1 - rho * (1 - 2 * math.sqrt(nu * (1 - nu)))


def union_U(m, T, rho, nu=0.0):
    """P(some other k-subset explains m examples as well) <= U(m) = sum_j C(k, j) C(T-k, k-j) noise_factor(rho_j, nu)^m.

    rho from `rho_overlap`, k its length. U(m) is the number of competitors at m = 0; math.inf if it exceeds the
    largest float.
    """
    m, k = integer("m", m, 0), len(rho)
    integer("T", T, k)
    total = 0.0
    for j, r in enumerate(rho):
        factor = noise_factor(r, nu)
        if T - k >= k - j and (factor > 0 or m == 0):
            log_term = log_binomial(k, j) + log_binomial(T - k, k - j) + (m * math.log(factor) if m else 0.0)
            total += math.exp(log_term) if log_term < 700 else math.inf
    return total


def m_star(T, rho, delta, nu=0.0):
    """Return the smallest m with U(m) <= delta (`union_U`).

    So many examples determine the support, with probability >= 1 - delta. Exact integers; 0 if there is no competitor.
    Errors: a rule of which some competitor never differs (rho_j = 0).
    """
    confidence(delta)
    require(all(r > 0 for r in rho), "rho", "probabilities above 0: each competitor differs somewhere", rho)
    return 0 if union_U(0, T, rho, nu) <= delta else sample_complexity(lambda m: union_U(m, T, rho, nu), delta)
