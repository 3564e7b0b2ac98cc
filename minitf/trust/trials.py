"""One argument judged: its gradient against slopes along random lines and along its own entries.

    answer(question) -> forward, pullback, error, tol, method, directions, entries
"""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minitf.trust.differences import COARSE, Slope, along, complex_step, directions, read, scale_of

ENTRIES = 64                    # an argument of at most so many has every entry checked
PAIRS = {True: 2.0 ** -np.array([9, 17]), False: 2.0 ** -np.array([5, 8])}      # of steps an entry
SEEN = 1e-3, 3e-2               # what may pass unseen in a direction that counts; if f is float32


class Question(NamedTuple):
    """f at x is y up to noise; pull(dy) is dx, of this precision; steps and share are for f."""
    name: str
    f: Callable
    x: np.ndarray
    y: np.ndarray
    noise: np.ndarray
    precision: float
    steps: np.ndarray
    share: float
    method: str
    tol: float | None
    pull: Callable
    rounded: Callable
    rng: np.random.Generator


class Trial(NamedTuple):
    """<dy, J v>, <dx, v>, how far apart they may be, the size of the terms, the entry that v is."""
    forward: float
    pullback: float
    allowed: float
    size: float
    entry: tuple | None
    share: float

    @property
    def off(self):
        return abs(self.pullback - self.forward)

    @property
    def wrong(self):
        return not self.off <= self.allowed

    @property
    def seen(self):
        return self.allowed <= self.share * self.size


def answer(q):
    """Judge an argument; what is found against it must be found twice, in other directions."""
    for _ in range(2):
        fault, found = attempt(q)
        if fault is None:
            return found
    raise AssertionError(f"{q.name}: {fault}")


def attempt(q):
    """Return what is wrong, or None, and the fields of a Derivative."""
    lines, method, sure = slopes(q)
    small = q.x.size <= ENTRIES
    columns = columns_of(q, list(np.ndindex(q.x.shape)) if small else (), method)
    if small and method == "complex":
        lines = additive(lines, columns)
    usable = np.any([s.usable for _, s in lines], axis=0)
    cotangents = draw(q, lines, usable)
    tol = q.tol or tolerance(q, method)
    rows = [compare(q, dy * s.usable, v, s, tol) for dy in cotangents for v, s in lines]
    single = entries(q, cotangents, columns, tol)
    fault = fault_of(rows + single, method, sure, usable)
    best = max(rows, key=lambda t: abs(t.forward) / (t.size or 1))
    if fault == "wrong":
        if not small:
            columns = columns_of(q, some_entries(q, cotangents[0]), method)
            single = entries(q, cotangents, columns, tol)
        wrong = [t for t in rows if t.wrong] or [t for t in single if t.wrong]
        best = max(wrong, key=lambda t: t.off / (abs(t.forward) or 1))
        fault = told(best, single, method, scale_of(q.x))
    counted = sum(any(t.seen for t in rows[i::len(lines)]) for i in range(len(lines)))
    error = best.off / abs(best.forward) if best.forward else best.off
    judged = len({t.entry for t in single if t.seen})
    return fault, (best.forward, best.pullback, error, tol, method, counted, judged)


def fault_of(trials, method, sure, usable):
    """Name what speaks against the gradient, or None."""
    if not usable.any():
        return "at a kink or edge of the domain: no direction in which the forward has a slope"
    if not any(t.size for t in trials):
        return f"vacuous check, y does not change in any direction ({method})"
    if any(t.wrong for t in trials):
        return "wrong" if sure else (
            "at a kink or edge of the domain: differences find no slope, the complex step another")
    if not any(t.seen for t in trials):
        t = max(trials, key=lambda t: t.size / (t.allowed or 1))
        return f"vacuous check, J v = {t.size:.3g} does not show beside an error of {t.allowed:.3g}"
    return None


def told(t, along_entries, method, scales):
    """A mismatch in words: the sums, then the entries that are most wrong."""
    error = t.off / abs(t.forward) if t.forward else np.inf
    limit = t.allowed / abs(t.forward) if t.forward else 0
    lines = [f"wrong: <dy, J v> = {t.forward:.17g} ({method}), <dx, v> = {t.pullback:.17g}, "
             f"relative error {error:.3g} > {limit:.1g}"]
    if not np.isfinite(t.pullback):
        lines[0] = f"NaN or inf gradient; {lines[0]}"
    worst = {e.entry: e for e in sorted(along_entries, key=lambda e: e.off) if e.wrong}
    for e in list(worst.values())[::-1][:5]:
        given, expected, within = np.array(e[1::-1] + (e.allowed,)) / scales[e.entry]
        lines.append(f"  entry {e.entry}: given {given:.9g}, expected {expected:.9g}, "
                     f"each to within {within:.1g}")
    return "\n".join(lines)


def tolerance(q, method):
    """1e-11 by the complex step, 1e-7 by differences, 5e-5 for float32, more for float16."""
    if q.precision > 1e-10:
        return 5e-5 * float(q.precision) / 2.0**-23
    return 1e-11 if method == "complex" else 1e-7


