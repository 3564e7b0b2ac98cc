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
import numpy as np

from minitf.checks import require
from minitf.learn.readout import refit, slope
from minitf.learn.working_set import attend, Heads, steepest, view, WIDE
from minitf.projections import Ball
from minitf.tasks import Packed

STAGES = 8              # the radius grows in this many equal steps
STEPS = 10              # steps a stage
FIRST_AGAIN = 3         # restarts keep the rest of their head, so they begin at this stage
DROPPED = 8             # a round of restarts tries to do without each of at most this many positions


def direction(a, average, gradient, allowed, mirror):
    """Unit-height step on q (n, s) from the gradient in a and its average under a: mirror steps raise its strong half,
    others a * it."""
    d = allowed * (average - gradient)
    d = d if mirror else a * d
    d /= np.maximum(np.abs(d).max(axis=1, keepdims=True), np.finfo(d.dtype).tiny)
    return np.maximum(2 * d - 1, 0) if mirror else d


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
