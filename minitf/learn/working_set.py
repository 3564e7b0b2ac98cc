"""Few positions move at a time: the working set of the bounded search.

Among T = 2^24 positions a stage moves those whose scores would change fastest. The others keep
score 0, and act together as one key: attention then costs what the moving positions cost.
"""
from typing import NamedTuple

import numpy as np

from minitf.ops import softmax

WIDE = 64               # positions that a stage moves; of more, the gradient at its start chooses


class Candidates(NamedTuple):
    """n candidate heads side by side: scores q (n, s) at positions `at`, s of T, and 0 elsewhere;
    readout w, c and mean training loss (n,)."""
    q: np.ndarray
    w: np.ndarray
    c: np.ndarray
    loss: np.ndarray
    at: np.ndarray
    T: int

    def lowest(self):
        """The candidate of lowest loss, alone."""
        i = int(np.argmin(self.loss))
        return Candidates(*(x[i:i + 1] for x in self[:4]), self.at, self.T)

    def params(self):
        """The candidate of lowest loss, as parameters of the bounded class."""
        head, q = self.lowest(), np.zeros((1, self.T))
        q[:, self.at] = head.q
        return {"q": q, "w": head.w.copy(), "c": head.c[0].copy()}


class WorkingSet(NamedTuple):
    """Examples as heads see them whose scores are 0 but at s positions: the other keys, [CLS] too,
    act as one.

    at (s,) ascending, bits (m, s) float32 there; others: how many keys they are; mean (m,) of their
    bits, 0 for [CLS].
    """
    at: np.ndarray
    bits: np.ndarray
    others: int
    mean: np.ndarray

    @classmethod
    def of(cls, X, at):
        """The working set of some positions of Packed bits."""
        bits, others = X[:, at].astype(np.float32), 1 + X.shape[1] - len(at)
        return cls(at, bits, others, (X.ones - bits.sum(axis=1, dtype=np.float64)) / others)

    def average(self, q):
        """Attention a (n, s) of heads of scores q (n, s), their averages of the bits r (n, m)."""
        scores = np.concatenate([np.full((len(q), 1), np.log(self.others)), q], axis=1)
        a = softmax(scores.astype(np.float32))[0]
        return a[:, 1:], (a[:, 1:] @ self.bits.T).astype(np.float64) + a[:, :1] * self.mean


def steepest(X, residual, average, at, q):
    """The positions that heads of scores q move next: those with a score, and the WIDE whose scores
    would change fastest."""
    chosen, most = [at[q.any(axis=0)]], WIDE // len(average)
    for g, mean in zip(residual @ X, average):
        g -= mean
        chosen.append(np.argpartition(np.abs(g, out=g), -most)[-most:])
    return np.unique(np.concatenate(chosen))


def moved_to(seen, X, at, q):
    """The working set at other positions, and q there: 0 where they are new."""
    new, q_new = WorkingSet.of(X, at), np.zeros((len(q), len(at)))
    q_new[:, np.isin(at, seen.at)] = q[:, np.isin(seen.at, at)]
    return new, q_new