def slopes(q):
    """Return (v, Slope) for three directions, the method, and whether differences confirm it."""
    vs = directions(q.x, q.rng)
    jets = [complex_step(q.f, q.x, v) for v in vs] if q.method != "difference" else [None]
    refused = any(jet is None for jet in jets)
    forced = refused and q.method == "complex"
    demand(not forced, f"{q.name}: the forward refuses complex arguments")
    if refused:
        return [(v, difference(q, v)) for v in vs], "difference", True
    usable, noise, known = np.zeros(q.y.size, bool), q.noise, []
    for v, jet in zip(vs if q.method == "auto" else (), jets):
        known.append(difference(q, v))
        usable, noise = usable | known[-1].usable, np.maximum(noise, known[-1].noise)
        if not agrees(jet, known[-1], q.y):
            known += [difference(q, v) for v in vs[len(known):]]
            return list(zip(vs, known)), "difference", True
        if usable.all():
            break
    sure = bool(usable.any()) or q.method == "complex"
    usable = np.isfinite(jets).all(axis=0) & (usable if usable.any() else True)
    lines = [(v, Slope(np.where(usable, jet, 0), 0 * noise, usable, noise))
             for v, jet in zip(vs, jets)]
    return lines, "complex", sure


def difference(q, v):
    """The slope of f along v by differences."""
    return along(q.f, q.x, q.y, v, q.noise, q.steps, q.share)


def agrees(jet, slope, y):
    """Whether the complex step is what the differences that can be relied on say."""
    size = np.maximum(np.abs(slope.Jv), 1e-3 * np.abs(y))
    return bool(np.all((np.abs(jet - slope.Jv) <= 4 * slope.bar + 1e-7 * size)[slope.usable]))


def draw(q, lines, usable):
    """Two random cotangents on the usable outputs: as they are, and divided by the sizes of J v."""
    sizes = np.sqrt(np.mean([(s.Jv / largest(s.Jv)) ** 2 for _, s in lines], axis=0))
    even = np.where(sizes > 0, 1 / np.maximum(sizes, 1e-15), 1)
    return [q.rounded(q.rng.standard_normal(q.y.size) * usable * weight) for weight in (1, even)]


def compare(q, dy, v, slope, tol, entry=None, dx=None):
    """One trial: <dx, v> against <dy, J v>."""
    dx = np.asarray(q.pull(dy) if dx is None else dx, np.float64)
    terms, parts = dy * slope.Jv, np.where(v != 0, dx * v, 0)
    size = norm(terms)
    rounding = 64 * norm(dy * (slope.noise + q.precision * np.abs(q.y)) * (slope.Jv != 0))
    bars = min(np.abs(dy) @ slope.bar, 4 * norm(dy * slope.bar))       # dy was drawn without them
    if not size:
        rounding += 64 * q.precision * largest(dx) * largest(v)
    scale = max(size, norm(parts)) if entry is None else 10 * np.abs(terms).sum()
    allowed = tol * scale + bars + rounding
    return Trial(float(terms.sum()), float(parts.sum()), float(allowed),
                 float(size), entry,
                 SEEN[len(q.steps) == len(COARSE)])


def columns_of(q, indices, method):
    """The columns of J that belong to some entries of x, each times the scale of its entry."""
    columns, scales = [], scale_of(q.x)
    for j in indices:
        v = np.zeros(q.x.shape)
        v[j] = scales[j]
        if method == "complex":
            J = complex_step(q.f, q.x, v)
            slope = Slope(np.where(np.isfinite(J), J, 0), 0 * J, np.isfinite(J), q.noise)
        else:
            h = PAIRS[len(q.steps) > len(COARSE)]
            up, down = (np.array([q.f(q.x + sign * t * v) for t in h]) for sign in (1, -1))
            slope = read(up, down, q.y, h, q.noise, 1e-2)
        columns.append((j, v, slope))
    return columns


def additive(lines, columns):
    """Leave out the outputs whose slopes do not add up, J v = sum J e_j v_j: they are at a kink."""
    result = []
    for v, s in lines:
        terms = np.array([c.Jv * (v[j] / at[j]) for j, at, c in columns])
        usable = s.usable & (np.abs(terms.sum(axis=0) - s.Jv) <= 1e-9 * np.abs(terms).sum(axis=0))
        result.append((v, s._replace(Jv=np.where(usable, s.Jv, 0), usable=usable)))
    usable = np.all([s.usable for _, s in result], axis=0)
    return [(v, s._replace(Jv=np.where(usable, s.Jv, 0), usable=usable)) for v, s in result]


def entries(q, cotangents, columns, tol):
    """A trial for each entry and cotangent, but where an output that dy asks for has no slope."""
    gradients = [q.pull(dy) for dy in cotangents]
    return [compare(q, dy, v, slope, tol, j, dx) for j, v, slope in columns
            for dy, dx in zip(cotangents, gradients)
            if not dy[~slope.usable].any() and np.isfinite(q.x[j])]


def some_entries(q, dy):
    """Indices where a mistake may show: the largest entries of dx, and others at random."""
    dx = np.nan_to_num(np.abs(q.pull(dy)), nan=np.inf).ravel()
    chosen = {*np.argsort(-dx)[:ENTRIES // 2], *q.rng.integers(0, dx.size, ENTRIES // 2)}
    return [np.unravel_index(i, q.x.shape) for i in sorted(map(int, chosen))]


def largest(u):
    """The largest entry in size, 1 where all are zero."""
    return np.abs(u).max(initial=0) or 1.0


def norm(u):
    """The Euclidean norm, at any scale."""
    most = largest(u)
    return float(most * np.linalg.norm(u / most))


def demand(condition, message):
    """Raise AssertionError(message) unless condition holds, under python -O as well."""
    if not condition:
        raise AssertionError(message)
