"""From covering numbers to generalisation error and sample sizes. Numbers in, number out.

    sample_complexity(lambda m: margin_bound(logcov, m, delta=0.05), eps=0.1)
                    the smallest m that certifies an error of 0.1

Setting: m independent examples, a loss in [0, b] that is Lip-Lipschitz in f(x). `logcov(eps, m)` is
any bound in nats on the log covering number that holds for every set of m inputs (`classes`). For
bits: f clipped to [0, 1], loss min(1, 2|f - y|), so Lip = 2, b = 1, the loss is at least the error
of rounding f, and about the constant 1/2 the class has radius D = 1/2.

The norm bounds of a single head exceed 1 until m is 10^8 or more. What they say is how m grows with
T; how many examples the problem itself takes is in `yardsticks`.
Sources: Bartlett and Mendelson 2002 (Rademacher complexity); Dudley 1967 (chaining).
"""
import math

from minitf.checks import checked, count, each, nonnegative, positive, real, require


def confidence(delta, high=1.0):
    """Return delta as float; it must be a probability above 0, below 1 or at most high."""
    return real("delta", delta,
                f"a probability above 0 and {'below 1' if high == 1 else f'at most {high}'}",
                lambda x: 1e-300 < x < 1 and x <= high)


def numeric(name, value):
    """Return value, a function, such that what it returns is held to be a number."""
    require(callable(value), name, "a function", value, TypeError)
    return lambda *args: real(name, value(*args), "a function to numbers", lambda x: x == x)


def probability(name, value):
    """Return value as float; it must be above 0 and below 1."""
    return real(name, value, "a probability above 0 and below 1", lambda x: 0 < x < 1)


@checked
def rad_dudley_closed(C2: nonnegative, c0: nonnegative, m: count, D: positive):
    """Rad <= min{D, 4a + 12 C/sqrt(m) log(D/a) + 12 D sqrt(c0/m)},  a = min(D, 3C/sqrt(m)).

    For log N(eps) <= C^2/eps^2 + c0, C^2 = C2: Dudley's integral 4a + 12/sqrt(m) int_a^D sqrt(log
    N(e)) de, in which sqrt(x + y) <= sqrt(x) + sqrt(y). D bounds the root mean square of every f on
    the sample, after subtracting one fixed function. C2 and c0 belong to m inputs.
    """
    C, root = math.sqrt(C2), math.sqrt(m)
    a = min(D, 3 * C / root)
    return min(D, 4 * a + (12 * C / root * math.log(D / a)
                           if a else 0.0) + 12 * D * math.sqrt(c0) / root)


@checked
def rad_chain(logcov: numeric, m: count, D: positive):
    """Rad <= min over b_j = D r^j, j <= N  of  b_N + sum_j (b_j + b_(j-1)) sqrt(2 log N(b_j)/m).

    Why: link every element of the cover at b_j to the nearest one at b_(j-1), at most b_j + b_(j-1)
    away; Massart's lemma bounds the maximum over |V_j| such links. Every decreasing b_j is valid: r
    in 0.2, 0.28, 0.4, 0.5 and N <= 60 are tried, N = 0 gives D. For log N = (C/eps)^2 a factor e of
    scale costs about 5.1 C/sqrt(m), and 12 in Dudley's integral. D as in `rad_dudley_closed`. Cost:
    a few dozen calls of logcov(eps, m).
    """
    best = D
    for r in (0.2, 0.28, 0.4, 0.5):
        spent, scale = 0.0, float(D)
        for _ in range(60):
            spent += (1 + r) * scale * math.sqrt(2 * logcov(r * scale, m) / m)
            scale *= r
            best = min(best, spent + scale)
            if spent >= best:
                break
    return best


@checked
def gap_bound(Rad: nonnegative, m: count, delta: probability, Lip: nonnegative = 2.0,
              b: nonnegative = 1.0):
    """R(f) - R^(f) <= 2 Lip Rad + 3b sqrt(log(2/delta)/(2m))  for all f at once, with probability
    >= 1 - delta.

    Rad is the empirical Rademacher complexity of the class (no absolute value). Symmetrisation,
    contraction by Lip, and McDiarmid's inequality twice, at delta/2 each: b/m per example for the
    gap, the same for Rad, doubled.
    """
    return 2 * Lip * Rad + 3 * b * math.sqrt(math.log(2 / delta) / (2 * m))


def margin(name, value):
    """Return value as float; it must be above 0 and at most 0.5."""
    return real(name, value, "a margin above 0 and at most 0.5", lambda x: 0 < x <= 0.5)


