"""Golden vectors: arguments, outputs and gradients of every operator, exact to the last bit of float64, in files.

    for case in load_golden():
        error, agrees = agreement(case.outputs["out"], found, tol=case.tol, dtype=np.float64)

`data/golden/README.md` describes the files and the rule for readers in any language. The values are correctly rounded
50-digit results; `check_golden` holds minitf itself against them. How they are made: `minitf.trust.regenerate`.
"""
import hashlib
import io
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minitf.checks import require
from minitf.fast import attention_of, cls_head, forward, mean_bit
from minitf.model import constraints, ModelConfig
from minitf.ops import (add, attention, attention_weights, cap, embed, gelu, identity, layer_norm,
                        linear, logistic, relu, softmax, unit_ball)
from minitf.optim import gradient_step, project_params
from minitf.projections import Ball, Intersection, l2, Simplex
from minitf.trust.verify import saved

FORMAT = 1
MANIFEST = "manifest.json"
GROUPS = "arguments", "cotangents", "outputs", "saved", "gradients"


class Golden(NamedTuple):
    """One case: an operator, its options, its arguments, and what must come out.

    arguments   {name: array} in argument order; a mask comes last. cotangents {"dout": array}
    outputs, saved (A, lse, ...), gradients {"dq": array, ...}      the exact values, rounded to float64
    tol         relative l2 error that an implementation in float64 may have
    err_plain   {"float32": {name: absolute l2 error of the plain formula in that precision}}
    exact_zeros names of the arrays whose zeros are a convention (empty rows, masked pairs): any other value is wrong
    sources     {name: "mpmath" | "loops" | "minitf"}: where the exact values come from
    """
    name: str
    family: str
    op: str
    options: dict
    arguments: dict
    cotangents: dict
    outputs: dict
    saved: dict
    gradients: dict
    tol: float
    err_plain: dict
    exact_zeros: tuple
    sources: dict

    @property
    def expected(self):
        """Every array that an implementation is held against: outputs, saved, gradients."""
        return self.outputs | self.saved | self.gradients


def golden_folder():
    """The folder of the vectors: installed with the package, or in the checkout that the package is imported from."""
    package = Path(__file__).resolve().parents[1]
    for folder in package / "data" / "golden", package.parent / "data" / "golden":
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{folder}: no such directory: the golden vectors are not installed")


def load_golden(folder=None, names=None):
    """Read the cases, all of them or those named, as a list of Golden.

    folder: that of the package unless given. Errors: a missing file is an OSError; one that is not what was published,
    byte for byte, a ValueError; both name the file.
    """
    folder = golden_folder() if folder is None else Path(folder)
    entries = {entry["name"]: entry for entry in read_manifest(folder)["cases"]}
    names = list(entries) if names is None else list(names)
    for name in names:
        require(name in entries, "names", "names of cases in " + str(folder / MANIFEST), name)
    return [read_case(folder, entries[name]) for name in names]


