"""Golden vectors: arguments, outputs and gradients of every operator, exact to the last bit of
float64, in files.

    for case in load_golden():
        error, agrees = agreement(case.outputs["out"], found, tol=case.tol, dtype=np.float64)

`data/golden/README.md` describes the files and the rule for readers in any language. The values are
correctly rounded 50-digit results; `check_golden` holds minitf itself against them. How they are
made: `minitf.trust.regenerate`.
"""
import hashlib
import io
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minitf.checks import require
from minitf.projections import l2

FORMAT = 1
MANIFEST = "manifest.json"
GROUPS = "arguments", "cotangents", "outputs", "saved", "gradients"


class Golden(NamedTuple):
    """One case: an operator, its options, its arguments, and what must come out.

    arguments   {name: array} in argument order; a mask comes last. cotangents {"dout": array}
    outputs, saved (A, lse, ...), gradients {"dq": array, ...}      the exact values, rounded to
                                                                    float64
    tol         relative l2 error that an implementation in float64 may have
    err_plain   {"float32": {name: absolute l2 error of the plain formula in that precision}}
    exact_zeros names of the arrays whose zeros are a convention (empty rows, masked pairs): any
    other value is wrong
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
    """The folder of the vectors: installed with the package, or in the checkout that the package is
    imported from."""
    package = Path(__file__).resolve().parents[1]
    for folder in package / "data" / "golden", package.parent / "data" / "golden":
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{folder}: no such directory: the golden vectors are not installed")


def load_golden(folder=None, names=None):
    """Read the cases, all of them or those named, as a list of Golden.

    folder: that of the package unless given. Errors: a missing file is an OSError; one that is not
    what was published, byte for byte, a ValueError; both name the file.
    """
    folder = golden_folder() if folder is None else Path(folder)
    entries = {entry["name"]: entry for entry in read_manifest(folder)["cases"]}
    names = list(entries) if names is None else list(names)
    for name in names:
        require(name in entries, "names", "names of cases in " + str(folder / MANIFEST), name)
    return [read_case(folder, entries[name]) for name in names]


def read_manifest(folder):
    """Return manifest.json as a dict; its hash is in manifest.json.sha256, as `sha256sum` writes
    it."""
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
    return Golden(entry["name"], entry["family"], entry["operator"], entry["options"], **groups,
                  tol=entry["tol"],
                  err_plain=entry["err_plain"], exact_zeros=tuple(entry["exact_zeros"]),
                  sources=entry["sources"])


def same_hash(path, content, published):
    """Require the SHA-256 of a file's content to be the published one."""
    if hashlib.sha256(content).hexdigest() != published:
        raise ValueError(f"{path}: damaged, truncated or edited: its SHA-256 is not the published "
                         "one")


def agreement(reference, found, *, tol, err_plain=None, exact_zeros=False, dtype=np.float64):
    """Judge an array by the published rule; return its relative error ||found - reference|| /
    ||reference||, and whether it agrees.

    float64            ||found - reference|| <= tol ||reference||, and with exact_zeros every zero
                       of the reference is
                       met exactly (in any precision)
    lower precision    ||found - reference|| <= 2 err_plain + 4 eps ||reference||
    Norms are l2 over all entries. An infinite entry of the reference must be met exactly and is
    left out of the norms. A NaN or another shape never agrees: error inf.
    """
    reference, found = np.asarray(reference, np.float64), np.asarray(found)
    if found.shape != reference.shape or found.dtype.kind not in "fiub":
        return math.inf, False
    found, infinite = found.astype(np.float64), np.isinf(reference)
    if not (np.array_equal(found[infinite], reference[infinite])
            and np.isfinite(found[~infinite]).all()):
        return math.inf, False
    error, size = (float(l2(x[~infinite], -1))
                   for x in (found - np.where(infinite, 0, reference), reference))
    if np.dtype(dtype) == np.float64:
        allowed = tol * size
    else:
        require(err_plain is not None, "err_plain",
                f"the error of the plain formula in {np.dtype(dtype)}", err_plain)
        allowed = 2 * err_plain + 4 * float(np.finfo(dtype).eps) * size
    zeros = not exact_zeros or not found[reference == 0].any()
    return error / size if size else math.inf if error else 0.0, error <= allowed and bool(zeros)


def judge(case, found):
    """Hold found {name: array} against a case: a record of the worst array."""
    results = []
    for name, reference in case.expected.items():
        error, agrees = agreement(reference, found.get(name), tol=case.tol,
                                  exact_zeros=name in case.exact_zeros)
        results.append((agrees, -error, name))
    agrees, error, worst = min(results)
    return {"case": case.name, "family": case.family, "operator": case.op, "agrees": agrees,
            "worst": worst,
            "error": -error, "tol": case.tol, "ratio": -error / case.tol}
