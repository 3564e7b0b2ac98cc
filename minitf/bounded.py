"""Train the bounded class: projected gradient descent in an l1 ball that grows, by mirror and by Euclidean steps.

One head over bits: a = softmax(0, q), r_i = sum_t a_t X_it, logit = w r + c. A search is a descent from uniform
attention (`descend`), for either sign of w, and then restarts that each forbid one position of the best head so far
(`restarts_from`): a wrong position is replaced where the gradient, not an enumeration, says that another fits better.

Why mirror steps: the Euclidean gradient in q carries a factor a_t, 1/T at first, and softmax lets the first coordinate
that grows take everything. The gradient in a itself has no such factor, so all relevant positions rise together. In the
second half of the stages the two take turns: Euclidean steps remove what is not needed, and a position that was left
behind still rises. Why both signs: a wrong sign at the start locks onto noise. Why the ball grows: a small one holds
many weak positions, so that the early choices are averages and not decisions. Why few positions move at a time: the
rest act as one key, at the cost of one; and among fewer, chance has fewer ways to fit the examples.
"""
from typing import NamedTuple

import numpy as np

from minitf.checks import require
from minitf.losses import sigmoid
from minitf.ops import softmax
from minitf.packed import Packed
from minitf.projections import Ball

STAGES = 8              # the radius grows in this many equal steps
STEPS = 10              # steps a stage
FIRST_AGAIN = 3         # restarts keep the rest of their head, so they begin at this stage
WIDE = 64               # positions that a stage may move; of more, the gradient at its start chooses
DROPPED = 8             # a round of restarts tries to do without each of at most this many positions
RIDGE = 1e-6            # on w, so that the refit of separable data has a finite answer


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


def mean_loss(r, y, w, c):
    """Mean logistic loss of logit = w r + c for n heads: r (n, m) -> (n,), the ridge on w included."""
    z = w[:, None] * r + c[:, None]
    return (np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))).mean(axis=1) + RIDGE / 2 * w * w


def refit(r, y, w, c, sign, bound, steps=2):
    """Newton steps on (w, c) for fixed r (n, m), projected onto 0 <= sign w <= bound, |c| <= bound, and halved until
    the loss does not rise. Returns w, c, loss. Where w is at its bound, c need not be the best that goes with it."""
    low, high = np.where(sign > 0, 0, -bound), np.where(sign > 0, bound, 0)
    loss = mean_loss(r, y, w, c)
    for _ in range(steps):
        p = sigmoid(w[:, None] * r + c[:, None])
        h = p * (1 - p) / y.size
        grad_w = ((p - y) * r).mean(axis=1) + RIDGE * w
        grad_c = (p - y).mean(axis=1)
        hess_ww, hess_wc, hess_cc = (h * r * r).sum(axis=1) + RIDGE, (h * r).sum(axis=1), h.sum(axis=1) + RIDGE
        det = hess_ww * hess_cc - hess_wc * hess_wc
        step_w = (hess_cc * grad_w - hess_wc * grad_c) / det
        step_c = (hess_ww * grad_c - hess_wc * grad_w) / det
        length = np.ones_like(w)
        for _ in range(6):
            w_new, c_new = np.clip(w - length * step_w, low, high), np.clip(c - length * step_c, -bound, bound)
            loss_new = mean_loss(r, y, w_new, c_new)
            worse = loss_new > loss
            if not worse.any():
                break
            length[worse] /= 2
        w, c, loss = np.where(worse, w, w_new), np.where(worse, c, c_new), np.where(worse, loss, loss_new)
    return w, c, loss


def slope(r, y, w, c, sign):
    """Gradient in r (n, m) of the mean loss, over |w|, and its product with r (n, 1): the average over the positions
    of the gradient in a. float32."""
    residual = (sigmoid(w[:, None] * r + c[:, None]) - y) * (sign / y.size)[:, None]
    return residual.astype(np.float32), (residual * r).sum(axis=1, keepdims=True).astype(np.float32)


def direction(a, average, gradient, allowed, mirror):
    """Unit-height step on q (n, s) from the gradient in a and its average under a: mirror steps raise its strong half,
    others a * it."""
    d = allowed * (average - gradient)
    d = d if mirror else a * d
    d /= np.maximum(np.abs(d).max(axis=1, keepdims=True), np.finfo(d.dtype).tiny)
    return np.maximum(2 * d - 1, 0) if mirror else d


def attend(q, seen):
    """Attention a (n, s) of heads q at the positions of a View, and the mean of all bits r (n, m)."""
    scores = np.concatenate([np.full((len(q), 1), np.log(seen.others)), q], axis=1)
    a = softmax(scores.astype(np.float32))[0]
    return a[:, 1:], (a[:, 1:] @ seen.bits.T).astype(np.float64) + a[:, :1] * seen.mean