def read_manifest(folder):
    """Return manifest.json as a dict; its hash is in manifest.json.sha256, as `sha256sum` writes it."""
    path = Path(folder) / MANIFEST
    content = path.read_bytes()
    published = path.with_name(MANIFEST + ".sha256").read_bytes().split()
    same_hash(path, content, published[0].decode(errors="replace") if published else "")
    try:
        manifest = json.loads(content)
        found = manifest["format"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: not a manifest of golden vectors") from None
    require(found == FORMAT, f"{path}: format", str(FORMAT), found)
    return manifest


def read_case(folder, entry):
    """Read the file of one entry of the manifest as a Golden."""
    path = Path(folder) / entry["file"]
    content = path.read_bytes()
    same_hash(path, content, entry["sha256"])
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        groups = {group: {name: archive[name] for name in entry[group]} for group in GROUPS}
    return Golden(entry["name"], entry["family"], entry["operator"], entry["options"], **groups, tol=entry["tol"],
                  err_plain=entry["err_plain"], exact_zeros=tuple(entry["exact_zeros"]), sources=entry["sources"])


def same_hash(path, content, published):
    """Require the SHA-256 of a file's content to be the published one."""
    if hashlib.sha256(content).hexdigest() != published:
        raise ValueError(f"{path}: damaged, truncated or edited: its SHA-256 is not the published one")


def agreement(reference, found, *, tol, err_plain=None, exact_zeros=False, dtype=np.float64):
    """Judge an array by the published rule; return its relative error ||found - reference|| / ||reference||, and
    whether it agrees.

    float64            ||found - reference|| <= tol ||reference||, and with exact_zeros every zero of the reference is
                       met exactly (in any precision)
    lower precision    ||found - reference|| <= 2 err_plain + 4 eps ||reference||
    Norms are l2 over all entries. An infinite entry of the reference must be met exactly and is left out of the norms.
    A NaN or another shape never agrees: error inf.
    """
    reference, found = np.asarray(reference, np.float64), np.asarray(found)
    if found.shape != reference.shape or found.dtype.kind not in "fiub":
        return math.inf, False
    found, infinite = found.astype(np.float64), np.isinf(reference)
    if not (np.array_equal(found[infinite], reference[infinite]) and np.isfinite(found[~infinite]).all()):
        return math.inf, False
    error, size = (float(l2(x[~infinite], -1)) for x in (found - np.where(infinite, 0, reference), reference))
    if np.dtype(dtype) == np.float64:
        allowed = tol * size
    else:
        require(err_plain is not None, "err_plain", f"the error of the plain formula in {np.dtype(dtype)}", err_plain)
        allowed = 2 * err_plain + 4 * float(np.finfo(dtype).eps) * size
    zeros = not exact_zeros or not found[reference == 0].any()
    return error / size if size else math.inf if error else 0.0, error <= allowed and bool(zeros)


def check_golden(folder=None):
    """Hold minitf against the golden values: yield a dict for every case; a damaged file is an error before any."""
    for case in load_golden(folder):
        yield judge(case, computed(case))


def judge(case, found):
    """Hold found {name: array} against a case: a record of the worst array."""
    results = []
    for name, reference in case.expected.items():
        error, agrees = agreement(reference, found.get(name), tol=case.tol, exact_zeros=name in case.exact_zeros)
        results.append((agrees, -error, name))
    agrees, error, worst = min(results)
    return {"case": case.name, "family": case.family, "operator": case.op, "agrees": agrees, "worst": worst,
            "error": -error, "tol": case.tol, "ratio": -error / case.tol}


def computed(case):
    """Compute outputs, saved arrays and gradients of a case with minitf: {name: array}."""
    a, options = case.arguments, case.options
    if case.op in SETS:
        return {"p": SETS[case.op](**options).project(a["x"])}
    if case.op == "projected_gradient":
        return trace(a, **options)
    if case.op == "forward":
        return model_values(case)
    mask = {"mask": a["mask"]} if "mask" in a else {}
    y, pullback = OPERATORS[case.op](*(x for name, x in a.items() if name != "mask"), **mask, **options)
    grads = pullback(*case.cotangents.values())
    values = saved(pullback) | dict(zip(case.gradients, grads if isinstance(grads, tuple) else (grads,)))
    if case.op == "attention":
        values["A"], values["lse"] = attention_weights(a["q"], a["k"], **mask, **options)
    if case.op == "cls_head":
        values["A"], values["lse"] = cls_weights(**a)
    return values | dict.fromkeys(case.outputs, y)


def cls_weights(s, v, s_cls, v_cls, X):
    """Weights (m, H, T+1) and log-sum-exp (m, H) of cls_head: those of a query 1 whose keys are the scores."""
    S = s[:, X, np.arange(X.shape[1])].swapaxes(0, 1)
    S = np.concatenate([np.broadcast_to(s_cls[:, None], S.shape[:2] + (1,)), S], axis=-1)
    A, lse = attention_weights(np.ones((*S.shape[:2], 1, 1)), S[..., None], scale=1.0)
    return A[:, :, 0], lse[:, :, 0]


def model_values(case):
    """Logits, gradients and attention of a model; a query z of its own attends through its W_QK."""
    model, a = ModelConfig(**case.options), case.arguments
    params = {name: x for name, x in a.items() if name not in ("X", "z")}
    X, z = a["X"], a.get("z")
    logits, pullback = forward(params, X, model, z=z)
    values = {"logits": logits} | {f"d{name}": g for name, g in pullback(case.cotangents["dlogits"]).items()}
    if z is None:
        return values | {"A": np.stack([attention_of(params, X[i:i + 1], model) for i in range(len(X))])}
    query = np.broadcast_to(z, (len(X), model.d))[:, None, None] @ params["W_QK"].swapaxes(1, 2)
    A, _ = attention_weights(query, np.broadcast_to(X[:, None], query.shape[:2] + X.shape[1:]), scale=1.0)
    return values | {"A": A[:, :, 0]}


def trace(a, model, lr, steps):
    """Losses, iterates and gradients of projected gradient descent: x <- P(x - lr grad)."""
    config, X, y = ModelConfig(**model), a["X"], a["y"]
    params, seen = {name: x for name, x in a.items() if name not in ("X", "y")}, {"loss": []}
    for step in range(steps + 1):
        logits, pullback = forward(params, X, config)
        loss, back = logistic(logits, y)
        grads = pullback(back(np.full(len(y), 1 / len(y))))
        seen["loss"].append(loss.mean())
        for name, x in params.items():
            seen.setdefault(f"{name}_path", []).append(x)
            seen.setdefault(f"d{name}_path", []).extend([grads[name]] if step < steps else [])
        moved = {name: gradient_step(x, grads[name], lr=lr)[0] for name, x in params.items()}
        params = project_params(moved, constraints(config))
    return {name: np.stack(xs) for name, xs in seen.items()}


def intersection(sets):
    """The Intersection of sets given by their options."""
    return Intersection([(Ball if "kind" in one else Simplex)(**one) for one in sets])


OPERATORS = {op.__name__: op for op in (add, attention, cap, cls_head, embed, gelu, identity, layer_norm, linear,
                                        logistic, mean_bit, relu, softmax, unit_ball)}
SETS = {"Ball": Ball, "Simplex": Simplex, "Intersection": intersection}
