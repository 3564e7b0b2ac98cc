"""Other bounds and decoders, for comparison."""
import math

import numpy as np

from minitf.checks import bits, checked, count, each, nonnegative, positive, require
from minitf.tasks import count_ones
from minitf.theory.budgets import HeadBudgets, ScalarBudgets
from minitf.theory.error import probability
from minitf.theory.linear import mau, split, vol


@checked
def scalar_scaling(eps: positive, m: count, c: ScalarBudgets):
    """The paper's form  (B_u L_s B_X)^2 (B_V21^(2/3) + (B_q B_V B_X)^(2/3))^3 log(mT)/eps^2.

    Its constants are suppressed: it shows a shape and bounds nothing.
    """
    bracket = float(np.cbrt(c.B_V21 ** 2) + np.cbrt((c.B_q * c.B_V * c.B_X) ** 2))
    return (c.B_u * c.L_s * c.B_X / eps) ** 2 * bracket ** 3 * math.log(m * c.T)


@checked
def length_free_logcov(eps: positive, c: HeadBudgets, *, norm_only: bool = True):
    """Bound log N of tf-head by Maurey for both weights: neither T nor m, but (1,1) norms and the
    logarithm of d.

    MAU(B_QK11, B_X B_Z, e_s, 2 d^2) + MAU(B_V11, B_X, e_v, 2 d d_v), split as in `head_C2`. In a
    one-hot basis d is T + 3, and log T is back. norm_only=False takes the binomial, which for N >>
    V counts parameters and no longer measures norms. After Trauger and Tewari 2024 (a bound of this
    form; the proof used here is that of `mau`).
    """
    require(None not in (c.B_QK11, c.B_V11), "c", "HeadBudgets with B_QK11 and B_V11", c)
    V, M = (2 * c.d * c.d, 2 * c.d * c.d_v), (c.B_QK11 * c.B_X * c.B_Z, c.B_V11 * c.B_X)
    if eps >= c.L_s * c.B_V * c.B_X:
        return 0.0
    e, _ = split([a * a * math.log(v + 1) for a, v in zip(M, V)], (c.L_s * c.B_V * c.B_X, c.L_s),
                 eps)
    return math.fsum(0.0 if a <= x else mau(a, 1.0, x, v, norm_only=norm_only)
                     for a, x, v in zip(M, e, V))


@checked
def param_count_logcov(eps: positive, D: each(count), r: each(nonnegative),
                       b: each(nonnegative)):
    """Return  sum_i D_i log(1 + 2 r_i/e_i),  b_i e_i = eps D_i/sum D: parameter counting for parts
    of D_i parameters.

    r_i is the radius of the values of part i (its norm times that of its input) and b_i what an
    error there costs.
    """
    require(len(D) == len(r) == len(b) and len(D) > 0, "D",
            "as many dimensions as radii r and sensitivities b", D)
    total = sum(D)
    return math.fsum(vol(n, b_i * r_i, eps * n / total) for n, r_i, b_i in zip(D, r, b))


@checked
def screening_correlation(table, p: probability):
    """Return the correlation of the label with each of k bits:  (p (1-p)/(pi (1-pi)))^(1/2)
    (P(y|b_i=1) - P(y|b_i=0)).

    table: 2^k labels, least significant bit first; bits Bernoulli(p), pi = P(y = 1). Every other
    bit has correlation 0. Ranking bits by their sample covariance with the label (first-order
    screening, cost m T) works as far as these differ from 0; for a monotone rule the difference is
    the influence of the bit; for parity at p = 1/2 it is 0.
    """
    table = bits("table", table, ndim=1)
    k = len(table).bit_length() - 1
    require(k >= 1 and len(table) == 1 << k, "table", "a truth table of 2^k labels, k >= 1", table)
    ones = count_ones(k)
    weights = p ** ones * (1 - p) ** (k - ones)
    pi = float(weights @ table)
    require(0 < pi < 1, "table", "a rule that is not constant", table)
    index, y = np.arange(1 << k), weights * table
    means = [(y[index >> i & 1 == 1].sum() / p, y[index >> i & 1 == 0].sum() / (1 - p))
             for i in range(k)]
    return np.array([high - low for high, low in means]) * math.sqrt(p * (1 - p) / (pi * (1 - pi)))
