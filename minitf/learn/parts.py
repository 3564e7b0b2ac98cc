"""Heads in equal parts: conditional gradient over the attention, the readout held.

A head that attends to s positions, 1/s to each, counts their ones: r = count / s. With the readout
held at w (r - (j - 1/2) / s) it says "at least j of the s", or for w < 0 the contrary. Which s?

    start    attention spread evenly; r is the share of ones
    fill     s times: 1/s of the attention moves from the even spread to the position t that lowers
             the loss fastest, t = argmin dloss/da_t        (conditional gradient)
    swap     a part goes back to the even spread and from there to the position that then lowers the
             loss fastest: of the s swaps of a head the best, while the loss falls

Both signs, all thresholds j = 1 .. s and many starts go side by side: the i-th start of a threshold
takes the i-th steepest position first. Nothing is enumerated: a step is one gradient. Scores
log(others / (s - n)) on n < s positions give each of them 1/s and every other key its even share,
and s positions share the radius: every iterate lies in the class.

What the gradient sees: w = 4 s puts a count of j or j - 1 at logit +-2. Examples that a head has
right there weigh .1, those it has wrong .9. For AND a wrong positive is a bit that no rule can
have, a wrong negative one that no bit explains yet: what group testing eliminates and covers.
Sources: Frank and Wolfe 1956; pairwise steps: Lacoste-Julien and Jaggi 2015; the greedy decoder of
group testing, SCOMP: Aldridge, Baldassini and Johnson 2014.
"""
from functools import cached_property

import numpy as np

from minitf.learn.readout import loss_gradient, mean_loss, refit
from minitf.learn.working_set import Candidates

HEAT = 4                # |w| / s while it is held
STARTS = 384            # heads that are filled
SWAPPED = 64            # those of least loss, which then swap
ROOM = 1 << 17          # bits of a threshold's positions to choose from, the steepest at the start


def sized_for(model):
    """The number of positions k that the norms of ModelConfig.paper(T, k) pay for."""
    return max(1, min(model.T, round(min(model.radius / (np.log(model.T) + 4), model.bound / 16))))


class Pool:
    """Positions `at` of Packed bits X (m, T) to choose s of, for labels y (m,)."""

    def __init__(self, X, y, at, parts, model):
        self.X, self.y, self.at, self.parts, self.model = X, y, at, parts, model

    @cached_property
    def bits(self):
        """(W, m) float32."""
        return np.ascontiguousarray(self.X[:, self.at].T, np.float32)

    def score(self, n):
        """The score of each of n positions."""
        T, left = self.X.shape[1], self.parts - n
        full = min(self.model.radius / self.parts, np.log(T) + 4)
        return min(full, np.log((T + 1 - n) / left)) if left else full

    def average(self, chosen):
        """The averages of the bits r (heads, m) that heads read of their chosen (heads, n)."""
        n = chosen.shape[1]
        others = self.X.shape[1] + 1 - n
        each = 1 / (n + others * np.exp(-self.score(n)))
        count = self.bits[chosen].sum(axis=1)
        return each * count + (1 - n * each) / others * (self.X.ones - count)

    def steepest(self, chosen, w, c, without):
        """The position that lowers the loss of each head fastest, but those of `without`."""
        residual, _ = loss_gradient(self.average(chosen), self.y, w, c, np.sign(w))
        gradient = residual @ self.bits.T
        np.put_along_axis(gradient, without, np.inf, axis=1)
        return gradient.argmin(axis=1)[:, None]

    def loss(self, chosen, w, c):
        return mean_loss(self.average(chosen), self.y, w, c)

    def heads(self, chosen, w, c, loss):
        """The Candidates."""
        at = np.unique(chosen)
        q = np.zeros((len(chosen), len(at)))
        np.put_along_axis(q, np.searchsorted(at, chosen), self.score(chosen.shape[1]), axis=1)
        return Candidates(q, w, c, loss, self.at[at], self.X.shape[1])


def started(X, y, parts, model):
    """The Pool, and for every start its first position (n, 1) and its held readout w, c (n,)."""
    sign, j = (a.ravel() for a in np.meshgrid([1.0, -1.0], np.arange(1, parts + 1)))
    w = min(HEAT * parts, model.bound) * sign
    c = -w * (j - 0.5) / parts
    starts = min(X.shape[1], max(4, min(STARTS // len(w), ROOM // 16 // len(y))))
    width = min(X.shape[1], max(64, ROOM // len(y)))
    even = np.repeat((X.ones / (X.shape[1] + 1))[None], len(w), axis=0)
    tops = []
    for residual in loss_gradient(even, y, w, c, sign)[0]:
        gradient = (residual[None] @ X)[0]
        top = np.argpartition(gradient, width - 1)[:width]
        tops.append(top[np.argsort(gradient[top], kind="stable")])
    at = np.unique(tops)
    first = np.searchsorted(at, np.array(tops)[:, :starts]).reshape(-1, 1)
    return Pool(X, y, at, parts, model), first, np.repeat(w, starts), np.repeat(c, starts)


def equal_parts(X, y, parts, model, rounds):
    """Yield the Candidates after every step: fill, at most so many rounds of swaps, and a free
    readout."""
    pool, chosen, w, c = started(X, y, parts, model)
    while True:
        loss = pool.loss(chosen, w, c)
        yield pool.heads(chosen, w, c, loss)
        if chosen.shape[1] == parts:
            break
        chosen = np.concatenate([chosen, pool.steepest(chosen, w, c, chosen)], axis=1)
    best = np.argsort(loss, kind="stable")[:SWAPPED]
    chosen, w, c, loss = chosen[best], w[best], c[best], loss[best]
    rest, moving = without_one(parts), np.arange(len(loss))
    for _ in range(rounds if len(pool.at) > parts else 0):
        moving = swap(pool, chosen, w, c, loss, moving, rest)
        if len(moving) == 0:
            break
        yield pool.heads(chosen, w, c, loss)
    w, c, loss = refit(pool.average(chosen), y, w, c, np.sign(w), model.bound, steps=10)
    yield pool.heads(chosen, w, c, loss)


def without_one(n):
    """All indices below n but one (n, n - 1)."""
    return np.nonzero(~np.eye(n, dtype=bool))[1].reshape(n, n - 1)


def swap(pool, chosen, w, c, loss, moving, rest):
    """Do the best swap of each moving head, in place, if it lowers the loss; returns which."""
    n, s = len(moving), pool.parts
    left = chosen[moving][:, rest].reshape(n * s, s - 1)
    held = np.repeat(w[moving], s), np.repeat(c[moving], s)
    new = pool.steepest(left, *held, np.repeat(chosen[moving], s, axis=0))
    new = np.concatenate([left, new], axis=1)
    losses = pool.loss(new, *held).reshape(n, s)
    i = losses.argmin(axis=1)
    lower = losses[range(n), i] < loss[moving]
    moving, i = moving[lower], i[lower]
    chosen[moving] = new.reshape(n, s, s)[lower, i]
    loss[moving] = losses[lower, i]
    return moving
