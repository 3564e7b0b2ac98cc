"""Train the bounded class: conditional gradient, then projected gradient in an l1 ball that grows.

One head over bits, a = softmax(0, q), reads r_i = sum_t a_t X_it and says logit_i = w r_i + c. A
rule that counts its positions alike is found in equal parts (`parts`). For others the search is a
descent from uniform attention, once for either sign of w, and then rounds of restarts that each
forbid one position of the best head so far: a wrong position is replaced where the gradient, not an
enumeration, says that another fits better.

    for stage = 1 .. 8:     ball = {q: ||q||_1 <= radius stage / 8}
        repeat 10 times:    q <- P_ball(q + step d),    (w, c) <- a few Newton steps,
                            kept where the loss does not rise; step grows by half, or is halved

A Euclidean step follows d = -dloss/dq = a * g, with g = (a . dloss/da) - dloss/da, over its largest
entry in size, so that `step` is how far the fastest score moves. A mirror step raises the strong
half of g itself: max(2 g / max |g| - 1, 0), which is 0 where nothing should rise.

Why mirror steps: the factor a_t is 1/T at first, and softmax lets the first coordinate that grows
take everything; without it all relevant positions rise together. In the second half of the stages
the two take turns: Euclidean steps remove what is not needed, and a position that was left behind
still rises. Why both signs: a wrong sign at the start locks onto noise. Why the ball grows: a small
one holds many weak positions, so that the early choices are averages and not decisions. Why few
positions move at a time: among fewer, chance has fewer ways to fit the examples, and it is cheap.
"""
import math
from typing import NamedTuple

import numpy as np

from minitf.checks import require
from minitf.learn.parts import equal_parts, sized_for
from minitf.learn.readout import loss_gradient, refit
from minitf.learn.working_set import WIDE, Candidates, WorkingSet, moved_to, steepest
from minitf.projections import Ball
from minitf.tasks import Packed

STAGES = 8              # the radius grows in this many equal steps
STEPS = 10              # steps a stage
LAST = 160              # steps of the strong positions alone: their margin grows slowly
FIRST_AGAIN = 3         # restarts keep the rest of their head, so they begin at this stage
DROPPED = 8             # a round of restarts does without each of at most so many positions


class Point(NamedTuple):
    """Where n descents are: scores q (n, s), attention a (n, s), averages of the bits r (n, m),
    readout w, c and mean loss (n,)."""
    q: np.ndarray
    a: np.ndarray
    r: np.ndarray
    w: np.ndarray
    c: np.ndarray
    loss: np.ndarray

    def where(self, better, other):
        """This point for the descents that are better, the other for the rest."""
        if better.all():
            return self
        return Point(*(np.where(better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)
                       for new, old in zip(self, other)))


def direction(a, average, gradient, allowed, mirror):
    """Step on q (n, s), at most 1 high, from the gradient in a and its average under a (n, 1): with
    g = average - gradient, mirror steps are max(2 g / max |g| - 1, 0), others a g / max |a g|."""
    d = allowed * (average - gradient)
    d = d if mirror else a * d
    d /= np.maximum(np.abs(d).max(axis=1, keepdims=True), np.finfo(d.dtype).tiny)
    return np.maximum(2 * d - 1, 0) if mirror else d