@checked
def margin_bound(logcov: numeric, m: count, delta, gam: margin = 0.5):
    """P(error of f) <= (2/m)(log2 N(gam/2, 2m) + log2(2/delta))  for all f of margin at least gam
    on all m examples.

    The margin is (2y-1)(f(x) - 1/2). With probability >= 1 - delta, delta <= 1/8. One scale and
    rate 1/m, for samples that are fitted without error; f = y has gam = 1/2. Why: replace f by a
    cover of the sample and an independent copy; m e/2 errors on the copy and none here survive
    random swaps of the pairs with probability 2^(-m e/2). The radius must stay below gam/2, where a
    tie would count as right: it is 1e-9 of itself below, which matters only if logcov jumps there.
    """
    return 2 / m * (logcov(gam / 2 * (1 - 1e-9),
                           2 * m) + math.log(2 / confidence(delta, 0.125))) / math.log(2)


@checked
def uniform_margin_bound(logcov: numeric, m: count, delta, gam: margin = 0.5):
    """P(error of f) <= 1 - (delta/N(gam/2))^(1/m) <= (log N(gam/2) + log(1/delta))/m  for all f of
    margin at least gam on all m examples.

    logcov(eps) bounds a cover that is within eps on the WHOLE domain, so that it needs no ghost
    sample: 2 / log 2 = 2.89 times fewer examples than `margin_bound`. Why: an f within gam/2 of f^
    errs only where f^ has margin below gam/2; of N events, one of probability above e is seen by
    none of m examples with probability (1 - e)^m; union bound.
    """
    return -math.expm1(-(logcov(gam / 2 * (1 - 1e-9)) - math.log(confidence(delta))) / m)


@checked
def sample_complexity(bound: numeric, eps: positive, *, rtol: nonnegative = 0.0,
                      limit: count = 10 ** 30):
    """Return the m at which bound(m) falls to eps: bound(m) <= eps < bound(m - 1), or m = 1 if
    bound(1) <= eps.

    The bounds here may rise before they fall, log m being in them, but only far above 1; from there
    on they decrease, so the crossing is the smallest m. A bracket (low, m] is narrowed by guesses,
    and by its middle, in logarithms, after a dozen of them; rtol > 0 stops once it is that narrow,
    relative to low. Errors: a bound still above eps at m = limit.
    """
    low, last = 1, (1, bound(1))
    if last[1] <= eps:
        return low
    high, new = limit, (limit, bound(limit))
    require(new[1] <= eps, "eps",
            f"an error that the bound reaches within {limit:.0e} examples", eps)
    turn = 0
    while high - low > max(1, rtol * low):
        turn += 1
        m = turn < 12 and guess(low, high, *last, *new, eps, rtol / 3) or math.isqrt(low * high) + 1
        last, new = new, (m, bound(m))
        low, high = (low, m) if new[1] <= eps else (m, high)
    return high


def guess(low, high, n, other, m, value, eps, aside):
    """A whole number inside a bracket, to be tried next for a function that falls to eps.

    Where a power law through the points (n, other), (m, value) is eps, moved on by the share aside,
    or by 1, so that a right guess closes the bracket from its other side; None where that does not
    lie inside.
    """
    if 0 < min(value, other):
        fall = math.log(value) - math.log(other)
        way = fall and math.log(n / m) * (math.log(value) - math.log(eps)) / fall
        if abs(way) < math.log(high / low):
            m *= math.exp(way)
            m = int(m + math.copysign(max(1.0, aside * m), value - eps))
            if low < m < high:
                return m


@checked
def dyadic_budgets(norms: each(nonnegative), delta: probability, steps: count = 8):
    """Round norms that were measured on the sample up to budgets 2^(k/steps), k integer; return
    budgets, confidence.

    A bound for budgets fixed beforehand that is used with the confidence  delta prod_i 1/(2.5
    (|k_i| + 1)^2)  returned here holds, with probability >= 1 - delta, for all points of the grid
    at once, so also for those that were measured: the sum of 1/(2.5 (|k| + 1)^2) over the integers
    is 0.916. A budget exceeds its norm by a factor below 2^(1/steps); norms below 2^-20 take that.
    Explicit constants; only log(1/delta) pays.
    """
    budgets = []
    for norm in norms:
        k = math.ceil(steps * math.log2(max(norm, 2.0 ** -20)) - 1e-9)
        k += 2.0 ** (k / steps) < norm
        delta /= 2.5 * (abs(k) + 1) ** 2
        budgets.append(2.0 ** (k / steps))
    return budgets, delta
