"""Valid calls spoilt, one argument at a time, and what must come of it.

A value in the place of a valid one is
    same    another way to write the valid one: the same answer, or a clean refusal where `maybe`
    junk    nothing that the argument could be: a clean refusal
    odd     anything else: a clean refusal, or an answer without NaN
    huge    numbers so large that their squares overflow, so small that they vanish: as odd, or NumPy's own warning
    free    NaN and inf among numbers: a refusal, or any answer, with NumPy's own warnings

A clean refusal is a ValueError or TypeError of one line of at most 300 characters that names the argument, or
another one, a limit of a set, or an entry of a pair, that this one does not fit. No other call warns; none writes
into an argument or takes more than SECONDS of the processor.
"""
import fractions
import itertools
import math
import re
import signal
import warnings

import numpy as np

from minitf import learn

SECONDS = 2.0
SAID = "Intersection: gap", "projected_gradient: the noise floor"       # warnings that are documented
LOOP = [0.0]
LOOP.append(LOOP)
DEEP = 0.0
for _ in range(100_000):
    DEEP = [DEEP]
FOREIGN = {             # what has no wrong values
    ("unflatten", "like"): "names and shapes are all that is read of it",
    ("judge", "found"): "whatever a kernel returned is judged, not refused",
    ("check_pullback", "args"): "the op that is checked refuses them, in its own words",
}
STRANGERS = [None, "abc", b"abc", object(), {1, 2}, {"a": 1}, [], {}, [[1.0], [1.0, 2.0]], LOOP, DEEP, (lambda x: x), int,
             np.array(["a", "b"]), np.array([None, object()]), np.array([1j, 2]), np.array("2001-01-01", "M8[D]"),
             np.ma.masked, 1j, "\n\x1b[31m" + "x" * 1000, np.random.default_rng(0), fractions.Fraction(1, 3), ..., [None],
             [b"x"], [["a"]], (x for x in ()), range(3), memoryview(b"abc"), math]
NUMBERS = [math.nan, math.inf, -math.inf, -1, 0, 10 ** 400, -10 ** 400, 10 ** 18, 2 ** 63, 1e308, 5e-324, -0.5, 1.5, True,
           np.bool_(True), np.uint8(200), np.int8(-3), np.float16(2), np.float32(0.3), np.longdouble(0.25), np.complex64(1j),
           np.array(2), np.array([2]), np.int64(2 ** 62), 10 ** 5000]


def kind_of(valid):
    """What an argument is, judged by its valid value."""
    kinds = {bool: "flag", int: "whole", float: "number", str: "word", np.ndarray: "array"}
    if type(valid) in kinds:
        return kinds[type(valid)]
    return "array" if isinstance(valid, list) and valid and isinstance(valid[0], (int, float)) else "other"


def arrays(x, rng):
    """Ways to spoil an array: (verdict, value)."""
    x = np.asarray(x)
    number, wide = x.dtype.kind == "f", x.astype(np.float64) if x.dtype.kind in "fiub" else x
    yield "same", x.tolist()
    yield "same", np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x.copy()
    yield "same", x.copy(order="F")
    yield "same", x.astype(x.dtype.newbyteorder())
    yield "same", x.view(Stranger)
    yield "junk", np.ma.array(wide, mask=np.arange(x.size).reshape(x.shape) == 0)
    yield "junk", np.ma.array(x, mask=False)
    yield "junk", x.astype(str)
    yield "junk", np.broadcast_to(np.array("2001", "M8[D]"), x.shape)
    yield "maybe", x.astype(object)
    yield "maybe", np.asarray(wide, np.longdouble)
    yield "odd", x.astype(np.float16)
    yield "odd", x.astype(bool)
    yield "odd", x.astype(np.uint8) if x.dtype.kind in "iub" else np.abs(100 * x).astype(np.uint8)
    yield "odd", wide.astype(np.float32)
    yield "odd", x[None]
    yield "odd", x[..., :-1] if x.ndim else np.array([1.0, 2.0])
    yield "odd", x.T
    yield "odd", x[..., None]
    yield "odd", np.empty((0, *x.shape[1:]), x.dtype)
    yield "odd", np.empty((*x.shape[:-1], 0), x.dtype)
    yield "odd", np.zeros_like(x)
    yield "odd", np.concatenate([x, x]) if x.ndim else x
    yield "odd", wide * 1e-300
    yield "odd", wide * 1e-322
    yield "odd", wide * 1e-40
    yield "odd", (wide * 1e-40).astype(np.float32)
    yield "odd", -wide
    yield "odd", np.where(rng.random(x.shape) < 0.3, 7, x)
    yield "odd", x.astype(complex) if number else x + 1j
    for bad in math.nan, math.inf, -math.inf:
        yield "free", np.where(rng.random(x.shape) < 0.3, bad, wide)
    for size in 1e15, 1e103, 1e160, 1e300, 1.7e308:
        yield "huge", np.sign(wide) * np.minimum(np.abs(wide), 1) * size
    for size in 1e13, 1e15, 1e20, 3e38:
        yield "huge", (np.sign(wide) * np.minimum(np.abs(wide), 1) * size).astype(np.float32)
    yield "huge", wide.astype(complex) * 1e200


