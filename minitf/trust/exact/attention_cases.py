"""The golden cases of attention: shapes, masks, causal order, shared key heads, large logits."""
import numpy as np

from minitf.trust.exact.cases import Case, normal

CASES = []


def heads(name, family="attention", *, op="attention", Tq=5, Tk=7, H=2, G=None, d=4, dv=4,
          lead=(2,),
          mask=None, scores=None, more=None, **options):
    """A case of attention: lead examples, H query and G key heads; H = 0 for no head axis.

    mask: an array, or a function that draws one. scores(rng, q, k) changes q and k. more: further
    arguments {name: array or function(rng)}.
    """
    def make(rng):
        G_ = H if G is None else G
        q, k, v = (rng.standard_normal((*lead, n, *rest) if n else rest)
                   for n, rest in ((H, (Tq, d)), (G_, (Tk, d)), (G_, (Tk, dv))))
        q, k = (q, k) if scores is None else scores(rng, q, k)
        drawn = dict(more or {}) | ({} if mask is None else {"mask": mask})
        drawn = {name: np.asarray(x(rng) if callable(x) else x) for name, x in drawn.items()}
        return {"q": q, "k": k, "v": v, **drawn}

    CASES.append(Case(name, family, op, options, make))


def broadcast(rng):
    """Leading axes that broadcast: each argument lacks one that another has."""
    return {"q": rng.standard_normal((2, 1, 2, 5, 4)), "k": rng.standard_normal((3, 2, 7, 4)),
            "v": rng.standard_normal((1, 3, 2, 7, 3))}


heads("attention")
heads("attention-square", Tq=6, Tk=6)
heads("attention-one-query", Tq=1)
heads("attention-more-queries", Tq=9, Tk=4)
heads("attention-long", Tq=17, Tk=33, H=1, lead=(1,), d=8, dv=8)
heads("attention-wide", d=16, dv=16)
heads("attention-no-batch", lead=())
heads("attention-no-heads", H=0, lead=())
heads("attention-wide-values", dv=9)
heads("attention-narrow-values", dv=1)
for scale in 0.0, 0.125, 1.0, 1.5, -0.7:
    heads(f"attention-scale{scale:g}", scale=scale)
for scale, softcap in (None, 1.5), (None, 30.0), (2.0, 1.5), (-1.5, 2.0), (5.0, 4.0):
    options = {"softcap": softcap} if scale is None else {"scale": scale, "softcap": softcap}
    heads("attention-" + "-".join(f"{name}{value:g}" for name, value in options.items()), **options)
# 5 queries, 7 keys, a quarter of the pairs blocked
SOME = (np.arange(5)[:, None] * 3 + np.arange(7)) % 4 != 0
# a query without a key, and a key without a query
EMPTY = SOME & (np.arange(5) != 2)[:, None] & (np.arange(7) != 4)
PADDING = np.arange(7) < np.array([7, 4])[:, None, None, None]      # the second example has 4 keys
PER_HEAD = np.stack([SOME, ~SOME, SOME[::-1], SOME[:, ::-1]])


def added(where):
    """Draw an additive mask: normal numbers, -inf where pairs are blocked."""
    return lambda rng: np.where(where, rng.standard_normal(where.shape), -np.inf)


heads("mask", "masks", mask=SOME)
heads("mask-keys", "masks", mask=SOME[0])
heads("mask-queries", "masks", mask=(np.arange(5) != 3)[:, None])
heads("mask-padding", "masks", mask=PADDING)
heads("mask-per-head", "masks", H=4, mask=PER_HEAD)
heads("mask-per-example", "masks", mask=np.stack([SOME, ~SOME])[:, None])
heads("mask-empty", "masks", mask=EMPTY)
heads("mask-none-left", "masks", mask=np.zeros((5, 7), bool))
heads("mask-example-empty", "masks", mask=np.array([True, False]).reshape(2, 1, 1, 1))
heads("mask-added", "masks", mask=normal(5, 7))
heads("mask-added-per-head", "masks", H=4, mask=normal(4, 5, 7))
SLOPES = -np.array([0.5, 0.25])[:, None, None] * abs(np.arange(5.0)[:, None] - np.arange(7))
heads("mask-added-slopes", "masks", mask=SLOPES)
heads("mask-added-inf", "masks", mask=added(SOME))
heads("mask-added-padding", "masks", mask=np.where(PADDING, 0, -np.inf))
heads("mask-added-empty", "masks", mask=added(EMPTY))
heads("mask-added-finite", "masks",
      mask=np.where(np.arange(5)[:, None] == 2, -1e9, np.where(SOME, 0, -30.0)))
