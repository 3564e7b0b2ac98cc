"""Every public op with arguments to draw for it in any dtype, and its scalar-loop twin.

    for case in CASES:
        op, args = case.draw(rng)
        check_pullback(op, args, rng, wrt=case.wrt)          derivatives
        op(*args)[0] is close to case.oracle(*args, **case.options)          values
"""
import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import oracles

from minitf.checks import instance
from minitf.fast import cls_head, mean_bit
from minitf.ops import (
    add,
    attention,
    attention_blocked,
    cap,
    embed,
    gelu,
    identity,
    layer_norm,
    linear,
    logistic,
    relu,
    softmax,
    unit_ball,
)
from minitf.trust.exact.cases import off_sphere, off_zero


@dataclass(frozen=True)
class Case:
    """An op, its slow twin, and `make`: arguments from a function normal(shape) that draws standard normal arrays.

    wrt      the arguments to differentiate
    leading  the arguments whose first axis counts independent examples, which the output's first axis counts too
    """
    name: str
    op: Callable
    oracle: Callable
    make: Callable
    wrt: tuple
    leading: tuple = (0,)
    options: dict = field(default_factory=dict)

    def draw(self, rng, dtype=np.float64):
        """Return the op with its options bound, and a tuple of arguments, floating ones in dtype."""
        args = self.make(instance("rng", rng, np.random.Generator).standard_normal)
        args = (x.astype(dtype) if x.dtype.kind == "f" else x for x in args)
        return functools.partial(self.op, **self.options), tuple(args)


def heads(name, Tq, Tk, H, G, **options):
    """A case of attention: two examples, d = 4, dv = 3."""
    return Case(f"attention-{name}", attention, lambda *args, **kw: oracles.attention(*args, **kw)[0],
                lambda normal: (normal((2, H, Tq, 4)), normal((2, G, Tk, 4)), normal((2, G, Tk, 3))),
                (0, 1, 2), (0, 1, 2), options)


SOME = (np.arange(5)[:, None] * 3 + np.arange(7)) % 4 != 0          # 5 queries, 7 keys, a quarter of the pairs blocked
SOME[2] = False                                                     # and a query that may attend to nothing
PER_HEAD = np.stack([SOME, ~SOME, SOME[::-1], SOME[:, ::-1]])
ADDED = np.where(PER_HEAD, np.cos(np.arange(140.0)).reshape(4, 5, 7), -np.inf)
SYMBOLS = np.arange(35).reshape(5, 7) ** 2 % 3                      # 5 examples of 7 positions, 3 symbols
CASES = [
    Case("add", add, oracles.add, lambda normal: (normal((2, 3, 4)), normal((3, 1))), (0, 1)),
    Case("linear", linear, oracles.linear, lambda normal: (normal((2, 3, 4)), normal((4, 5)), normal(5)), (0, 1, 2)),
    Case("linear-no-bias", linear, oracles.linear, lambda normal: (normal((3, 4)), normal((4, 5))), (0, 1)),
    Case("embed", embed, oracles.embed, lambda normal: (np.arange(12).reshape(3, 4) ** 2 % 7, normal((9, 5))), (1,)),
    Case("softmax", softmax, oracles.softmax, lambda normal: (3 * normal((2, 3, 6)),), (0,)),
    Case("cap", cap, oracles.cap, lambda normal: (3 * normal((2, 3, 6)),), (0,), options={"softcap": 2.5}),
    Case("layer_norm", layer_norm, oracles.layer_norm,
         lambda normal: (normal((2, 3, 6)) + 5, normal(6), normal(6)), (0, 1, 2)),
    Case("layer_norm-eps", layer_norm, oracles.layer_norm,
         lambda normal: (normal((2, 3, 6)), normal(6), normal(6)), (0, 1, 2), options={"eps": 0.3}),
    Case("unit_ball", unit_ball, oracles.unit_ball, lambda normal: (off_sphere(normal((2, 4, 6))),), (0,)),
    Case("identity", identity, oracles.identity, lambda normal: (normal((2, 3)),), (0,)),
    Case("relu", relu, oracles.relu, lambda normal: (off_zero(normal((2, 3, 6))),), (0,)),
    Case("gelu", gelu, oracles.gelu, lambda normal: (2 * normal((2, 3, 6)),), (0,)),
    Case("logistic", logistic, oracles.logistic, lambda normal: (3 * normal(8), np.arange(8) % 3 % 2), (0,), (0, 1)),
    Case("logistic-soft-labels", logistic, oracles.logistic,
         lambda normal: (3 * normal((2, 4)), np.linspace(0, 1, 8).reshape(2, 4)), (0,), (0, 1)),
    Case("mean_bit", mean_bit, oracles.mean_bit, lambda normal: (normal((2, 7)),), (0,), (), {"X": SYMBOLS % 2}),
    Case("cls_head", cls_head, oracles.cls_head,
         lambda normal: (2 * normal((2, 3, 7)), normal((2, 3, 7, 4)), normal(2), normal((2, 4))),
         (0, 1, 2, 3), (), {"X": SYMBOLS}),
    Case("attention-no-heads", attention, lambda *args: oracles.attention(*args)[0],
         lambda normal: (normal((5, 4)), normal((7, 4)), normal((7, 3))), (0, 1, 2), ()),
    heads("heads", 5, 7, 3, 3),
    heads("grouped", 5, 7, 6, 2),
    heads("one-key-head", 5, 7, 4, 1),
    heads("one-query", 1, 7, 2, 2),
    heads("causal", 6, 6, 2, 2, causal=True),
    heads("top-left", 5, 7, 2, 2, causal="top-left"),
    heads("top-left-few-keys", 7, 5, 2, 2, causal="top-left"),
    heads("bottom-right", 5, 7, 2, 2, causal="bottom-right"),
    heads("bottom-right-few-keys", 7, 5, 2, 2, causal="bottom-right"),
    heads("mask", 5, 7, 2, 2, mask=SOME),
    heads("mask-keys", 5, 7, 2, 2, mask=SOME[0]),
    heads("mask-per-head", 5, 7, 4, 2, mask=PER_HEAD),
    heads("mask-added", 5, 7, 4, 4, mask=ADDED),
    heads("mask-and-causal", 5, 7, 4, 2, mask=SOME, causal="bottom-right"),
    heads("scale", 5, 7, 2, 2, scale=1.5),
    heads("softcap", 5, 7, 2, 2, scale=2.0, softcap=1.5),
    heads("everything", 5, 7, 4, 2, mask=ADDED, causal="bottom-right", scale=-1.5, softcap=2.0),
]
CASES += [replace(case, name=case.name.replace("attention", "attention_blocked"), op=attention_blocked,
                  oracle=lambda *args, block, **kw: oracles.attention(*args, **kw)[0],
                   options=case.options | {"block": 2})
          for case in CASES if case.op is attention]
