"""Few positions move at a time: the working set of the bounded search."""
from typing import NamedTuple

import numpy as np

from minitf.ops import softmax

WIDE = 64               # positions that a stage may move; of more, the gradient at its start chooses


class Heads(NamedTuple):
    """n candidate heads side by side: q (n, s) at s of T positions, 0 elsewhere; w, c, mean training loss (n,)."""
    q: np.ndarray
    w: np.ndarray
    c: np.ndarray
    loss: np.ndarray
    at: np.ndarray
    T: int

    def top(self):
        """The candidate of lowest loss."""
        i = int(np.argmin(self.loss))
        return Heads(*(x[i:i + 1] for x in self[:4]), self.at, self.T)

    def best(self):
        """The candidate of lowest loss, as parameters of the bounded class."""
        head, q = self.top(), np.zeros((1, self.T))
        q[:, self.at] = head.q
        return {"q": q, "w": head.w.copy(), "c": head.c[0].copy()}


class View(NamedTuple):
    """Examples as heads see them whose scores are 0 but at s positions: the other keys, [CLS] too, act as one.

    at (s,) ascending, bits (m, s) float32 there; others: how many keys they are; mean (m,) of their bits, 0 for [CLS].
    """
    at: np.ndarray
    bits: np.ndarray
    others: int
    mean: np.ndarray


def view(X, at):
    """The View of Packed bits at some positions."""
    bits, others = X[:, at].astype(np.float32), 1 + X.shape[1] - len(at)
    return View(at, bits, others, (X.ones - bits.sum(axis=1, dtype=np.float64)) / others)


def steepest(X, residual, average, heads):
    """The positions that heads move next: those of a score, and WIDE where a score would change fastest."""
    chosen, most = [heads.at[heads.q.any(axis=0)]], WIDE // len(average)
    for g, mean in zip(residual @ X, average):
        g -= mean
        chosen.append(np.argpartition(np.abs(g, out=g), -most)[-most:])
    return np.unique(np.concatenate(chosen))


def attend(q, seen):
    """Attention a (n, s) of heads q at the positions of a View, and the mean of all bits r (n, m)."""
    scores = np.concatenate([np.full((len(q), 1), np.log(seen.others)), q], axis=1)
    a = softmax(scores.astype(np.float32))[0]
    return a[:, 1:], (a[:, 1:] @ seen.bits.T).astype(np.float64) + a[:, :1] * seen.mean
