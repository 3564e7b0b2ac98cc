"""Single-location regression: an attention-like head finds the one token that holds the answer.

    X_1 = s k* + gamma n,  X_2 .. X_L = n_l,  y = v* . X_1      n, n_l normal, s = sqrt(d/2)
    head    T(X) = sum_l erf(lambda k . X_l) v . X_l            ||k|| = ||v|| = 1, k* . v* = 0

The risk E (y - T(X))^2 has a closed form (risk.py) in the overlaps theta = v . k*, kappa = k . k*,
eta = k . v*, nu = v . v*, rho = k . v. Projected gradient descent on two spheres
recovers where (kappa, nu) reaches +-(1, 1).
"""
import math

import numpy as np

from minitf.lab.reproduce.page import Page, row, share, unit
from minitf.lab.reproduce.risk import risk


def walk(k, v, true, d, steps, lr, lam, fall, **setting):
    """Projected gradient descent on two spheres with lambda = lam / (1 + fall step): the last
    overlaps, the risk, and (kappa, nu) on the way."""
    k_true, v_true = true
    path = []
    for step in range(steps + 1):
        pairs = (v, k_true), (k, k_true), (k, v_true), (v, v_true), (k, v)
        overlaps = np.stack([np.einsum("nd,nd->n", a, b) for a, b in pairs])
        if step % (steps // 100 or 1) == 0:
            path.append(overlaps[[1, 3]].tolist())
        R, pullback = risk(overlaps, d, lam=lam / (1 + fall * step), **setting)
        dtheta, dkappa, deta, dnu, drho = pullback(np.ones_like(R))[..., None]
        dk = dkappa * k_true + deta * v_true + drho * v
        dv = dtheta * k_true + dnu * v_true + drho * k
        k, v = (unit(x - lr * (dx - x * (x * dx).sum(axis=1, keepdims=True)))
                for x, dx in ((k, dk), (v, dv)))
    return overlaps, R, path


def across(x, *axes):
    """x of length 1 at right angles to axes that are at right angles to each other."""
    for axis in axes:
        x = x - (x * axis).sum(axis=1, keepdims=True) * axis
    return unit(x)


def recovered(_, on_manifold, d, L, gamma, steps, lr, lam, fall, repeats):
    """How many of the repeats recover, |kappa| at the end, the way of (kappa, nu).

    Every way begins from the same draws. All vectors stay in the span of k*, v* and the starts, so
    four coordinates are enough.
    """
    rng = np.random.default_rng(0)
    k_true, v_true, k, v = unit(rng.standard_normal((4, repeats, d)))
    v_true = across(v_true, k_true)
    if on_manifold:
        k = across(k, v_true)
        v = across(v, k_true, across(k, k_true))
    four = np.linalg.qr(np.stack([k_true, v_true, k, v], axis=2))[1]
    k_true, v_true, k, v = np.moveaxis(four, 2, 0)
    overlaps, _, path = walk(k, v, (k_true, v_true), d, steps, lr, lam, fall, L=L, gamma=gamma)
    kappa, nu = overlaps[1], overlaps[3]
    right = (np.minimum(abs(kappa), abs(nu)) > 0.95) & (kappa * nu > 0)
    return int(right.sum()), abs(kappa).tolist(), path


WAYS = {                # of the paper's code: on its manifold?, steps, step size, lambda, its fall
    "on the manifold": (True, 20_000, 4e-3, 0.1, 0),
    "anywhere": (False, 20_000, 4e-3, 0.1, 0),
    "anywhere, lambda falling": (False, 120_000, 4e-3, 1.0, 1e-4),
}


def run(each, d=400, L=10, gamma=math.sqrt(0.5), repeats=30, ways=WAYS):
    cells = [(first, d, L, gamma, *others, repeats) for first, *others in ways.values()]
    found = dict(zip(ways, each(recovered, cells)))
    rows = []
    for name, (right, kappa, _) in found.items():
        rows += [share(f"recovered (|kappa|, |nu| > .95), start {name}", right, repeats),
                 row(f"|kappa| at the end, start {name}", kappa)]
    return rows, {name: path for name, (_, _, path) in found.items()}


def draw(figure, curves):
    for ax, (name, path) in zip(figure.subplots(1, 3, sharey=True), curves.items()):
        kappa, nu = abs(np.array(path)).transpose(1, 0, 2)
        ax.plot(kappa, "C0", nu, "C1", alpha=0.3)
        ax.set(title=f"start {name}".replace(", ", "\n"), xlabel="steps, in %")
    figure.axes[0].set_ylabel("|kappa| (blue), |nu| (orange)")


PAGE = Page(
    claim="Attention solves single-location regression by projected gradient descent",
    setting="d = 400, L = 10, gamma = sqrt(1/2), step 4e-3, 30 repeats; lambda = .1, 20,000 steps; "
            "lambda = 1 / (1 + step / 10,000), 120,000 steps",
    published="recovered in all repeats from starts on the manifold, an hour on a laptop",
    source="Marion et al. 2024, arXiv 2410.01537, and its code PierreMarion23/"
           "single-location-regression",
    criteria={"30 of 30 recover from starts on the manifold": lambda found: found[
        "recovered (|kappa|, |nu| > .95), start on the manifold"]["ours"] == 1},
    run=run,
    draw=draw,
)
