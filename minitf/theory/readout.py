"""The readout of a constructed head: a piecewise linear function of an average of bits."""
from typing import NamedTuple

import numpy as np


class Readout(NamedTuple):
    """f = heights[0] + sum_j u_j relu(sum_h a_hj v_h - theta_j), through (knots, heights) and
    constant beyond.

    a (H, n), theta (n,), u (n,). intervals: rows (low, high, label), where v lies for every code;
    with a head for each bit where the m of `match` lies, for a pattern that differs and for one
    that is met.
    """
    a: np.ndarray
    theta: np.ndarray
    u: np.ndarray
    knots: np.ndarray
    heights: np.ndarray
    intervals: np.ndarray


def ramps(form, g, lam):
    """Return the Readout of labels g of the codes 0..W: u_j is the change of slope at knot theta_j.

    form "interp": a knot in the middle of the interval of every code; "plateau": at its two ends;
    "unit", for AND: at the most that code W - 1 reaches, and at 1. Knots without a change make no
    unit, nor does one at 1, where v ends.
    """
    W = len(g) - 1
    low = (1 - lam) * np.arange(W + 1) / W
    intervals = np.stack([low, low + lam, g], axis=1)
    knots, heights = {"unit": ([low[-2] + lam, 1.0], g[-2:]), "interp": (low + lam / 2, g),
                      "plateau": (intervals[:, :2].ravel(), np.repeat(g, 2))}[form]
    knots, heights = np.array(knots, float), np.array(heights, float)
    u = np.diff(np.diff(heights) / np.diff(knots), prepend=0.0, append=0.0)
    kept = (u != 0) & (knots < 1)
    return Readout(np.ones((1, kept.sum())), knots[kept], u[kept], knots, heights, intervals)


def match(table, lam):
    """Return the Readout of k heads, head j on bit j alone:  v_j = (1-lam) b_j + lam r_j.

    Of a pattern p with |p| ones, m = sum_j (2 p_j - 1) v_j - |p| lies in [-k lam, 0] where the bits
    are p, otherwise in [-k, lam - 1]. A ramp from k lam - 1 to -k lam, two units, tells which. f is
    the sum over the patterns of label 1.
    """
    k = len(table).bit_length() - 1
    p = (np.flatnonzero(table)[:, None] >> np.arange(k) & 1).T
    knots = np.array([k * lam - 1, -k * lam])
    slope = 1 / (knots[1] - knots[0])
    intervals = np.array([(-k, lam - 1, 0), (-k * lam, 0, 1)])
    return Readout(np.repeat(2 * p - 1, 2, axis=1), np.add.outer(p.sum(axis=0), knots).ravel(),
                   np.tile([slope, -slope], p.shape[1]), knots, np.array([0.0, 1.0]), intervals)