def descend(X, y, q, at, sign, model, *, forbidden=-1, first=1, steps=STEPS, mirror=True,
            fixed=False):
    """Yield the n Candidates after every step of a descent from scores q (n, s) at s positions.

    X Packed (m, T), y (m,), sign (n,) of w; forbidden (n,): a position that candidate i may not
    use. Every iterate lies in the class: ||q||_1 <= radius, |w|, |c| <= bound. So q is float64:
    rounded to float32 it could leave. Of more than WIDE positions a stage moves the steepest; if
    fixed, those at hand.
    """
    seen, now = start(X, y, q, at, sign, model, first)
    for stage in range(first, STAGES + 1):
        ball = Ball("l1", model.radius * stage / STAGES, axes=1)
        step = np.ones(len(q))
        if X.shape[1] > WIDE and not fixed:
            seen, now = at_steepest(seen, now, X, y, sign)
        allowed = seen.at != np.reshape(forbidden, (-1, 1))
        for i in range(steps):
            residual, average = loss_gradient(now.r, y, now.w, now.c, sign)
            natural = mirror and (stage <= STAGES // 2 or i % 2 == 1)
            d = direction(now.a, average, residual @ seen.bits, allowed, natural)
            q_new = ball.project(now.q + step[:, None] * d)
            a, r = seen.average(q_new)
            new = Point(q_new, a, r, *refit(r, y, now.w, now.c, sign, model.bound))
            better = new.loss <= now.loss
            now = new.where(better, now)
            step = np.where(better, np.minimum(1.5 * step, 4), step / 2)
            yield Candidates(now.q, now.w, now.c, now.loss, seen.at, X.shape[1])


def start(X, y, q, at, sign, model, first):
    """The working set and the Point where a descent begins: q in the first ball, and a readout."""
    q = Ball("l1", model.radius * first / STAGES, axes=1).project(q)
    seen = WorkingSet.of(X, at)
    a, r = seen.average(q)
    w, c = sign * min(4.0, model.bound), np.zeros(len(q))
    return seen, Point(q, a, r, *refit(r, y, w, c, sign, model.bound, steps=4))


def at_steepest(seen, now, X, y, sign):
    """The working set of the positions whose scores would change fastest, and the Point in it."""
    at = steepest(X, *loss_gradient(now.r, y, now.w, now.c, sign), seen.at, now.q)
    seen, q = moved_to(seen, X, at, now.q)
    a, r = seen.average(q)
    return seen, now._replace(q=q, a=a, r=r)


def restarts_from(head, X, y, model, mirror=True):
    """Yield the Candidates of a descent that starts from a head once without each of its strongest
    positions, which it may not use again."""
    top = np.argsort(-head.q[0], kind="stable")[:DROPPED]
    top = top[head.q[0, top] > 0]
    q = np.repeat(head.q, len(top), axis=0)
    q[np.arange(len(top)), top] = 0
    yield from descend(X, y, q, head.at, np.full(len(top), sign_of(head)), model,
                       forbidden=head.at[top], first=FIRST_AGAIN, mirror=mirror)


def refine(head, X, y, model):
    """Yield the Candidates of a descent, in the full ball, of the strong half of a head alone."""
    highest = head.q.max()
    strong = head.q[0] >= min(highest, highest / 2)
    yield from descend(X, y, head.q[:, strong], head.at[strong], np.array([sign_of(head)]), model,
                       first=STAGES, steps=LAST, fixed=True)


def sign_of(head):
    """The sign of the readout, 1 for 0."""
    return 1.0 if head.w[0] >= 0 else -1.0


def longest_search(model, restarts):
    """The number of steps that fit_bounded will not exceed."""
    k = sized_for(model)
    return k * (k + 1) // 2 + k * (restarts + 1) + LAST + STEPS * (
        STAGES + restarts * (STAGES - FIRST_AGAIN + 1))


def fit_bounded(X, y, model, restarts, tol, report, steps=None, mirror=True):
    """Search the bounded class; returns the parameters of one head.

    1  Attend to 1, 2, .. k positions in equal parts, k those that the class is sized for, until the
       mean training loss is at most tol: fewest first, so that no idle position joins.
    2  If none fits, descend from uniform attention, for either sign of w.
    3  Restart without each of the strongest positions, in at most `restarts` rounds, until the loss
       is at most tol or a round does not lower it. Try to do with the strong half of the positions.
    4  Of these heads take the `simplest`: those that fit, else all, by loss and a price.

    X (m, T) or Packed, y (m,) of 0 and 1. report(loss, candidates) is called after every step;
    after `steps` steps the search ends where it is. mirror=False: no equal parts, and every step is
    Euclidean.
    """
    require(model.is_paper, "model", "the bounded class with one head, ModelConfig.paper(T)", model)
    X, y = Packed.of(X), y.astype(np.float64)
    follow, tried = follower(report, np.inf if steps is None else steps), []
    for parts in range(1, sized_for(model) + 1) if mirror and y.min() < y.max() else ():
        head, left = follow(equal_parts(X, y, parts, model, restarts))
        if head.loss <= tol or left == 0:
            return head.params()
        tried.append(head)
    at = np.arange(min(X.shape[1], WIDE))
    best, left = follow(descend(X, y, np.zeros((2, len(at))), at, np.array([1.0, -1.0]), model,
                                mirror=mirror))
    for _ in range(restarts):
        if best.loss <= tol or best.q.max() <= 0 or left == 0:
            break
        other, left = follow(restarts_from(best, X, y, model, mirror))
        if other.loss >= best.loss:
            break
        best = other
    tried += [best, follow(refine(best, X, y, model))[0]] if left > 0 else [best]
    return simplest(tried, len(y), tol).params()


def simplest(heads, m, tol):
    """Of the heads that fit, to a loss of tol, or else of all: the head of least loss on m examples
    + (log C(T, s) + n log(m) / 2) / m for s positions with n different scores. Of T positions some
    fit any noise. Source: Chen and Chen 2008 (extended BIC)."""
    def price(head):
        scores = head.q[head.q != 0]
        names = math.log(math.comb(head.T, scores.size))
        return names + np.unique(scores).size * math.log(m) / 2

    fit = [head for head in heads if head.loss[0] <= tol]
    return min(fit or heads, key=lambda head: head.loss[0] + price(head) / m)


def follower(report, left):
    """The function that follows a descent to its end, or for the `left` steps that all descents may
    take: it reports every step and returns the lowest candidate and what is left."""
    def follow(descent):
        nonlocal left
        for candidates in descent:
            report(float(candidates.loss.min()), candidates)
            left -= 1
            if left == 0:
                break
        return candidates.lowest(), left

    return follow