class Stranger(np.ndarray):
    """An array of a class of its own."""


def values(valid, rng):
    """Hostile values in the place of a valid one: a list of (verdict, value)."""
    kind, found = kind_of(valid), []
    if kind == "array":
        found += arrays(valid, rng)
    elif kind == "whole":
        found += [("same", np.int64(valid)), ("same", np.int8(valid)) if abs(valid) < 128 else ("same", np.int32(valid))]
        found += [("same", np.uint8(valid))] if 0 <= valid < 256 else []
        found += [("junk", x) for x in ("2", True, False, 1j, math.nan, b"2", np.float64(math.inf), valid + 0.5)]
    elif kind == "number":
        found += [("same", np.float64(valid)), ("maybe", np.array(valid))]
        found += [("maybe", fractions.Fraction(valid))] if math.isfinite(valid) else []
        found += [("same", np.int16(valid)), ("same", int(valid))] if abs(valid) < 99 and valid == int(valid) else []
        found += [("junk", x) for x in ("2", 1j, math.nan, b"2", True, np.bool_(True))]
    elif kind == "flag":
        found += [("maybe", np.bool_(valid))] + [("junk", x) for x in ("yes", "", 0, 1, 2.0, math.nan, [valid], np.array([valid]))]
    elif kind == "word":
        found += [("maybe", np.str_(valid))] + [("junk", x) for x in (valid + " ", valid.encode(), [valid], 1, math.nan, "\x00")]
    found += within(valid, rng)
    return found + [(verdict_on(x) if fits(kind, valid, x) else "junk", x) for x in STRANGERS + NUMBERS
                    if not (callable(valid) and callable(x))]


def within(valid, rng):
    """A dict or a tuple, one array in it spoilt."""
    places = dict(valid) if type(valid) is dict else dict(enumerate(valid)) if type(valid) is tuple else {}
    numbers = [place for place, x in places.items() if isinstance(x, np.ndarray) and x.dtype.kind in "fiub"]
    if numbers:
        place = numbers[rng.integers(len(numbers))]
        for verdict, x in arrays(places[place], rng):
            spoilt = places | {place: x}
            yield verdict, spoilt if type(valid) is dict else tuple(spoilt.values())


def verdict_on(x):
    """The verdict on a number that may fit."""
    if not isinstance(x, (float, int)) or isinstance(x, int) and abs(x) < 10 ** 18:
        return "odd"
    return "free" if isinstance(x, float) and not math.isfinite(x) else "huge" if x in (1e308, 5e-324) or abs(x) > 1e17 else "odd"


def fits(kind, valid, x):
    """Whether a stranger could be right here: None may stand for a default, numbers for numbers."""
    number = isinstance(x, (int, float, np.number, fractions.Fraction)) or isinstance(x, np.ndarray) and x.dtype.kind in "iufc"
    listed = isinstance(x, (list, tuple, range, memoryview)) and x is not LOOP and x is not DEEP
    if x is None or isinstance(valid, type(x)) and kind == "other":
        return True
    if kind == "array":
        return number or listed or isinstance(x, bool | np.bool_ | complex)
    if kind in ("whole", "number"):
        return number and not isinstance(x, complex)
    if kind == "other":
        return number or listed or callable(x) or isinstance(x, (dict, set, str, bytes)) or hasattr(x, "__next__")
    return kind == "flag" and isinstance(x, bool | np.bool_)


