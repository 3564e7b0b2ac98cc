"""Decoders of group testing: what AND and OR are compared with.

    decode("scomp", X, y, "and")        the positions it names, any number of them

OR of hidden bits is noiseless group testing: a position is an item, an example pools the items
whose bit is 1, label 1 is a positive test. For AND a bit of 0 is in the pool and label 0 is
positive. The decoders are told which of the two rules it is, and neither k nor p.
Sources: Aldridge, Baldassini, Johnson 2014 (COMP, DD, SCOMP); Malioutov and Malyutov 2012 (LP).
"""
import numpy as np

from minitf.checks import choice, examples

DECODERS = "comp", "dd", "scomp", "lp"
POOLED = "and", "or"


def decode(method, X, y, kind):
    """The positions that a decoder names, ascending: a tuple. X (m, T), y (m,).

    comp    all that no negative test pools: a superset of the truth
    dd      of them those that are alone in some positive test: a subset of the truth
    scomp   dd's, then again and again the one in most positive tests that are still unexplained,
            the first of equal ones, until all are explained or nothing explains more
    lp      of comp's, those with z_t >= 1/2 where z >= 0 has the least sum with sum_{t in test} z_t
            >= 1 in every positive test; of several optima the vertex that HiGHS's simplex ends at

    Labels that no set explains (noise) are no error: a positive test without candidates is left
    out.
    """
    choice("method", method, DECODERS)
    X, y = examples(X, y)
    pooled = choice("kind", kind, POOLED) == "or"
    positive = y == pooled
    left = np.flatnonzero((X[~positive] != pooled).all(axis=0))
    tests = X[positive][:, left] == pooled
    if method == "comp":
        named = np.arange(left.size)
    elif method == "lp":
        named = np.flatnonzero(relaxed(tests) >= 0.5 - 1e-9)
    else:
        named = np.flatnonzero(tests[tests.sum(axis=1) == 1].any(axis=0))
        if method == "scomp":
            named = greedy(tests, named.tolist())
    return tuple(left[named].tolist())


def greedy(tests, named):
    """The positions named and those that explain most of the tests left, one after another."""
    for _ in range(tests.shape[1]):
        unexplained = tests[~tests[:, named].any(axis=1)]
        if not unexplained.any():
            break
        named.append(int(unexplained.sum(axis=0).argmax()))
    return sorted(named)


def relaxed(tests):
    """The z of least sum, of the linear program."""
    from scipy.optimize import linprog

    tests = tests[tests.any(axis=1)]
    if not len(tests):
        return np.zeros(tests.shape[1])
    return linprog(np.ones(tests.shape[1]), -tests.astype(float), -np.ones(len(tests)),
                   method="highs-ds").x
