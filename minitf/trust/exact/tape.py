"""Arithmetic to any number of digits, with derivatives: NumPy expressions over mpmath numbers, on a
tape.

    x = Var(lift(array))
    y = (x * x).sum()
    dx, = pull(y, lift(1.0), [x])           how y changes with x, sent backward along the tape
    rounded(lambda: {"y": y_of(x)})         the float64 nearest to the exact values

A Var holds an object array and, for each Var it was made from, the function that turns its
cotangent into theirs. So the derivative of a formula is nobody's formula: it comes from those of +,
*, /, @, exp, log, sqrt and tanh alone.
"""
import itertools

import numpy as np


def lift(x):
    """Make mpmath numbers, rounded to the working precision, of a number or of the entries of an
    array."""
    from mpmath import mpf
    return np.asarray(np.frompyfunc(lambda t: +mpf(t), 1, 1)(np.asarray(x, np.float64)), object)


def number(x):
    """lift of one number."""
    return lift(x)[()]


def nearest(x):
    """Round mpmath numbers to the nearest float64, ties to even, subnormal numbers too: Python
    divides integers so."""
    from mpmath import mpf

    def round_one(t):
        t = mpf(t)
        if t == 0 or t in (mpf("inf"), mpf("-inf")):
            return float(t)
        man, exp = (int(n) for n in t.man_exp)
        size = float(abs(man) << exp) if exp >= 0 else abs(man) / (1 << -exp)
        return size if t > 0 else -size

    return np.asarray(np.frompyfunc(round_one, 1, 1)(x), np.float64) + 0.0      # no -0.0


def rounded(compute):
    """Correctly rounded values of compute() -> {name: array of mpmath numbers}: at 50 digits, then
    at twice as many, until two precisions in a row round to the same float64."""
    import mpmath
    last = None
    for digits in 50, 100, 200, 400, 800, 1600:
        with mpmath.workdps(digits):
            found = {name: nearest(x) for name, x in compute().items()}
        if last is not None and all(found[name].tobytes() == last[name].tobytes()
                                    for name in found):
            return found
        last = found
    raise ArithmeticError("the values still change at 1600 digits")


def fold(dx, shape):
    """Sum dx over the axes along which an array of this shape was broadcast."""
    dx = np.asarray(dx, object)
    dx = dx.sum(axis=tuple(range(dx.ndim - len(shape))))
    for axis, n in enumerate(shape):
        dx = dx.sum(axis=axis, keepdims=True) if n == 1 and dx.shape[axis] != 1 else dx
    return np.asarray(dx, object).reshape(shape)


class Var:
    """An array on the tape. parents: pairs (Var, cotangent of this array -> cotangent of that
    one)."""
    # an array on the left leaves the operation to the Var on the right
    __array_ufunc__ = None
    serial = itertools.count()

    def __init__(self, value, *parents):
        self.value, self.parents, self.order = np.asarray(value, object), parents, next(Var.serial)
        self.shape, self.ndim = self.value.shape, self.value.ndim

    def __add__(self, other):
        a, b = self, as_var(other)
        return Var(a.value + b.value, (a, lambda dy: dy), (b, lambda dy: dy))

    def __mul__(self, other):
        a, b = self, as_var(other)
        return Var(a.value * b.value, (a, lambda dy: dy * b.value), (b, lambda dy: dy * a.value))

    def __truediv__(self, other):
        a, b = self, as_var(other)
        y = a.value / b.value
        return Var(y, (a, lambda dy: dy / b.value), (b, lambda dy: -dy * y / b.value))

    def __matmul__(self, other):
        a, b = self, as_var(other)
        return Var(a.value @ b.value, (a, lambda dy: dy @ b.value.swapaxes(-1, -2)),
                   (b, lambda dy: a.value.swapaxes(-1, -2) @ dy))

    def __getitem__(self, key):
        def back(dy):
            dx = self.value * 0
            np.add.at(dx, key, dy)
            return dx
        return Var(self.value[key], (self, back))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -as_var(other)

    def __rsub__(self, other):
        return -self + other

    __radd__, __rmul__ = __add__, __mul__

    def sum(self, axis=-1):
        """Sum over one axis, which is kept."""
        return Var(self.value.sum(axis=axis, keepdims=True), (self, lambda dy: dy + self.value * 0))

    def reshape(self, *shape):
        return Var(self.value.reshape(*shape), (self, lambda dy: dy.reshape(self.shape)))

    def swap(self, i=-1, j=-2):
        """Swap two axes."""
        return Var(self.value.swapaxes(i, j), (self, lambda dy: dy.swapaxes(i, j)))


def as_var(x):
    return x if isinstance(x, Var) else Var(x)


def function(name, slope):
    """An elementary function of mpmath on a Var; slope(x, y) is its derivative."""
    def apply(x):
        import mpmath
        y = np.asarray(np.frompyfunc(getattr(mpmath, name), 1, 1)(x.value), object)
        return Var(y, (x, lambda dy: dy * slope(x.value, y)))
    return apply


exp = function("exp", lambda x, y: y)
log = function("log", lambda x, y: 1 / x)
sqrt = function("sqrt", lambda x, y: 1 / (2 * y))
tanh = function("tanh", lambda x, y: 1 - y * y)


def join(parts, axis):
    """Concatenate along an axis."""
    ends = np.cumsum([part.shape[axis] for part in parts])

    def back(i):
        return lambda dy: np.split(dy, ends[:-1], axis=axis)[i]

    return Var(np.concatenate([part.value for part in parts], axis),
               *((part, back(i)) for i, part in enumerate(parts)))


def pull(y, dy, wrt):
    """Send the cotangent dy of y backward along the tape; return the gradients of the Vars in
    wrt."""
    found, nodes, waiting = {y: dy}, set(), [y]
    while waiting:
        node = waiting.pop()
        if node not in nodes:
            nodes.add(node)
            waiting += [parent for parent, _ in node.parents]
    for node in sorted(nodes, key=lambda node: -node.order):
        for parent, back in node.parents:
            found[parent] = found.get(parent, 0) + fold(back(found[node]), parent.shape)
    return [np.asarray(found.get(x, x.value * 0), object) for x in wrt]
