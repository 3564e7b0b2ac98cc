"""Golden vectors: arguments, outputs and gradients of every operator, exact to the last bit of
float64, in files.

    for case in golden_cases("attention", tags=["causal"], without=["softcap"]):
        verdict = judge(case, my_kernel)

`data/golden/README.md` describes the files and the rule for readers in any language. The values are
correctly rounded 50-digit results; `check_golden` holds minitf itself against them. How they are
made: `minitf.trust.regenerate`.
"""
import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minitf.checks import require

FORMAT = 1
MANIFEST = "manifest.json"
# what this reader knows of attention: it refuses a case with an option or an argument beyond
OPTIONS = {"causal", "window", "scale", "softcap", "lse", "pairing", "base", "eps"}
DIFFERENTIATED = {"q", "k", "v", "bias", "sinks", "gain_q", "gain_k"}
ARGUMENTS = (DIFFERENTIATED | {f"{name}_dot" for name in DIFFERENTIATED}
             | {"q_ids", "k_ids", "keep", "mask", "dout"})
GROUPS = "arguments", "cotangents", "outputs", "saved", "gradients"


@dataclass(frozen=True, eq=False)
class Golden:
    """One case: an operator, its options, its arguments, and what must come out.

    arguments   {name: array} in argument order; a mask comes last. cotangents {"dout": array}
    outputs, saved (A, lse, ...), gradients {"dq": array, ...}: the exact values, rounded
    tol         relative l2 error that an implementation in float64 may have
    err_plain   {"float32": {name: absolute l2 error of the plain formula in that precision}, ...},
                None in the place of a precision that overflows
    exact_zeros names of the arrays whose zeros are a convention (empty rows, masked pairs)
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

    _replace = replace

    @property
    def __name__(self):
        """The case in the words of pytest, which calls a parameter by its __name__."""
        return self.name

    @property
    def tags(self):
        """What selects the case: operator, family, names of options and of arguments, edges."""
        return frozenset(tags_of(self))

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
    if entry["operator"].startswith("attention"):
        unknown = {*entry["options"]} - OPTIONS | {*entry["arguments"]} - ARGUMENTS
        require(not unknown, f"{path}: options", "those that this version knows", sorted(unknown))
    content = path.read_bytes()
    same_hash(path, content, entry["sha256"])
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        groups = {group: {name: archive[name] for name in entry[group]} for group in GROUPS}
    options = {name: tuple(x) if name == "window" else x for name, x in entry["options"].items()}
    return Golden(entry["name"], entry["family"], entry["operator"], options, **groups,
                  tol=entry["tol"],
                  err_plain=entry["err_plain"], exact_zeros=tuple(entry["exact_zeros"]),
                  sources=entry["sources"])


def same_hash(path, content, published):
    """Require the SHA-256 of a file's content to be the published one."""
    if hashlib.sha256(content).hexdigest() != published:
        raise ValueError(f"{path}: damaged, truncated or edited: its SHA-256 is not the published "
                         "one")


def golden_cases(operator=None, *, tags=(), without=()):
    """The golden cases of an operator (of all unless given) that have every one of some tags and
    none of others.

    Tags: the operator and the family of a case; the names of its options, and of its arguments
    beyond those that every case of its operator has ("mask", "bias", ...); "top-left",
    "bottom-right", "grouped", "no-heads", "broadcast", "unequal-lengths", "empty-rows",
    "large-logits", "lse-gradient". pytest calls a case by its name:
    @pytest.mark.parametrize("case", golden_cases("attention", without={"keep"})).
    Errors: a ValueError for a tag or an operator that no case has.
    """
    tags, without = ({one} if isinstance(one, str) else one for one in (tags, without))
    operators = [] if operator is None else [operator]
    for name, given in ("operator", operators), ("tags", tags), ("without", without):
        words = np.iterable(given) and all(isinstance(one, str) for one in given)
        require(words, name, "names of tags", given, TypeError)
    cases, tags, without = load_golden(), set(tags), set(without)
    known = Counter(tag for case in cases for tag in case.tags)     # those of attention first
    for name, given in ("operator", {operator} - {None}), ("tags", tags), ("without", without):
        unknown = sorted(given - known.keys())
        most = ", ".join(tag for tag, _ in known.most_common())
        require(not unknown, name, f"some of {most}", ", ".join(unknown))
    return [case for case in cases if tags <= case.tags and not without & case.tags
            and operator in (None, case.op)]


def tags_of(case):
    """Yield the tags of a case."""
    a, always = case.arguments, {"q", "k", "v", "q_dot", "k_dot", "v_dot", "x", "X"}
    yield from (case.op, case.family, *case.options)
    if "q" not in a or "v" not in a:
        return
    yield from (name for name in a if name not in always and "_ids" not in name)
    q, k, v = (a[name].shape for name in ("q", "k", "v"))
    edges = {"grouped": q[-3:-2] != k[-3:-2], "no-heads": len(q) == 2, "segments": "q_ids" in a,
             "broadcast": len({q[:-3], k[:-3], v[:-3]}) > 1, "unequal-lengths": q[-2] != k[-2],
             "large-logits": case.tol > 1.2e-12, "lse-gradient": "dlse" in case.cotangents,
             "empty-rows": "out" in case.exact_zeros}
    yield from (name for name, true in edges.items() if true)
    for corner in case.options.get("causal"), *case.options.get("window", ()):
        if corner in ("top-left", "bottom-right"):
            yield corner
