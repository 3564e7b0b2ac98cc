"""Points of a ball furthest in a direction: FURTHEST[kind](M, r) -> S, a maximum of <M, S>.

Made from three vectors as the projections are. Of equal parts the first counts (in memory order;
of columns or rows the first); parts that are 0, or below 1e-290 of the largest, stay 0.
"""
import numpy as np

from minitf.projections.nearest import entries, lengths, of_kinds, singular_values
from minitf.projections.newton import per_row


def vertex(v, r):
    """r at the first of the largest parts: the furthest point of the l1 ball."""
    s = np.zeros(v.shape)
    first = v.argmax(axis=-1)[..., None]
    top = np.take_along_axis(v, first, axis=-1)
    np.put_along_axis(s, first, np.where(top > 0, per_row(r), 0.0), axis=-1)
    return s


def corner(v, r):
    """r at all positive parts: the furthest point of the linf ball."""
    top = v.max(axis=-1, keepdims=True, initial=0)
    return np.where(v > 1e-290 * top, per_row(r), 0.0)


def corner_of_one_row(v, r):
    """r at all positive parts of the row of largest sum: the furthest point of the linf,1 ball."""
    return corner(v, vertex(v.sum(axis=-1), r if isinstance(r, float) else r[..., 0]))


FURTHEST = of_kinds(entries, lengths, singular_values, vertex, corner, corner_of_one_row)
