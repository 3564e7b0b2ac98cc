"""Covering numbers of norm-bounded linear maps: numbers in, nats out.

    sid(a=2, B=1.5, eps=0.1, n=1000)        1409.8 nats, against 27364 by ds(2, 1.5, 0.1, 1000)

log N(F, eps, n) is the logarithm of the fewest tables of n values such that every f in F agrees
with one of them to within eps, in Euclidean norm, at all of n given points. The tables need not
come from F. Each function below returns an upper bound that holds for EVERY set of n points of norm
at most B, with every constant written out; it is 0 as soon as eps reaches the radius of the class,
where one table of zeros is enough. Logarithms are natural.

    ds, sid     x -> <v, x>     ||v||_2 <= a            log n; sid is the sharper one
    vol         x -> <v, x>     ||v||_2 <= a            the number of parameters instead of n
    mau         x -> W x        ||W||_{1,1} <= M        log of the number of parameters, no n
    mau_max     x -> <v, x>     ||v||_1 <= M            log n and log d, for entries |x_j| <= B
    l21_*       x -> W x        ||W^T||_{2,1} <= B      log n; l21 is the smallest of them

The l21_* are in `matrices`, where `Linear` describes a class by its norms and `linear_logcov` takes
the smallest bound that applies to it.
Sources: Edelman, Goel, Kakade, Zhang 2022 (the role of each class); Maurey, in Pisier 1981; Ledoux
and Talagrand 1991, section 3.3 (dual Sudakov); Sidak 1967.
"""
import math

import numpy as np

from minitf.checks import checked, count, each, nonnegative, positive, require


def log_binomial(n, k):
    """Return log C(n, k) to rounding, for integers of any size: a product for k < 32, Stirling's
    series beyond.

    Differences of log-gamma cancel for large n. The series is cut where its error is below 1/(1680
    * 32^7) = 2e-14.
    """
    k = min(k, n - k)
    if k < 32:
        return math.fsum(math.log((n - i) / (i + 1)) for i in range(k))

    def tail(x):
        y = 1 / x
        return (1 - (1 / 30 - y * y / 105) * y * y) * y / 12

    entropy = k * math.log(n / k) + (n - k) * math.log1p(k / (n - k))
    return entropy - math.log(2 * math.pi * k * ((n - k) / n)) / 2 + tail(n) - tail(k) - tail(n - k)


@checked
def ds(a: nonnegative, B: nonnegative, eps: positive, n: count):
    """Dual Sudakov:  log N <= log 2 + 4 (aB/eps)^2 log(2n)  for x -> <v, x>, ||v||_2 <= a, ||x||_2
    <= B.

    Why: let K be the set of v that move no value by more than 1. N points of the ball, eps apart in
    that sense, carry disjoint copies of (eps/2) K. Scaled so that K has Gaussian measure 1/2, each
    keeps at least exp(-2 (aM/eps)^2) / 2 of the total 1, M^2 = 2 B^2 log(2n) being enough by the
    union bound over n Gaussians.
    """
    r = a * B / eps
    return math.log(2) + 4 * r * r * math.log(2 * n) if r > 1 else 0.0


@checked
def sid(a: nonnegative, B: nonnegative, eps: positive, n: count):
    """Dual Sudakov, after Sidak:  log N <= min_r  2 (aBr/eps)^2 - n log(2 Phi(r) - 1),  r > 0.

    The class of `ds`.

    Sidak: n centred Gaussians of variance <= 1 all stay in [-r, r] with probability at least (2
    Phi(r) - 1)^n. The union bound in `ds` is weaker, so sid <= ds. Every r > 0 is valid; the best
    one is where the derivative changes sign, bisected in log r over [1e-9, 40].
    """
    r0 = a * B / eps
    if r0 <= 1:
        return 0.0
    low, high = math.log(1e-9), math.log(40)
    for _ in range(26):         # r to 4e-7, so the minimum to its square
        r = math.exp((low + high) / 2)
        density = math.sqrt(2 / math.pi) * math.exp(-r * r / 2) / math.erf(r / math.sqrt(2))
        low, high = (low, math.log(r)) if 4 * r0 * r0 * r > n * density else (math.log(r), high)
    x = r / math.sqrt(2)
    return 2 * (r0 * r) ** 2 - n * (math.log(math.erf(x)) if x < 0.5 else math.log1p(-math.erfc(x)))


@checked
def vol(D: count, r: nonnegative, eps: positive):
    """Volume:  log N <= D log(1 + 2r/eps)  for a Euclidean ball of radius r in D dimensions:
    parameter counting.

    For x -> <v, x> take r = aB. Free of n. Source: disjoint balls of radius eps/2 in a ball of
    radius r + eps/2.
    """
    width = r / eps
    return D * math.log1p(2 * width) if width > 1 else 0.0


@checked
def mau(M: nonnegative, B: nonnegative, eps: positive, V: count, *, norm_only: bool = False):
    """Maurey:  log N <= log C(N + V, N),  N = ceil((MB/eps)^2)  for x -> W x, ||W||_{1,1} <= M, all
    ||x||_2 <= B.

    V is twice the number of entries of W. norm_only=True returns the larger N log(V + 1), which
    depends on the size of W through a logarithm alone; the binomial turns into parameter counting,
    V log(eN/V), once N exceeds V. Why: W is M times a mean of signed unit matrices; N random ones
    and zeros have mean square distance at most M^2/N to it, so some multiset of N out of V + 1
    atoms is as close. No points enter: the cover serves all x at once.
    """
    r = M * B / eps
    if r <= 1:
        return 0.0
    N = math.ceil(r * r)
    return N * math.log(V + 1) if norm_only else log_binomial(N + V, N)


@checked
def mau_max(M: nonnegative, B: nonnegative, eps: positive, n: count, V: count):
    """Maurey at n points:  log N <= log C(N + V, N),  N = 1 + floor(2 (MB/eps)^2 log(2n))  for x ->
    <v, x>.

    ||v||_1 <= M, |x_j| <= B. V is twice the number of entries of v; the number itself for v >= 0.
    Why: v is M times a mean of signed unit vectors and zero; the mean of N random ones is off by
    eps at a point with probability at most 2 exp(-N (eps/MB)^2 / 2) (Hoeffding), so some multiset
    of N atoms is right at all n. Attention with bounded values is of this kind if its weights are
    the same for every x: no norm of the scores enters.
    """
    r = M * B / eps
    N = math.floor(2 * r * r * math.log(2 * n)) + 1
    return log_binomial(N + V, N) if r > 1 else 0.0


@checked
def split(A: each(nonnegative), b: each(nonnegative), eps: positive):
    """Minimise  sum_i A_i/e_i^2  subject to  sum_i b_i e_i = eps.      Returns (e, minimum).

    gamma = sum_i A_i^(1/3) b_i^(2/3),  e_i = (eps/gamma) (A_i/b_i)^(1/3),  minimum gamma^3/eps^2:
    the stationary point of a convex problem. A part that cannot be seen (b_i = 0) may err by any
    amount, one that costs nothing (A_i = 0) errs by 0.
    """
    require(len(A) == len(b) and len(A) > 0, "b",
            f"{len(A)} numbers, as many as A and at least one", b)
    gamma = math.fsum(float(np.cbrt(a * x * x)) for a, x in zip(A, b))
    scale = eps / gamma if gamma else 0.0
    e = tuple(math.inf if x == 0 else scale and scale * float(np.cbrt(a / x)) for a, x in zip(A, b))
    return e, gamma ** 3 / eps ** 2
