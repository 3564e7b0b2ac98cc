"""Slopes of a function along a line from its values alone, each with a bar: what it may be off by.

    slope = along(f, x, y, v, noise, steps, share)    J v of every output, its bar, whether usable

Central differences at steps h, h/8, h/64 .. meet three troubles, and each output picks the step
that avoids its own: steepness (two extrapolations disagree), rounding (noise / h), and kinks (the
slopes to the two sides differ, and go on differing as h shrinks). Source: Richardson 1911; Ridders
1982; Squire and Trapp 1998.
"""
import warnings
from typing import NamedTuple

import numpy as np

STEPS = 2.0 ** -np.arange(7, 28, 3)             # relative to x; the first three are enough for most
COARSE = 2.0 ** -np.arange(3, 13, 3)            # of an op that computes in float32


class Slope(NamedTuple):
    """J v of every output, what it may be off by, which are usable, the noise of a value."""
    Jv: np.ndarray
    bar: np.ndarray
    usable: np.ndarray
    noise: np.ndarray


def along(f, x, y, v, noise, steps, share):
    """Find d/dt f(x + t v) at t = 0; usable is an output whose bar is within share of its size."""
    up, down = [], []
    for first, last in (0, 3), (3, len(steps)):
        for h in steps[first:last]:
            up.append(f(x + h * v)), down.append(f(x - h * v))
        slope = read(np.array(up), np.array(down), y, steps[:last], noise, share)
        if slope.usable.all():
            break
    return slope


@np.errstate(all="ignore")
def read(up, down, y, steps, noise, share):
    """Choose for every output, among differences and extrapolations, the one with the least bar.

    D_k = (f(h_k) - f(-h_k)) / 2 h_k      bar: half the gap between the slopes to the two sides
    D_k again, if smooth                  bar: |D_k - D_k-1|
    R_k = D_k + (D_k - D_k-1) / 63        bar: |R_k - R_k-1|, if smooth: gaps shrink as h does
    """
    h, ratio = steps[:, None], steps[0] / steps[1]
    D, gap = (up - down) / (2 * h), np.abs((up - y) - (y - down)) / (2 * h)
    step = np.diff(D, axis=0)
    R = D[1:] + step / (ratio**2 - 1)
    jump = np.abs(np.diff(R, axis=0))
    for seen in (jump * h[2:])[-3:]:
        noise = np.fmax(noise, seen)
    smooth = gap[1:] <= gap[:-1] / 2 + 4 * noise / h[1:]
    values = np.concatenate([D, D[1:], R[1:]])
    bars = np.concatenate([gap, np.where(smooth, np.abs(step), np.inf),
                           np.where(smooth[1:] & smooth[:-1], jump, np.inf)])
    bars = bars + noise / np.concatenate([h, h[1:], h[2:]])
    bars = np.where(np.isfinite(bars) & np.isfinite(values), bars, np.inf)
    best = bars.argmin(axis=0)[None]
    Jv, bar = (np.take_along_axis(table, best, axis=0)[0] for table in (values, bars))
    usable = bar <= share * np.maximum(np.abs(Jv), 1e-3 * np.abs(y))
    Jv, bar, noise = (np.where(usable, u, 0) for u in (Jv, bar, noise))
    return Slope(Jv, bar, usable, noise)


def complex_step(f, x, v):
    """Im f(x + i t v) / t at t = 2^-100: exact where f is analytic; None where f refuses."""
    values = f(x + 2.0**-100 * 1j * v)
    return None if values is None else values.imag * 2.0**100


def quiet(op, size, at=lambda z: z):
    """A function of one array that answers every trouble of op, warnings included, with NaN.

    For a complex array that op refuses it answers None.
    """
    def f(z):
        z = frozen(at(np.asarray(z)))
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                y = op(z)
                found = flat(y, split=z.dtype.kind != "c")
        except Exception:                       # whatever the op raises: it has no value here
            found = np.empty(0)
        right = found.size == size
        return found if right else None if z.dtype.kind == "c" else np.full(size, np.nan)
    return f


def directions(x, rng):
    """Three random directions: all entries alike, in proportion to |x|, by the spread of a row."""
    size = np.where(np.isfinite(x), np.abs(x), 0)
    most = size.max() or 1.0
    rows = np.where(size > 0, x, 0) / most
    spread = most * rows.std(axis=-1, keepdims=True) if x.ndim else np.zeros(())
    scales = most, scale_of(x), np.where(spread > 0, spread, most)
    return [np.where(np.isfinite(x), s * rng.standard_normal(x.shape), 0) for s in scales]


def scale_of(x):
    """|x|, and the largest entry's where an entry is zero or not finite."""
    size = np.where(np.isfinite(x), np.abs(x), 0)
    return np.where(size > 0, size, size.max(initial=0) or 1.0)


def parts(y):
    """List the arrays of an array or a tuple of arrays."""
    return [np.asarray(p) for p in (y if isinstance(y, (tuple, list)) else [y])]


def flat(y, split=True):
    """Lay all entries of an array or a tuple of arrays in one vector; complex ones, if split, as
    pairs of reals."""
    pieces = [np.ascontiguousarray(p).ravel() for p in parts(y)]
    pieces = [p.view(p.real.dtype) if split and p.dtype.kind == "c" else p for p in pieces]
    return np.concatenate([p if p.dtype.kind == "c" else p.astype(np.float64) for p in pieces])


def unflat(u, y):
    """Cut a vector into new arrays with the shapes and dtypes of y."""
    pieces = []
    for p in parts(y):
        real = p.real.dtype if p.dtype.kind in "fc" else np.dtype(np.float64)
        n = p.size * (2 if p.dtype.kind == "c" else 1)
        piece, u = u[:n].astype(real), u[n:]
        piece = piece.view(p.dtype) if p.dtype.kind == "c" else piece
        pieces.append(piece.reshape(p.shape))
    return tuple(pieces) if isinstance(y, (tuple, list)) else pieces[0]


def frozen(x):
    """Copy an array, read-only."""
    x = np.array(x)
    x.flags.writeable = False
    return x