def shown(value):
    """A hostile value in a line, for a report."""
    name = type(value).__name__
    if isinstance(value, np.ndarray):
        return f"{name} {value.dtype} {value.shape}"
    return name if isinstance(value, (int, list)) else f"{name} {str(value)[:30]!r}"


class TooLong(BaseException):
    """A call took more than SECONDS."""


def on_alarm(*_):
    raise TooLong


def snapshot(value, depth=0):
    """The bytes of all arrays within a value."""
    if isinstance(value, np.ndarray) and value.dtype != object and value is not np.ma.masked:
        return value.tobytes()
    if depth > 3 or value is LOOP or value is DEEP:
        return None
    if isinstance(value, dict):
        return [(key, snapshot(x, depth + 1)) for key, x in value.items()]
    if isinstance(value, (list, tuple)):
        return [snapshot(x, depth + 1) for x in value]
    return snapshot(vars(value), depth + 1) if isinstance(value, learn.Result) else None


def leaves(value, depth=0):
    """The numbers and arrays within an answer."""
    if isinstance(value, (float, complex, int, np.generic, np.ndarray)) and not isinstance(value, np.str_):
        yield value
    elif isinstance(value, dict) and depth < 4:
        for x in value.values():
            yield from leaves(x, depth + 1)
    elif isinstance(value, (list, tuple)) and depth < 4:
        for x in value:
            yield from leaves(x, depth + 1)


def alike(a, b):
    """Whether two answers are the same up to the order of sums."""
    a, b = ([x for x in leaves(y) if np.asarray(x).dtype != object] for y in (a, b))
    return len(a) == len(b) and all(np.shape(x) == np.shape(y) and np.allclose(x, y, 1e-6, 1e-9, equal_nan=True) for x, y in zip(a, b))


def has_nan(answer):
    return any(np.isnan(x).any() for x in leaves(answer) if isinstance(x, (float, complex)) or
               isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "fc")


def refusal(error, names):
    """What is unclean about an error, or None; names: the arguments."""
    text = str(error)
    if not isinstance(error, (ValueError, TypeError)):
        return f"{type(error).__name__}: {text[:100]}"
    if "\n" in text or not text.isprintable():
        return f"not one printable line: {text[:100]!r}"
    if len(text) > 300:
        return f"{len(text)} characters"
    named = re.match(r"[\w, -]*\w", text)
    if {"path"} <= names and not text.startswith("["):      # of a file: the message begins with its name
        return None
    return None if named and set(re.findall(r"\w+", named[0])) & names else f"names none of its arguments: {text[:120]}"


def fault(call, name, value, verdict, answer=None):
    """What is wrong with a call when one argument has a hostile value, or None."""
    bound = call.but(**{name: value})
    before = snapshot(bound.args), snapshot(bound.kwargs)
    signal.signal(signal.SIGPROF, on_alarm)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", learn.FitWarning)
            if verdict == "free":
                warnings.simplefilter("ignore", RuntimeWarning)
            found = call.function(*bound.args, **bound.kwargs)
            found = list(itertools.islice(found, 3)) if hasattr(found, "__next__") else found
    except TooLong:
        return "takes too long"
    except Warning as warning:
        told = verdict == "huge" and "encountered in" in str(warning) or str(warning).startswith(SAID)
        return None if told else f"warns: {warning}"
    except (OSError, AssertionError) as error:      # of a file; what check_pullback finds against an op
        return None if name in ("path", "paths") or "op" in bound.arguments else repr(error)
    except Exception as error:
        return refusal(error, {"radius", "low", "high", "dlse", *call.bound.signature.parameters}) or (f"refused: {str(error)[:120]}" if verdict == "same" else None)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if (snapshot(bound.args), snapshot(bound.kwargs)) != before:
        return "writes into an argument"
    if verdict == "junk":
        return "taken"
    if verdict in ("same", "maybe") and answer is not None and not alike(found, answer):
        return "another answer"
    return "NaN" if verdict in ("odd", "huge") and has_nan(found) else None

