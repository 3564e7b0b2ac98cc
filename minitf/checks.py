"""Argument validation: bad input is answered with one line,  name: expected WHAT, got WHAT CAME

as a ValueError (a value out of range, a wrong shape) or a TypeError (a wrong kind of object). The
command line prints it and exits with code 2. Two decorators spare a function the lines: `checked`
reads annotations, `op` holds cotangents against outputs.
"""
import functools
import inspect
import math
import numbers
import reprlib
from collections.abc import Mapping

import numpy as np

FLOATS = frozenset(map(np.dtype, ("f4", "f8", "c16")))          # in the machine's byte order
LARGEST = 10 ** 300     # of whole numbers that have no limit of their own
NO_NUMBER = bool, np.bool_, np.timedelta64      # all of them numbers.Integral


def describe(value):
    """Say what came, short enough for one line: arrays by dtype and shape, the rest by repr."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{str(value.dtype)[:30]} array of shape {str(value.shape)[:80]}"
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"a number of {value.bit_length()} bits"
    try:
        simple = isinstance(value, (str, bytes, int, float, complex, np.generic))
        text = repr(value.item() if isinstance(value, np.generic) else value) if simple \
            else reprlib.repr(value)                    # which ends in lists that hold themselves
    except Exception:                                   # an object may fail to say what it is
        text = ""
    text = " ".join(text.split())
    return text if 0 < len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."


def require(condition, name, expected, got, error=ValueError):
    """Raise error("name: expected ..., got ..."), a line of at most 300, unless condition holds."""
    if not condition:
        got = f", got {describe(got)}"
        raise error(f"{name[-150:]}: expected {expected}"[:300 - len(got)] + got)


def integer(name, value, low=-LARGEST, high=LARGEST):
    """Return value as int; it must be a whole number in [low, high]."""
    whole = isinstance(value, (int, numbers.Integral)) and not isinstance(value, NO_NUMBER)
    number = int(value) if whole else 0
    if not (whole and low <= number <= high):
        limits = f" from {low} to {high}" if high < LARGEST else f" >= {low}" if low >= 0 else ""
        require(False, name, f"an integer{limits}", value, ValueError if whole else TypeError)
    return number


def real(name, value, expected="a finite number", where=math.isfinite):
    """Return value as float; `where` says which are allowed, `expected` in words."""
    known = isinstance(value, (float, numbers.Real)) and not isinstance(value, NO_NUMBER)
    require(known, name, expected, value, TypeError)
    try:
        number = float(value)
    except Exception:                                   # an int may be too large, a class anything
        require(False, name, "a number in the range of float64", value)
    require(where(number), name, expected, value)
    return number


def positive(name, value):
    """Return value as float; it must be positive and finite."""
    return real(name, value, "a positive finite number", lambda number: 0 < number < math.inf)


def nonnegative(name, value):
    """Return value as float; it must be finite and not below 0."""
    return real(name, value, "a finite number >= 0", lambda number: 0 <= number < math.inf)


def count(name, value):
    """Return value as int; it must be a whole number >= 1."""
    return integer(name, value, 1)


def flag(name, value):
    """Return value as bool; it must be one."""
    require(isinstance(value, (bool, np.bool_)), name, "True or False", value, TypeError)
    return bool(value)


def each(rule):
    """The rule of a list: each of its entries must keep `rule`. Return it as a list."""
    def check(name, value):
        value = array(name, value) if isinstance(value, np.ndarray) else value
        listed = isinstance(value, (list, tuple, range)) or getattr(value, "ndim", 0) == 1
        require(listed, name, "a list", value, TypeError)
        return [rule(name, entry) for entry in value]
    check.__qualname__ = f"list of {getattr(rule, '__qualname__', 'entries')}"     # in signatures
    return check


def values(rule):
    """The rule of a dict: each of its values must keep `rule`. Return it as a dict."""
    def check(name, value):
        instance(name, value, Mapping)
        return {key: rule(f"{name}[{key!r}]", entry) for key, entry in value.items()}
    check.__qualname__ = f"dict of {getattr(rule, '__qualname__', 'entries')}"
    return check


def choice(name, value, options):
    """Return value; it must be one of options."""
    known = isinstance(value, str) and value in options
    require(known, name, "one of " + ", ".join(options), value)
    return value


def instance(name, value, kind):
    """Return value; it must be an instance of a class, or of a union such as Rule | None."""
    if not isinstance(value, kind):
        first = getattr(kind, "__args__", (kind,))[0]
        require(False, name, f"a {first.__name__}", value, TypeError)
    return value


def array(name, x):
    """Return x as an array in the machine's byte order; masked arrays are refused."""
    if type(x) is np.ndarray and x.dtype.isnative:  # the rule, and quick
        return x
    plain = not isinstance(x, np.ma.MaskedArray)
    require(plain, name, "an array without a mask of its own", x, TypeError)
    try:
        x = np.asarray(x)
    except (ValueError, RecursionError):
        require(False, name, "rows of one length", x)
    except Exception as why:                        # of another library, and it does not convert
        why = " ".join(str(why).split())
        require(False, name, f"what NumPy can read ({why})", type(x), TypeError)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def floats(name, x, *, ndim=None, finite=False):
    """Return x as a float32, float64 or complex128 array; integers and booleans become float64."""
    if type(x) is not np.ndarray or x.dtype not in FLOATS:          # else the rule, and quick
        x = array(name, x)
        x = x.astype(np.float64) if x.dtype.kind in "iub" else x
        advice = " (convert float16 first: its sums lose all digits)" * (x.dtype == np.float16)
        require(x.dtype in FLOATS, name, "a float32 or float64 array" + advice, x, TypeError)
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