heads("mask-no-keys", "masks", Tk=0)
heads("mask-scale", "masks", mask=SOME, scale=1.5)
heads("mask-softcap", "masks", mask=SOME, softcap=1.5)
heads("mask-softcap-empty", "masks", mask=EMPTY, softcap=1.5, scale=2.0)
heads("mask-added-softcap", "masks", mask=added(SOME), softcap=2.0, scale=-1.5)
heads("causal", "causal", Tq=6, Tk=6, causal=True)
for corner in "top-left", "bottom-right":
    heads(f"causal-{corner}", "causal", causal=corner)
    heads(f"causal-{corner}-few-keys", "causal", Tq=7, Tk=5, causal=corner)
heads("causal-decode", "causal", Tq=1, causal="bottom-right")
heads("causal-decode-few", "causal", Tq=2, causal="bottom-right", scale=1.0)
heads("causal-scale", "causal", Tq=6, Tk=6, causal=True, scale=1.5)
heads("causal-softcap", "causal", Tq=6, Tk=6, causal=True, softcap=1.5)
heads("causal-scale-softcap", "causal", Tq=6, Tk=6, causal=True, scale=-2.0, softcap=1.5)
heads("causal-top-left-scale", "causal", causal="top-left", scale=-0.7)
heads("causal-top-left-softcap", "causal", causal="top-left", softcap=2.0)
heads("causal-bottom-right-scale", "causal", causal="bottom-right", scale=2.0)
heads("causal-bottom-right-softcap", "causal", causal="bottom-right", softcap=2.0)
heads("causal-mask", "causal", Tq=6, Tk=6, causal=True, mask=SOME[0, :6] | (np.arange(6) == 0))
heads("causal-mask-empty", "causal", causal="bottom-right", mask=EMPTY)
heads("causal-top-left-mask", "causal", causal="top-left", mask=SOME)
heads("causal-bottom-right-padding", "causal", causal="bottom-right", mask=PADDING)
heads("causal-mask-added", "causal", causal="bottom-right", mask=added(SOME))
heads("causal-no-heads", "causal", H=0, lead=(), Tq=6, Tk=6, causal=True)
CASES.append(Case("heads-broadcast", "heads", "attention", {}, broadcast))
heads("grouped", "heads", H=6, G=2)
heads("grouped-one-key-head", "heads", H=4, G=1)
heads("grouped-scale", "heads", H=6, G=3, scale=1.5)
heads("grouped-softcap", "heads", H=4, G=2, softcap=1.5)
heads("grouped-causal", "heads", H=4, G=2, Tq=6, Tk=6, causal=True)
heads("grouped-bottom-right", "heads", H=6, G=2, causal="bottom-right")
heads("grouped-mask", "heads", H=4, G=2, mask=SOME)
heads("grouped-mask-per-head", "heads", H=4, G=2, mask=PER_HEAD)
heads("grouped-mask-empty", "heads", H=4, G=2, mask=EMPTY)
heads("grouped-wide-values", "heads", H=4, G=2, dv=6)
heads("grouped-everything", "heads", H=4, G=2, dv=3, mask=added(PER_HEAD), causal="bottom-right",
      scale=-1.5,
      softcap=2.0)


# ---- large logits --------------------------------------------------------------------------------

def large(size):
    """Scores of a few times `size` at scale 1, far apart; keys come in near copies: two race for a
    query."""
    def move(rng, q, k):
        k = np.repeat(k, 2, axis=-2)[..., :k.shape[-2], :] + rng.standard_normal(k.shape) / size
        return size * q, k
    return move


def race(size):
    """Scores that are all `size` and a little, at scale 1: a close race of large logits."""
    def move(rng, q, k):
        u = np.array([0.5, -0.5, 0.5, 0.5])
        return size * u + q, u + k / size
    return move


for size in 1e2, 1e4:
    heads(f"large-{size:.0f}", "logits", scores=large(size / 5), scale=1.0)
    heads(f"race-{size:.0f}", "logits", scores=race(size), scale=1.0)
heads("race-negative", "logits", scores=race(1e4), scale=-1.0)
heads("race-default-scale", "logits", scores=race(2e4))
heads("race-mask", "logits", scores=race(1e4), scale=1.0, mask=SOME)
heads("race-mask-empty", "logits", scores=race(1e4), scale=1.0, mask=EMPTY)
heads("race-mask-added", "logits", scores=race(1e4), scale=1.0, mask=added(SOME))
heads("race-causal", "logits", Tq=6, Tk=6, scores=race(1e4), scale=1.0, causal=True)
heads("race-grouped", "logits", H=4, G=2, scores=race(1e4), scale=1.0)
heads("large-softcap", "logits", scores=large(20.0), scale=1.0, softcap=50.0)
heads("large-causal", "logits", Tq=6, Tk=6, scores=large(2e3), scale=1.0, causal=True)
