"""What constructed weights cost: norms that suffice, and what float64 may add to their error."""
import math

import numpy as np

from minitf.projections import norm

ONE_HEAD = {"||W_QK||_2": "sqrt(k) * score", "||q||_1": "k * score",
            "||W_V||_2": "sqrt(2 * units)", "||W_V||_{2,1}": "sqrt(2) * units"}
# norms that suffice with one-hot positions (see bounds_of); of one head; T for the smaller T+1-k
SUFFICES = {
    "unit": {"score": "log(T / eps)", "units": "1", **ONE_HEAD, "||u||_2": "k / (1 - lam)"},
    "interp": {"score": "log(T / (2 * eps)) + log(w)", "units": "W + 1", **ONE_HEAD,
               "||u||_2": "2 * W * sqrt(W + 1) / (1 - lam)"},
    "plateau": {"score": "log(4 * T) + log(w)", "units": "2 * jumps", **ONE_HEAD,
                "||u||_2": "sqrt(units) * W / (1 - (W + 1) * lam)"},
    "heads": {"score": "log(4 * k * T)", "units": "2 * ones", "||W_QK||_2": "score",
              "||q||_1": "score",
              "||W_V||_2": "sqrt(6 * units)", "||W_V||_{2,1}": "sqrt(6) * units",
              "||u||_2": "2 * sqrt(units)"},
    "paper": {"score": "log(4 * T)", "||W_QK||_2": "sqrt(k) * score",
              "||q||_1": "k * (log(T) + 4)",
              "|w|": "16 * k", "|c|": "16 * k"},
}


def rounding_of(readout, q, P, supports, wanted):
    """Bound what rounding adds to |f - rule|:  e (2T + n + H + 4s + D + 32) sum_j |u_j| (H +
    |theta_j|),  e = 2^-53.

    For n units and H heads in float64, in whatever order sums are taken; first order in e, and 32
    has room for the rest. Unit j has values of size at most 1 + |theta_j|/H in every head. Errors,
    in units of e times all of these:

        2T + H + 6   sum_t w_t v_t has T + 1 terms: T additions, as in sum_t w_t, one product, one
                     quotient; then heads are added; theta/H and a - theta are rounded
        4s + 6       a score off by x moves attention by x in l1 (`softmax_l1_bound`). Scores, of
                     range s, are off by s in each of log w, beta + log w, score - largest; s more
                     for lam; 4 for exp, 2 for lam
        D            positions other than one-hot: P q has d_P terms, d_P ||q||_2; and the scores
                     of the support are off from those wanted by what is measured here
        n + 10       n products and their sum, c; u from stored knots, 3; knots and 1 + logit, 2
                     each

    A bound for the worst order and signs: what is measured is usually a hundredth of it.
    """
    H, T, unit = len(q), q.shape[1], 2.0 ** -53
    scores, D = q, 0.0
    if P is not None:
        scores, T = q @ P.T, len(P)
        off = max(np.abs(scores[h, part] - wanted[h]).max() for h, part in enumerate(supports))
        D = P.shape[1] * np.linalg.norm(q, axis=1).max() + off / unit
    s = max(scores.max(), 0) - min(scores.min(), 0)
    size = np.abs(readout.u) @ (H + np.abs(readout.theta))
    return float(unit * (2 * T + len(readout.u) + H + 4 * s + D + 32) * size)


def bounds_of(form, orthonormal, **names):
    """The formulas of SUFFICES in numbers: {name: (bound, formula)}; those of q are for orthonormal
    positions.

    A formula may use those above it and names: w the largest w_i, W their sum, jumps how often the
    label changes from code to code, ones how many patterns have label 1. Columns: |E_1 - theta o|
    <= sqrt 2 for 0 <= theta <= 1, |-E_1 - theta o| <= sqrt 6. Scores: `codes.beta_for_leak` at the
    lam of the form. u: a change of slope is at most 2 W/(1-lam) for interp, W/(1-(W+1) lam) for
    plateau, where intervals are (1-lam)/W - lam apart.
    """
    found = {}
    for name, formula in SUFFICES[form].items():
        # what is shown is what is computed
        names[name] = eval(formula, dict(vars(math)), names)
        unknown = not orthonormal and name in ("score", "||W_QK||_2", "||q||_1")
        found[name] = (math.inf, "none for these positions") if unknown else (names[name], formula)
    return found


def norms_of(params, bounds, **values):
    """Measure the weights beside their bounds, the largest of several heads: {name: (value, bound,
    formula)}."""
    q, w = params["q"][:, None], params["w"]
    values |= {"||W_QK||_2": norm(q, "l2"), "||q||_1": norm(q, "l1"),
               "||u||_2": norm(w / 2, "l2"),
               "|w|": norm(w, "linf"), "|c|": np.abs(params["c"])}
    if "W_V" in params:
        rows = params["W_V"][:, -3:]            # the others are 0
        values |= {"||W_V||_2": norm(rows, "spectral"), "||W_V||_{2,1}": norm(rows, "l21")}
    return {name: (float(np.max(values[name])), float(bound), formula)
            for name, (bound, formula) in bounds.items()}