def symbols(name, x, n):
    """Return x as an array of integers from 0 to n - 1."""
    x = array(name, x)
    x = x.view(np.uint8) if x.dtype == np.bool_ else x
    require(x.dtype.kind in "iu", name, "integers", x, TypeError)
    inside = (x.dtype.kind == "u" or x.min(initial=0) >= 0) and x.max(initial=0) < n
    require(inside or not x.size, name, f"entries from 0 to {n - 1}", x)
    return x


def bits(name, x, *, ndim=2):
    """Return x as a uint8 array of zeros and ones with ndim axes."""
    x = array(name, x)
    require(x.dtype.kind in "iubf", name, "zeros and ones", x, TypeError)
    require(x.ndim == ndim, name, f"{ndim} {'axis' if ndim == 1 else 'axes'}", x)
    x = x.view(np.uint8) if x.dtype == np.bool_ else x
    if x.max(initial=0) > 1 if x.dtype == np.uint8 else ((x != 0) & (x != 1)).any():
        raise ValueError(f"{name}: expected zeros and ones, got other values in {describe(x)}")
    return x.astype(np.uint8, copy=False)


def examples(X, y):
    """Return (X, y) as uint8 arrays of shapes (m, T) and (m,), m >= 1 and T >= 1."""
    X, y = bits("X", X), bits("y", y, ndim=1)
    require(X.shape[0] >= 1 and X.shape[1] >= 1, "X", "at least one row and one column", X)
    shape("y", y, (X.shape[0],))
    return X, y


def checked(function):
    """Check the arguments of a function at every call, by their annotations.

    A class, or a union of some, is what the argument must be an instance of; bool is `flag`; any
    other annotation is a rule such as `positive`, called as rule(name, value), whose result takes
    the place of the argument. What has no annotation, and a default None, are left alone. Where
    numbers leave the range of float64 on the way, a ValueError says so.
    """
    parameters = inspect.signature(function).parameters
    rules = {name: rule_of(p) for name, p in parameters.items() if p.annotation is not p.empty}
    order = [(n, rules.get(n)) for n, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]

    @functools.wraps(function)
    def call(*args, **options):
        given = [rule(name, value) if rule else value for (name, rule), value in zip(order, args)]
        for name, value in options.items():
            if name in rules:
                options[name] = rules[name](name, value)
        try:
            found = function(*given, *args[len(order):], **options)
        except ArithmeticError:
            found = math.nan
        if type(found) is float and found != found:
            require(False, ", ".join(rules), "numbers that stay in the range of float64", found)
        return found

    return call


def rule_of(parameter):
    """The function (name, value) -> value of its annotation."""
    rule = parameter.annotation
    if isinstance(rule, type) or hasattr(rule, "__args__"):
        return flag if rule is bool else functools.partial(instance, kind=rule)
    if parameter.default is not None:
        return rule
    return lambda name, value: None if value is None else rule(name, value)


def op(function):
    """Mark a primitive, y, pullback = function(...): its pullback refuses a cotangent unlike y."""
    @functools.wraps(function)
    def call(*args, **options):
        y, pullback = function(*args, **options)
        shape = y.shape

        def checked_pullback(dy):
            if type(dy) is not np.ndarray or dy.shape != shape or dy.dtype not in FLOATS:
                dy = cotangent(pullback.__code__.co_varnames[0], dy, shape)
            return pullback(dy)

        checked_pullback.__wrapped__ = pullback
        return y, checked_pullback

    return call


def cotangent(name, dy, shape):
    """Return dy as an array of floats; it must have the shape of the output."""
    dy = floats(name, dy)
    return dy if dy.shape == shape else require(False, name, f"shape {shape}", dy)
