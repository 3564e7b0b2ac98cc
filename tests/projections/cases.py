"""Arrays to project and what every projection must satisfy, for all tests of this room."""
import mpmath
import numpy as np

from minitf.projections.balls import Ball


def draw(name):
    rng = np.random.default_rng(11)
    normal = rng.standard_normal
    return {
        "square": lambda: normal((6, 6)),
        "tall": lambda: normal((9, 3)),
        "wide": lambda: normal((3, 9)),
        "vector": lambda: normal(40),
        "long": lambda: normal((50, 60)) ** 3,                  # beyond what the first guess sorts in full
        "one entry": lambda: np.array([[-2.0]]),
        "number": lambda: np.array(-2.0),
        "ties": lambda: np.round(normal((6, 8))),
        "equal": lambda: np.full((7, 5), -0.1),
        "rank one": lambda: np.outer(normal(5), normal(4)),
        "sparse": lambda: np.where(rng.random((8, 8)) < 0.1, normal((8, 8)), 0.0),
        "log-uniform": lambda: np.exp(rng.uniform(-36, 0, (6, 50))),
        "just below the top": lambda: 1 - np.exp(rng.uniform(-36, 0, (6, 50))),
        "stack": lambda: normal((2, 3, 4, 5)) * np.arange(3)[:, None, None],
        "huge": lambda: 1e150 * normal((4, 5)),
        "tiny": lambda: 1e-150 * normal((4, 5)),
    }[name]()


CASES = ["square", "tall", "wide", "vector", "long", "one entry", "number", "ties", "equal", "rank one", "sparse",
         "log-uniform", "just below the top", "stack", "huge", "tiny"]


def certify(set, x, p, dual=None):
    """Assert that p is the projection: a point of the set, with no gap beyond 1e-12 of the scale of the problem."""
    dual = Ball(set.kind, 1, set.axes).support(x) if dual is None else dual
    assert p.shape == x.shape and p.dtype == x.dtype
    assert set.contains(p).all()
    assert (np.abs(set.gap(x, p)) <= 1e-12 * set.radius * dual).all()


def soft(x, t):
    return np.sign(x) * np.maximum(np.abs(x) - t, 0)


def bisect(mass, r, hi):
    """The theta with mass(theta) = r, mass decreasing, in 50 digits."""
    lo, hi = mpmath.mpf(0), mpmath.mpf(hi)
    for _ in range(180):
        mid = (lo + hi) / 2
        lo, hi = (mid, hi) if mass(mid) > r else (lo, mid)
    return lo
