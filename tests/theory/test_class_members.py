"""Random members of each class stay inside its radius, its sensitivities and its covers."""
import math
from dataclasses import replace

import numpy as np
import pytest

from minitf.projections.norms import norm
from minitf.theory.budgets import HeadBudgets, LayerBudgets, ScalarBudgets
from minitf.theory.networks import (
    head_parts,
    layers_parts,
    scalar_logcov,
    scalar_parts,
    softmax_l1_bound,
)

HEAD = HeadBudgets(T=30, d=6, d_v=3, B_X=1.5, B_Z=1.2, B_QKF=2.0, B_V=1.1, B_V21=1.7, L_s=0.9, B_QK11=4.0, B_V11=2.5)
SCALAR = ScalarBudgets(T=30, d=6, d_v=3, B_X=1.5, B_q=2.0, B_V=1.1, B_V21=1.7, B_u=2.0, L_s=0.9, B_q1=4.0, B_V11=2.5,
                       clip=False)
LAYER = LayerBudgets(d=5, k=4, B_QK=0.8, B_QKF=1.3, B_V=0.9, B_V21=1.6, B_C=1.1, B_C21=2.0, L_s=0.9)


def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def unit_rows(g):
    return g / np.maximum(1, np.linalg.norm(g, axis=-1, keepdims=True))


# ---- validity -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("T", [2, 3, 8, 50])
def test_softmax_moves_no_further_than_its_bound(T):
    rng = np.random.default_rng(T)
    u = rng.standard_normal((20000, T)) * rng.choice([0.1, 1, 5], (20000, 1))
    v = u + rng.standard_normal((20000, T)) * rng.choice([0.01, 1, 5], (20000, 1))
    moved = abs(softmax(u) - softmax(v)).sum(axis=1)
    for distance in (abs(u - v).max(axis=1), np.ptp(u - v, axis=1) / 2):
        bound = np.array([softmax_l1_bound(x) for x in distance])
        assert (moved <= bound + 1e-12).all() and (bound <= distance).all()


