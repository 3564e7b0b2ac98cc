"""Random questions about attention, the same for a seed: shapes, masks, causal order, scale,
softcap, large logits.

    for arguments, options in attention_cases(seed=0, count=300):
        attention_values(arguments, options)

Every option of `conventions.OPTIONS` that matters is met by a fifth of the cases or more; a test
counts them.
"""
import numpy as np

from minitf.model import ModelConfig, init_params
from minitf.trust.frameworks.conventions import attention_values
from minitf.trust.frameworks.pairs import allowed_pairs, boolean

LONG = 520, 640         # keys; a kernel that goes through blocks of 512 begins a second one


def attention_cases(seed, count, shapes=None):
    """Yield pairs (arguments, options). shapes: how many different ones there are, for a peer that
    compiles each."""
    rng = np.random.default_rng([seed, 0])
    drawn = [draw_shape(rng, i) for i in range(shapes or count)]
    for i in range(count):
        case = draw(rng, *drawn[i % len(drawn)])
        while not telling(*case):
            case = draw(rng, *drawn[i % len(drawn)])
        yield case


def draw_shape(rng, i):
    """Leading axes (None: no heads either), H, G, Tq, Tk, d, dv; of four shapes one has many keys,
    one has dv != d."""
    lead = [None, (), (2,), (3,), (2, 2)][i % 5]
    G, shared, Tq, Tk, d = (int(n) for n in rng.integers([1, 2, 1, 3, 2], [3, 4, 11, 11, 9]))
    H = G * shared if i // 2 % 2 else G
    if i % 4 == 3:
        Tq, Tk = int(rng.integers(1, 40)), int(rng.integers(*LONG))
    return lead, H, G, Tq if i % 2 else Tk, Tk, d, d + 1 + i % 3 if i % 4 == 1 else d


def draw(rng, lead, H, G, Tq, Tk, d, dv):
    """One case of that shape."""
    heads = [() if lead is None else (*lead, n) for n in (H, G, G)]
    q, k, v = (rng.standard_normal((*h, *rows))
               for h, rows in zip(heads, ((Tq, d), (Tk, d), (Tk, dv))))
    dout = rng.standard_normal((*heads[0], Tq, dv))
    if lead and rng.random() < 0.5:                         # leading axes that broadcast
        k, v = k[:1], v[0]
    if rng.random() < 0.45:
        q, k = race(rng, q, k)
    trouble = ["empty row", "NaN", None][rng.choice(3, p=[0.35, 0.45, 0.2])]
    mask = draw_mask(rng, lead, H, Tq, Tk, trouble == "empty row")
    if trouble == "NaN" and mask is not None:
        j = rng.integers(Tk)
        mask[..., j] = False if boolean(mask) else -np.inf
        v[(0,) * (v.ndim - 2) + (j, 0)] = np.nan
    scale = [None, 0.0, -rng.uniform(0.3, 1.5),
             rng.uniform(0.3, 1.5)][rng.choice(4, p=[0.4, 0.1, 0.2, 0.3])]
    options = {"mask": mask,
               "causal": [False, "top-left", "bottom-right"][rng.choice(3, p=[0.36, 0.32, 0.32])],
               "scale": scale, "softcap": rng.uniform(1, 5) if rng.random() < 0.35 else None}
    return {"q": q, "k": k, "v": v, "dout": dout}, options


def race(rng, q, k):
    """Move q and k along one direction, so that all scores are large and nearly equal: no softmax
    is saturated."""
    u = rng.standard_normal(q.shape[-1])
    u /= np.linalg.norm(u)
    size = np.exp(rng.uniform(np.log(20), np.log(80)))
    return q + size * u, k + (size - k @ u)[..., None] * u


def draw_mask(rng, lead, H, Tq, Tk, empty):
    """No mask, padding left or right, a boolean or an additive one; empty: it leaves a query
    without keys."""
    kind = rng.choice(4, p=[0.16, 0.28, 0.28, 0.28])
    if kind == 0:
        return None
    if kind == 1:
        rows = (*lead, 1, 1) if lead else ()
        kept = rng.integers(1, Tk + 1, (*rows, 1))
        if lead and empty:
            kept[0] = 0
        mask = np.arange(Tk) < kept
        return mask if rng.random() < 0.5 else mask[..., ::-1].copy()
    front = [(), () if lead is None else (H,), (*lead, 1) if lead else ()][rng.integers(3)]
    mask = rng.random((*front, Tq, Tk)) < 0.7
    if empty:
        mask[..., rng.integers(Tq), :] = False
    return mask if kind == 2 else np.where(mask, rng.standard_normal(mask.shape), -np.inf)


def telling(arguments, options):
    """Is no output and no gradient negligible, unless scale is 0, and no NaN in sight of a query
    without keys?"""
    q, k, v, dout = arguments.values()
    allowed = allowed_pairs(arguments, options)
    if np.isnan(v).any() and not allowed.any(axis=-1).all():
        return False
    sizes = {name: np.sqrt(np.mean(x * x)) for name, x in
             attention_values(arguments | {"v": np.nan_to_num(v)}, options).items()}
    return min(sizes["out"], sizes["dv"]) > 1e-3 and (
        options["scale"] == 0 or min(sizes["dq"], sizes["dk"]) > 1e-3 * abs(options["scale"] or 1))


def model_cases(seed, count):
    """Yield ({parameters and dlogits}, {"model": a gpt of any size, with or without MLP, "X":
    bits})."""
    rng = np.random.default_rng([seed, 1])
    for i in range(count):
        m, T, L, H, d_v, d_ff = (int(n)
                                 for n in rng.integers([1, 2, 1, 1, 4, 3], [4, 8, 3, 4, 7, 12]))
        sizes = {"L": L, "H": H, "d": H * d_v, "d_ff": d_ff if i % 2 else 0}
        bare = {"norm": "none"} if i % 4 == 0 else {}
        model = ModelConfig.gpt(T, **sizes, **bare, activation=["gelu", "relu"][rng.integers(2)])
        params = {name: x + 0.3 * rng.standard_normal(x.shape)
                  for name, x in init_params(rng, model).items()}
        dlogits, X = rng.standard_normal(m), rng.integers(0, 2, (m, T))
        yield params | {"dlogits": dlogits}, {"model": model, "X": X}
