"""Make the golden vectors, and make them again: for developers; needs mpmath.

    python -m minitf.trust.regenerate write data/golden         draw cases that are new, compute
                                                                every array, write
    python -m minitf.trust.regenerate check data/golden         compute every array again from the
                                                                stored arguments

`check` says which array of which case is not what it was, bit for bit. The arguments of a case are
drawn once, when its name is new in `golden_cases`; from then on they are read from its file.
"""
import contextlib
import hashlib
import io
import json
import math
import zipfile
import zlib
from pathlib import Path

import click
import numpy as np

from minitf.files import write_whole
from minitf.trust.exact import attention_cases as golden_attention
from minitf.trust.exact import cases as golden_cases
from minitf.trust.exact.models import OPS
from minitf.trust.exact.tape import Var, lift, nearest, pull, rounded
from minitf.trust.golden import FORMAT, GROUPS, MANIFEST, Golden, load_golden, read_manifest

CASES = golden_cases.CASES + golden_attention.CASES
UNDIFFERENTIATED = ("Ball", "Simplex", "Intersection", "lmo", "projected_gradient")
GIVEN = ("mask", "y")                           # float arguments that are not differentiated
FLOAT32 = 24                                    # binary digits of its significand
RUNS = 4                                        # of the plain formula, one may be lucky


def twin_of(op, options, arguments):
    """The twin of an operator at these arguments, and the Vars among them."""
    a = {name: Var(lift(x)) if x.dtype.kind == "f" and name not in GIVEN else x
         for name, x in arguments.items()}
    return OPS[op](a, **options), {name: x for name, x in a.items() if isinstance(x, Var)}


def exact_groups(op, options, arguments, cotangents):
    """Outputs, saved, gradients as {group: {name: array of mpmath numbers}} at the working
    precision, and the twin."""
    twin, inputs = twin_of(op, options, arguments)
    groups = {"outputs": {name: y.value for name, y in twin.outputs.items()}, "saved": twin.saved,
              "gradients": {}}
    for dy in cotangents.values():              # one, or none
        y, = twin.outputs.values()
        groups["gradients"] = {f"d{name}": g
                               for name, g in zip(inputs, pull(y, lift(dy), list(inputs.values())))}
    return groups, twin


def solve(case, arguments, cotangents):
    """The Golden of a case (its name, family, op, options) at these arguments."""
    import mpmath
    seen = {}

    def compute():
        groups, seen["twin"] = exact_groups(case.op, case.options, arguments, cotangents)
        seen["names"] = {group: list(arrays) for group, arrays in groups.items()}
        return {name: x for arrays in groups.values() for name, x in arrays.items()}

    exact = rounded(compute)
    plain = dict.fromkeys(exact, 0.0)
    for lost in range(RUNS):                    # with every digit less the error doubles
        with mpmath.workprec(FLOAT32 - lost):
            for name, x in compute().items():
                plain[name] = max(plain[name],
                                  rounded_up(distance(nearest(x), exact[name]) / 2**lost))
    twin = seen["twin"]
    groups = {group: {name: exact[name] for name in names}
              for group, names in seen["names"].items()}
    zeros = [name for name, zero in twin.zeros.items() if name in exact and zero.any()]
    zeros = tuple(name for name in zeros if np.array_equal(exact[name] == 0, twin.zeros[name]))
    tol = 1e-12 + 16 * 2.0**-53 * twin.score
    if case.op == "Intersection":               # what such a projection is asked for
        tol = 1e-10
    return Golden(case.name, case.family, case.op, case.options, arguments, cotangents, **groups,
                  tol=rounded_up(tol),
                  err_plain={"float32": plain}, exact_zeros=zeros,
                  sources=dict.fromkeys(exact, "mpmath"))


def distance(x, y):
    """l2 norm of x - y over the entries that are finite; sums are correctly rounded, the same on
    every machine."""
    x, y = np.broadcast_arrays(x, y)
    pairs = zip(x.ravel().tolist(), y.ravel().tolist())
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in pairs if math.isfinite(b)))


def rounded_up(x):
    """Three digits, and never below x."""
    up = float(f"{x:.2e}")
    return up if up >= x else float(f"{1.006 * x:.2e}")


