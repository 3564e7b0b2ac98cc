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
import zipfile
import zlib
from pathlib import Path

import click
import numpy as np

from minitf.files import write_whole
from minitf.trust.exact import attention_cases, cases, option_cases  # noqa: F401
from minitf.trust.exact.solve import solve, twin_of
from minitf.trust.golden import FORMAT, GROUPS, MANIFEST, load_golden, read_manifest

CASES = cases.CASES + attention_cases.CASES     # to which option_cases adds its own
UNDIFFERENTIATED = ("Ball", "Simplex", "Intersection", "lmo", "projected_gradient",
                    "attention_tangent", "attention_hvp")
CONVENTIONS = {
    "logarithm": "natural; lse2 is the log-sum-exp in base 2",
    "boolean masks": "true = may attend",
    "causal": "top-left: query i meets keys 0..i; bottom-right: keys 0..i+Tk-Tq; true: Tq = Tk",
    "window": "[left, right, corner]: query i meets keys i-left..i+right, both included, null = no "
              "limit; at the bottom-right i is i+Tk-Tq",
    "segments": "query i meets key j where q_ids[i] = k_ids[j]",
    "order": "scale, softcap, bias, mask, softmax with the sink, keep"}


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
    said = json.dumps(CONVENTIONS)
    text = f'{{"format": {FORMAT}, "conventions": {said}, "cases": [\n{lines}\n]}}\n'.encode()
    files[MANIFEST] = text
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
