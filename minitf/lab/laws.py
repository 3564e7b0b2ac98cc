"""How m90 grows with T: laws fitted to it.

    fitted = fit_laws(rows)           rows of one series (points.points)
"""
import math

import numpy as np

from minitf.checks import checked, each, require
from minitf.lab.lines import maybe, number

LAWS = {                # formula, names of the parameters, function
    "log": ("a + b log2 T", "ab", lambda T, bits, a, b: a + b * np.log2(T)),
    "log_squared": ("a + b (log2 T)^2", "ab", lambda T, bits, a, b: a + b * np.log2(T) ** 2),
    "power": ("c T^g", "cg", lambda T, bits, c, g: c * T ** g),
    "information": ("a + b log2 C(T, k)", "ab", lambda T, bits, a, b: a + b * bits),
}


def fitted_to(name, row):
    """Return a row; it must have what a law is fitted to."""
    known = isinstance(row, dict) and all(
        maybe(number(0, math.inf))(row.get(key, ...))
        for key in ("T", "bits", "m90", "m90_low", "m90_high"))
    require(known, name, "rows of points", row)
    return row


@checked
def fit_laws(rows: each(fitted_to)):
    """Fit each of LAWS to m90(T) of the rows of one series; None with fewer than two T to fit to.

    Likelihood: log m90 is normal about the log of the law, with the standard deviation that its 95
    % interval implies (its width over 3.92), independent over T. Least squares is then maximum
    likelihood and, as every law has two parameters, delta AIC the difference in chi2 from the best
    of the first three. Intervals are normal, wider by sqrt(chi2 / (points - 2)) where a law fits
    worse than its errors allow. A T whose m90 or interval is cut off by the m tried is left out,
    and named.
    """
    whole = [row for row in rows if row["m90_low"] and math.isfinite(row["m90_high"])]
    if len(whole) < 2:
        return None
    data = {key: np.array([row[key] for row in whole], float)
            for key in ("T", "bits", "m90", "m90_low", "m90_high")}
    laws = {name: fit_law(law, **data) for name, law in LAWS.items()}
    lowest = min(laws[name]["chi2"] for name in ("log", "log_squared", "power"))
    for law in laws.values():
        law["delta_aic"] = law["chi2"] - lowest
    return {"T": [row["T"] for row in whole],
            "left_out": [row["T"] for row in rows if row not in whole], "laws": laws}


def fit_law(law, T, bits, m90, m90_low, m90_high):
    """One law fitted: its formula, chi2, parameters and their intervals."""
    from scipy.optimize import curve_fit

    form, names, f = law
    sd = np.log(m90_high / m90_low) / 3.92

    def curve(T, *parameters):
        return np.log(np.maximum(f(T, bits, *parameters), 1e-9))

    start = (m90[0], 0.1) if "g" in names else (m90[0], 0.0)
    best, covariance = curve_fit(curve, T, np.log(m90), p0=start, sigma=sd, absolute_sigma=True)
    chi2 = float((((np.log(m90) - curve(T, *best)) / sd) ** 2).sum())
    half = 1.96 * np.sqrt(np.diag(covariance)) * math.sqrt(max(1, chi2 / max(1, len(T) - 2)))
    return {"form": form, "chi2": chi2,
            "parameters": {name: {"value": float(value), "low": float(value - h),
                                  "high": float(value + h)}
                           for name, value, h in zip(names, best, half)}}