def draw(case):
    """Draw arguments and cotangent of a new case: from its name, so that no other case matters."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    arguments = case.make(rng)
    twin, _ = twin_of(case.op, case.options, arguments)
    if case.op in UNDIFFERENTIATED:
        return arguments, {}
    return arguments, {f"d{name}": rng.standard_normal(y.shape) for name, y in twin.outputs.items()}


def archive(case):
    """The bytes of a case's npz file: arrays uncompressed in the order of the manifest, the same
    bytes every time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as file:
        for group in GROUPS:
            for name, x in getattr(case, group).items():
                info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                info.create_system = 3
                member = io.BytesIO()
                np.lib.format.write_array(member, np.ascontiguousarray(x).reshape(x.shape), (1, 0),
                                          allow_pickle=False)
                file.writestr(info, member.getvalue())
    return content.getvalue()


def entry_of(case, content):
    """What the manifest says of a case."""
    arrays = {name: x for group in GROUPS for name, x in getattr(case, group).items()}
    names = {group: list(getattr(case, group)) for group in GROUPS}
    return {"name": case.name, "family": case.family, "operator": case.op, "options": case.options,
            **names,
            "shapes": {name: x.shape for name, x in arrays.items()},
            "dtypes": {name: x.dtype.str for name, x in arrays.items()},
            "tol": case.tol, "err_plain": case.err_plain, "exact_zeros": case.exact_zeros,
            "sources": case.sources,
            "file": f"{case.name}.npz", "sha256": hashlib.sha256(content).hexdigest()}


def write_golden(folder, cases=CASES):
    """Write all cases to a folder, yielding their names; the arguments of those that it has already
    are kept."""
    folder = Path(folder)
    known = {case.name: case
             for case in load_golden(folder)} if (folder / MANIFEST).exists() else {}
    entries, files = [], {}
    for case in cases:
        old = known.get(case.name)
        new = solve(case, *((old.arguments, old.cotangents) if old else draw(case)))
        files[f"{case.name}.npz"] = content = archive(new)
        entries.append(entry_of(new, content))
        yield case.name
    lines = ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries)
    text = files[MANIFEST] = f'{{"format": {FORMAT}, "cases": [\n{lines}\n]}}\n'.encode()
    files[f"{MANIFEST}.sha256"] = f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()
    for name, content in files.items():
        write_whole(folder / name, lambda file: file.write(content))


def differences(folder, names=None):
    """Compute cases again from their stored arguments; yield the name of each and what differs, bit
    for bit."""
    entries = {entry["name"]: entry for entry in read_manifest(folder)["cases"]}
    for case in load_golden(folder, names):
        new = solve(case, case.arguments, case.cotangents)
        wrong = [name for name, x in case.expected.items()
                 if bits(x) != bits(new.expected.get(name))]
        wrong += [name for name in set(new.expected) - set(case.expected)]
        described = json.loads(json.dumps(entry_of(new, archive(new)), allow_nan=False))
        wrong += [key for key, value in entries[case.name].items() if key != "sha256"
                  and value != described[key]]
        yield case.name, wrong


def bits(x):
    """Everything about an array."""
    return None if x is None else (x.shape, x.dtype.str, x.tobytes())


@contextlib.contextmanager
def refused():
    """A folder that cannot be read, or is not what was published, is one line and exit code 2."""
    try:
        yield
    except (OSError, ValueError) as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(2) from None


@click.group()
def commands():
    """Make the golden vectors, and make them again."""


@commands.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
def write(folder):
    """Draw cases that are new, compute every array, write the folder."""
    with refused():
        for name in write_golden(folder):
            click.echo(name)


@commands.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.argument("names", nargs=-1)
def check(folder, names):
    """Compute every array again (of the cases NAMES) from the stored arguments; exit code 1 if one
    differs."""
    count = failed = 0
    with refused():
        for name, wrong in differences(folder, names or None):
            count, failed = count + 1, failed + bool(wrong)
            if wrong:
                click.echo(f"{name}: {', '.join(wrong)} differ")
    click.echo(f"{count - failed} of {count} cases are the same, bit for bit")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    commands()