def descend(X, y, q, at, sign, model, forbidden=-1, first=1, steps=STEPS, mirror=True, fixed=False):
    """Yield the n candidate heads after every step of a descent from q (n, s) at s positions, the readout refitted at
    every step.

    X Packed (m, T), y (m,), sign (n,) of w; forbidden (n,): a position that candidate i may not use. Every iterate lies
    in the class: ||q||_1 <= radius, |w|, |c| <= bound. So q is float64: rounded to float32 it could leave. Among more
    than WIDE positions only those move, within a stage, that are `steepest` at its start; if fixed, those at hand.
    """
    n, T = len(q), X.shape[1]
    q, seen = Ball("l1", model.radius * first / STAGES, axes=1).project(q), view(X, at)
    a, r = attend(q, seen)
    w, c, loss = refit(r, y, sign * min(4.0, model.bound), np.zeros(n), sign, model.bound, steps=4)
    for stage in range(first, STAGES + 1):
        ball, step = Ball("l1", model.radius * stage / STAGES, axes=1), np.ones((n, 1))
        if T > WIDE and not fixed:
            at = steepest(X, *slope(r, y, w, c, sign), Heads(q, w, c, loss, at, T))
            kept, old = np.isin(at, seen.at), q[:, np.isin(seen.at, at)]
            q, seen = np.zeros((n, len(at))), view(X, at)
            q[:, kept] = old
            a, r = attend(q, seen)
        allowed = seen.at != np.reshape(forbidden, (-1, 1))
        for i in range(steps):
            residual, average = slope(r, y, w, c, sign)
            natural = mirror and (stage <= STAGES // 2 or i % 2 == 1)
            d = direction(a, average, residual @ seen.bits, allowed, natural)
            q_new = ball.project(q + step * d)
            a_new, r_new = attend(q_new, seen)
            w_new, c_new, loss_new = refit(r_new, y, w, c, sign, model.bound)
            better = loss_new <= loss
            w, c, loss = (np.where(better, new, old) for new, old in ((w_new, w), (c_new, c), (loss_new, loss)))
            better = better[:, None]
            q, a, r = (np.where(better, new, old) for new, old in ((q_new, q), (a_new, a), (r_new, r)))
            step = np.where(better, np.minimum(1.5 * step, 4), step / 2)
            yield Heads(q, w, c, loss, seen.at, T)


def restarts_from(head, X, y, model, mirror=True):
    """Yield the candidates of a descent that starts from a head once without each of its strongest positions."""
    top = np.argsort(-head.q[0], kind="stable")[:DROPPED]
    top = top[head.q[0, top] > 0]
    q = np.repeat(head.q, len(top), axis=0)
    q[np.arange(len(top)), top] = 0
    yield from descend(X, y, q, head.at, np.full(len(top), sign_of(head)), model, head.at[top], FIRST_AGAIN,
                       mirror=mirror)


def refine(head, X, y, model):
    """Yield the descent, in the full ball, of the strong half of a head alone."""
    highest = head.q.max()
    strong = head.q[0] >= min(highest, highest / 2)
    yield from descend(X, y, head.q[:, strong], head.at[strong], np.array([sign_of(head)]), model,
                       first=STAGES, steps=4 * STEPS, fixed=True)


def sign_of(head):
    return 1.0 if head.w[0] >= 0 else -1.0


def longest_search(restarts):
    """The number of steps that fit_bounded will not exceed."""
    return STEPS * (STAGES + restarts * (STAGES - FIRST_AGAIN + 1) + 4)


def fit_bounded(X, y, model, restarts, tol, report, steps=None, mirror=True):
    """Search the bounded class: a descent from uniform attention, then rounds of restarts while they lower the loss.

    X (m, T) or Packed, y (m,) of 0 and 1. Stops when the mean training loss is at most tol, when a round does not help,
    or after `restarts` rounds; then tries to do with the strong half of the positions, and keeps that unless it is worse by more
    than log(m)/(2 m) for each position given up (Schwarz 1978). report(loss, candidates) is called after every step;
    after `steps` steps the search ends where it is. mirror=False: every step is Euclidean.
    """
    require(model.is_paper, "model", "the bounded class with one head, ModelConfig.paper(T)", model)
    X, y = Packed.of(X), y.astype(np.float64)
    left = np.inf if steps is None else steps

    def run(candidates):
        nonlocal left
        for heads in candidates:
            report(float(heads.loss.min()), heads)
            left -= 1
            if left == 0:
                break
        return heads.top()

    at = np.arange(min(X.shape[1], WIDE))
    best = run(descend(X, y, np.zeros((2, len(at))), at, np.array([1.0, -1.0]), model, mirror=mirror))
    for _ in range(restarts):
        if best.loss <= tol or best.q.max() <= 0 or left == 0:
            break
        other = run(restarts_from(best, X, y, model, mirror))
        if other.loss >= best.loss:
            break
        best = other
    if left == 0:
        return best.best()
    sparse = run(refine(best, X, y, model))
    dropped = np.count_nonzero(best.q) - np.count_nonzero(sparse.q)
    return (sparse if sparse.loss <= best.loss + dropped * np.log(len(y)) / (2 * len(y)) else best).best()