@pytest.mark.parametrize("delta", [1e-3, 0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("T", [2, 1000])
def test_softmax_bound_is_attained(T, delta):
    """One entry of probability S(delta), lowered by delta while all others rise by delta."""
    u = np.zeros(T)
    u[0] = delta + math.log(T - 1)
    v = u + delta * np.where(np.arange(T) == 0, -1, 1)
    assert abs(softmax(u) - softmax(v)).sum() == pytest.approx(softmax_l1_bound(delta), abs=1e-12)
    assert softmax_l1_bound(1) == pytest.approx(.9242343145, abs=1e-10)


def draw(rng, shape, limits):
    """A random matrix scaled until one of its norms in `limits` is at its limit."""
    W = rng.standard_normal(shape) * rng.exponential(size=shape[1]) ** 2
    return W * min(limit / norm(W, kind) for kind, limit in limits.items())


def test_random_heads_stay_inside_radius_and_sensitivity():
    """Perturb scores and values of random members by e_i: the output moves by at most sum b_i e_i."""
    rng, c, worst = np.random.default_rng(0), HEAD, 0.0
    b_score, b_value = (part.b for part in head_parts(1, c))
    for _ in range(400):
        X = rng.standard_normal((c.T + 1, c.d))
        X *= c.B_X / np.linalg.norm(X, axis=1).max()
        a = 3 * rng.standard_normal(c.T + 1)
        W_V = draw(rng, (c.d, c.d_v), {"spectral": c.B_V, "l21": c.B_V21})
        e_s, e_v = rng.uniform(0, 0.5, 2)
        noise = rng.standard_normal((c.T + 1, c.d_v))
        moved = X @ W_V + e_v * noise / np.linalg.norm(noise, axis=1).max()
        moved *= np.minimum(1, c.B_V * c.B_X / np.linalg.norm(moved, axis=1, keepdims=True))
        h = c.L_s * np.maximum(softmax(a) @ X @ W_V, 0)
        h_moved = c.L_s * np.maximum(softmax(a + e_s * rng.choice([-1, 1], c.T + 1)) @ moved, 0)
        assert np.linalg.norm(h) <= c.L_s * c.B_V * c.B_X
        worst = max(worst, np.linalg.norm(h - h_moved) / (b_score * e_s + b_value * e_v))
    assert 0.05 < worst <= 1


def network(X, weights, w, L_s, residual, heads="sum-pre", errors=None, rng=None):
    """w^T g^L[0]; with errors {(part name, layer): size} every map is off by that much, as its cover would be."""
    def off(values, key):
        if not errors:
            return values
        noise = rng.standard_normal(values.shape)
        return values + errors[key] * noise / np.linalg.norm(noise, axis=-1, keepdims=True)

    def bounded(values, limit):
        return values * np.minimum(1, limit / np.maximum(1e-300, np.linalg.norm(values, axis=-1, keepdims=True)))

    def sigma(values):
        return L_s * np.maximum(unit_rows(values), 0)

    g = X
    for l, (each, W_C, limit) in enumerate(weights):
        out = []
        for W_QK, W_V in each:
            scores = g @ W_QK.T @ g.T
            if errors:
                scores = scores + errors["W_QK", l] * rng.choice([-1, 1], scores.shape)
            out.append(softmax(scores) @ bounded(off(g @ W_V, ("W_V", l)), limit))
        if heads == "sum-out":
            mixed = sum(off(sigma(h) @ W, ("W_C", l)) for h, W in zip(out, W_C))
        else:
            mixed = off(sigma(sum(out) if heads == "sum-pre" else np.concatenate(out, axis=-1)) @ W_C[0], ("W_C", l))
        g = unit_rows(mixed + g if residual else mixed)
    return g[0] @ w + (errors["w"] if errors else 0.0)


@pytest.mark.every(3)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("H, heads", [(1, "sum-pre"), (3, "sum-pre"), (3, "sum-out"), (3, "concat")])
def test_random_networks_obey_the_recursion(residual, H, heads):
    """The output of random nets with perturbed maps moves by at most sum b_i e_i over the 3L + 1 parts."""
    rng, worst, c = np.random.default_rng(1), 0.0, replace(LAYER, H=H, heads=heads)
    for _ in range(200 if H == 1 else 60):
        L, T = int(rng.integers(1, 4)), int(rng.integers(2, 7))
        B_X, B_w, scale = 1.5, 2.0, 10 ** rng.uniform(-3, -1)
        weights = []
        for l in range(L):
            each = [(draw(rng, (5, 5), {"spectral": LAYER.B_QK, "l2": LAYER.B_QKF}),
                     draw(rng, (5, 4), {"spectral": LAYER.B_V, "l21": LAYER.B_V21})) for _ in range(H)]
            W_C = [draw(rng, (12 if heads == "concat" else 4, 5), {"spectral": LAYER.B_C, "l21": LAYER.B_C21})
                   for _ in range(c.readouts)]
            weights.append((each, W_C, LAYER.B_V * (B_X, 1.0)[l > 0]))
        X = rng.standard_normal((T + 1, 5))
        X *= B_X / np.linalg.norm(X, axis=1).max()
        w = rng.standard_normal(5)
        w *= B_w / np.linalg.norm(w)
        parts = layers_parts(1, T, [c] * L, B_X, B_w, residual)
        keys = ["w"] + [(name, l) for l in reversed(range(L)) for name in ("W_C", "W_V", "W_QK")]
        assert [part.weight for part in parts] == [key if key == "w" else key[0] for key in keys]
        assert [part.copies for part in parts] == [1] + [c.readouts, H, H] * L
        errors = {key: scale * rng.uniform() for key in keys}
        exact = network(X, weights, w, LAYER.L_s, residual, heads)
        moved = network(X, weights, w, LAYER.L_s, residual, heads, errors, rng)
        assert abs(exact) <= B_w
        worst = max(worst, abs(exact - moved) / sum(part.b * errors[key] for part, key in zip(parts, keys)))
    assert 0.02 < worst <= 1


@pytest.mark.parametrize("heads", ["sum-pre", "sum-out", "concat"])
def test_random_scalar_classes_of_several_heads_stay_inside(heads):
    """Outputs of random members within the radius; perturbed maps move them by at most sum b_i e_i."""
    rng, worst, largest = np.random.default_rng(2), 0.0, 0.0
    c = replace(SCALAR, H=3, heads=heads)
    for _ in range(300):
        X = rng.standard_normal((9, c.d))
        X *= c.B_X / np.linalg.norm(X, axis=1).max()
        X[-1] = X[0]                                    # equal tokens attract attention without averaging
        a = rng.standard_normal((3, 9)) * rng.choice([0.1, 8])
        W = [draw(rng, (c.d, c.d_v), {"spectral": c.B_V, "l21": c.B_V21}) for _ in range(3)]
        W = W[:1] * 3 if rng.uniform() < 0.5 else W
        u = rng.standard_normal((c.readouts, c.d_v * (3 if heads == "concat" else 1)))
        u *= c.B_u / np.linalg.norm(u, axis=1, keepdims=True)
        errors = dict(zip(("q", "W_V", "u"), rng.uniform(0, 0.3, 3)))

        def f(errors):
            e = errors or dict.fromkeys(("q", "W_V", "u"), 0.0)
            out = []
            for h in range(3):
                noise = rng.standard_normal((9, c.d_v))
                v = X @ W[h] + e["W_V"] * noise / np.linalg.norm(noise, axis=1, keepdims=True)
                v *= np.minimum(1, c.B_V * c.B_X / np.linalg.norm(v, axis=1, keepdims=True))
                out.append(softmax(a[h] + e["q"] * rng.choice([-1, 1], 9)) @ v)
            hidden = {"sum-pre": [sum(out)], "sum-out": out, "concat": [np.concatenate(out)]}[heads]
            return sum(u_h @ (c.L_s * np.maximum(h, 0)) + e["u"] for u_h, h in zip(u, hidden))

        exact, moved, parts = f(None), f(errors), scalar_parts(1, c)
        largest = max(largest, abs(exact) / (c.spread * c.B_u * c.L_s * c.B_V * c.B_X))
        worst = max(worst, abs(exact - moved) / sum(part.b * errors[part.weight] for part in parts))
    assert 0.2 < largest <= 1 and 0.1 < worst <= 1


def test_unrolled_sensitivities_are_the_recursion():
    """b_i against the recursion of row errors written out, one unit error at a time."""
    layers = [replace(LAYER, B_QK=0.3), LAYER, replace(LAYER, B_V=0.4)]
    for residual in (False, True):
        parts = layers_parts(3, 9, layers, 1.5, 2.0, residual)
        keys = [None] + [(name, l) for l in (2, 1, 0) for name in ("W_C", "W_V", "W_QK")]
        for part, key in zip(parts, keys):
            e = 0.0
            for l, c in enumerate(layers):
                b = 1.5 if l == 0 else 1.0
                unit = {name: float(key == (name, l)) for name in ("W_C", "W_V", "W_QK")}
                inner = c.B_V * (1 + 2 * b * b * c.B_QK) * e + c.B_V * b * unit["W_QK"] + unit["W_V"]
                e = c.L_s * c.B_C * inner + unit["W_C"] + (e if residual else 0)
            assert part.b == pytest.approx(2.0 * e + (key is None))


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.1, 0.25])
def test_packing_of_random_scalar_heads(eps):
    rng = np.random.default_rng(3)
    c = ScalarBudgets(T=6, d=4, d_v=2, B_X=1.0, B_q=3.0, B_V=1.0, B_V21=1.4, B_u=1.0, clip=False)
    X = rng.standard_normal((8, c.T + 1, c.d))
    X /= np.linalg.norm(X, axis=-1, keepdims=True)
    outputs = []
    for _ in range(3000):
        q, u = (x / np.linalg.norm(x) for x in (rng.standard_normal(4), rng.standard_normal(2)))
        W_V = draw(rng, (4, 2), {"spectral": 1.0, "l21": 1.4})
        mixed = np.einsum("mt,mtd->md", softmax(X @ (3 * q)), X)
        outputs.append(np.maximum(mixed @ W_V, 0) @ u)
    outputs, kept = np.array(outputs), []
    for f in outputs:
        if all(abs(f - g).max() > 2 * eps for g in kept):
            kept.append(f)
    assert len(kept) > 1 and abs(outputs).max() <= 1
    assert scalar_logcov(eps, 8, c) >= math.log(len(kept))
