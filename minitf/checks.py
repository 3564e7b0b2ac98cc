"""Argument validation: one line a check, one message format.

Every public function of minitf answers bad input with

    name: expected WHAT, got WHAT CAME

as a ValueError (a value out of range, a wrong shape) or a TypeError (a wrong kind of object). The
command line prints the same line and exits with code 2.
"""
import math
import numbers

import numpy as np

FLOATS = "fdD"                  # float32, float64, complex128


def describe(value):
    """Say what came, short enough for one line: arrays by dtype and shape, the rest by repr."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{value.dtype} array of shape {value.shape}"
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"a number of {value.bit_length()} bits"
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."


def require(condition, name, expected, got, error=ValueError):
    """Raise error("name: expected ..., got ...") unless condition holds."""
    if not condition:
        raise error(f"{name}: expected {expected}, got {describe(got)}")


def integer(name, value, low=None, high=None):
    """Return value as int; it must be a whole number in [low, high]."""
    limits = (f" >= {low}" if high is None else f" from {low} to {high}") if low is not None else ""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))
    require(whole, name, f"an integer{limits}", value, TypeError)
    inside = (low is None or value >= low) and (high is None or value <= high)
    require(inside, name, f"an integer{limits}", value)
    return int(value)


def real(name, value, expected="a finite number", where=math.isfinite):
    """Return value as float; `where` says which numbers are allowed, `expected` in words."""
    number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    require(number, name, expected, value, TypeError)
    try:
        number = float(value)
    except OverflowError:
        require(False, name, "a number in the range of float64", value)
    require(bool(where(number)), name, expected, value)
    return number


def positive(name, value):
    """Return value as float; it must be positive and finite."""
    return real(name, value, "a positive finite number", lambda number: 0 < number < math.inf)


def choice(name, value, options):
    """Return value; it must be one of options."""
    known = isinstance(value, str) and value in options
    require(known, name, "one of " + ", ".join(options), value)
    return value


def generator(name, value):
    """Return value; it must be a numpy.random.Generator."""
    known = isinstance(value, np.random.Generator)
    require(known, name, "a numpy.random.Generator", value, TypeError)
    return value


def array(name, x):
    """Return x as an array in the machine's byte order; masked arrays are refused."""
    if type(x) is np.ndarray and x.dtype.isnative:  # the rule, and quick
        return x
    plain = not isinstance(x, np.ma.MaskedArray)
    require(plain, name, "an array without a mask of its own", x, TypeError)
    try:
        x = np.asarray(x)
    except ValueError:
        require(False, name, "rows of one length", x)
    except (TypeError, RuntimeError) as why:        # of another library, and it does not convert
        require(False, name, f"what NumPy can read ({why})", type(x), TypeError)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def floats(name, x, *, ndim=None, finite=False):
    """Return x as a float32, float64 or complex128 array; integers and booleans become float64."""
    x = array(name, x)
    if x.dtype.char not in FLOATS and x.dtype.kind in "iub":
        x = x.astype(np.float64)
    elif x.dtype.char not in FLOATS:
        half = x.dtype == np.float16
        advice = " (convert float16 first: its sums lose all digits)" if half else ""
        require(False, name, "a float32 or float64 array" + advice, x, TypeError)
    if ndim is not None and x.ndim != ndim:
        require(False, name, f"{ndim} axes", x)
    if finite and not np.isfinite(x).all():
        raise ValueError(f"{name}: expected finite entries, got NaN or inf in {describe(x)}")
    return x


def shape(name, x, expected):
    """Require x.shape to match expected, in which None stands for any length."""
    fits = [want is None or have == want for have, want in zip(x.shape, expected)]
    if x.ndim != len(expected) or not all(fits):
        text = ", ".join("any" if n is None else str(n) for n in expected)
        require(False, name, f"shape ({text}{',' if len(expected) == 1 else ''})", x)


def bits(name, x, *, ndim=2):
    """Return x as a uint8 array of zeros and ones with ndim axes."""
    x = array(name, x)
    require(x.dtype.kind in "iubf", name, "zeros and ones", x, TypeError)
    require(x.ndim == ndim, name, f"{ndim} {'axis' if ndim == 1 else 'axes'}", x)
    if x.dtype == np.bool_:
        return x.view(np.uint8)
    if x.max(initial=0) > 1 if x.dtype == np.uint8 else ((x != 0) & (x != 1)).any():
        raise ValueError(f"{name}: expected zeros and ones, got other values in {describe(x)}")
    return x.astype(np.uint8, copy=False)


def examples(X, y):
    """Return (X, y) as uint8 arrays of shapes (m, T) and (m,), m >= 1 and T >= 1."""
    X, y = bits("X", X), bits("y", y, ndim=1)
    require(X.shape[0] >= 1 and X.shape[1] >= 1, "X", "at least one row and one column", X)
    shape("y", y, (X.shape[0],))
    return X, y
