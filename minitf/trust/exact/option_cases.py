"""The golden cases of attention's options: sinks, bias, lse, windows, segments, keep; its
derivatives along tangents, twice; RoPE and QK-norm."""
import numpy as np

from minitf.trust.exact.attention_cases import EMPTY, PER_HEAD, SLOPES, SOME, added, heads, race
from minitf.trust.exact.cases import normal

ROWS, KEYS = np.arange(5), np.arange(7)
NONE = np.zeros((5, 7), bool)
CORNERS = "top-left", "bottom-right"


def sinks(size=0.0, H=2):
    """Draw a sink for every head, near a size."""
    return lambda rng: size + rng.standard_normal(H)


def dropped(*shape, p=0.25):
    """Draw a dropout mask: 0, or 1 / (1 - p)."""
    return lambda rng: np.where(rng.random(shape) < p, 0.0, 1 / (1 - p))


# ---- sinks ---------------------------------------------------------------------------------------

heads("sinks", "sinks", more={"sinks": sinks()})
for size, scale in (20, 1.0), (100, 1.0), (30, -1.0):
    heads(f"sinks-{scale * size:g}", "sinks", scores=race(size - 3 * scale), scale=scale,
          more={"sinks": sinks(scale * size)})
heads("sinks-empty", "sinks", mask=EMPTY, more={"sinks": sinks()})
heads("sinks-none-left", "sinks", mask=NONE, more={"sinks": sinks()})
heads("sinks-no-keys", "sinks", Tk=0, more={"sinks": sinks()})
heads("sinks-no-heads", "sinks", H=0, lead=(), more={"sinks": np.array(0.5)})
heads("sinks-grouped", "sinks", H=4, G=2, more={"sinks": sinks(H=4)})
heads("sinks-causal", "sinks", causal="top-left", more={"sinks": sinks()})
heads("sinks-decode", "sinks", Tq=1, causal="bottom-right", more={"sinks": sinks(1.0)})
heads("sinks-softcap", "sinks", softcap=1.5, scale=2.0, more={"sinks": sinks()})
heads("sinks-mask-added", "sinks", mask=added(SOME), more={"sinks": sinks()})
heads("sinks-race", "sinks", scores=race(1e2), scale=1.0, more={"sinks": sinks(1e2)})

# ---- bias ----------------------------------------------------------------------------------------

SHAPES = {"one": (1, 1, 5, 7), "heads": (1, 2, 5, 7), "examples": (2, 1, 5, 7), "all": (2, 2, 5, 7),
          "keys": (1, 1, 1, 7)}
for name, shape in SHAPES.items():
    heads(f"bias-{name}", "bias", more={"bias": normal(*shape)})
heads("bias-slopes", "bias", more={"bias": SLOPES})
heads("bias-mask", "bias", mask=SOME, more={"bias": normal(1, 2, 5, 7)})
heads("bias-mask-added", "bias", mask=added(EMPTY), more={"bias": normal(2, 1, 5, 7)})
heads("bias-empty", "bias", mask=EMPTY, more={"bias": normal(1, 1, 5, 7)})
heads("bias-causal", "bias", causal="bottom-right", more={"bias": normal(1, 2, 5, 7)})
heads("bias-grouped", "bias", H=4, G=2, more={"bias": normal(1, 4, 5, 7)})
heads("bias-softcap", "bias", softcap=1.5, scale=2.0, more={"bias": normal(2, 2, 5, 7)})
heads("bias-scale0", "bias", scale=0.0, more={"bias": normal(1, 2, 5, 7)})
heads("bias-no-heads", "bias", H=0, lead=(), more={"bias": normal(5, 7)})
heads("bias-sinks", "bias", more={"bias": normal(1, 2, 5, 7), "sinks": sinks()})

# ---- lse -----------------------------------------------------------------------------------------

heads("lse", "lse", lse=True)
heads("lse-causal", "lse", causal="top-left", lse=True)
heads("lse-decode", "lse", Tq=1, causal="bottom-right", lse=True)
heads("lse-grouped", "lse", H=4, G=2, lse=True)
heads("lse-empty", "lse", mask=EMPTY, lse=True)
heads("lse-no-keys", "lse", Tk=0, lse=True)
heads("lse-mask-added", "lse", mask=added(SOME), lse=True)
heads("lse-softcap", "lse", softcap=1.5, scale=2.0, lse=True)
heads("lse-bias", "lse", lse=True, more={"bias": normal(1, 2, 5, 7)})
heads("lse-sinks", "lse", lse=True, more={"sinks": sinks()})
heads("lse-sinks-empty", "lse", mask=EMPTY, lse=True, more={"sinks": sinks()})
heads("lse-sinks-none-left", "lse", mask=NONE, lse=True, more={"sinks": sinks()})
heads("lse-race", "lse", scores=race(1e3), scale=1.0, lse=True)

# ---- windows -------------------------------------------------------------------------------------

for corner in CORNERS:
    for left, right in (1, 0), (0, 1), (2, None), (None, 1), (1, 1):
        name = f"window-{corner}-{left}-{right}".replace("None", "all")
        heads(name, "windows", window=[left, right, corner])
    heads(f"window-{corner}-few-keys", "windows", Tq=9, Tk=4, window=[1, 1, corner])
heads("window-square", "windows", Tq=6, Tk=6, window=[1, 2])
heads("window-causal", "windows", causal="bottom-right", window=[2, None])
heads("window-causal-both", "windows", Tq=6, Tk=6, causal=True, window=[2, 2])
heads("window-mask-empty", "windows", mask=EMPTY, window=[1, 1, "top-left"])
heads("window-grouped", "windows", H=4, G=2, window=[2, 1, "bottom-right"])
heads("window-softcap", "windows", softcap=1.5, window=[1, 1, "bottom-right"])
heads("window-sinks", "windows", Tq=9, Tk=4, window=[1, 0, "top-left"], more={"sinks": sinks()})
heads("window-lse", "windows", Tq=9, Tk=4, window=[1, 0, "top-left"], lse=True)

# ---- segments ------------------------------------------------------------------------------------

PACKED = {"q_ids": np.array([[0, 0, 1, 1, 2], [0, 1, 1, 1, 1]]),
          "k_ids": np.array([[0, 0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 1, 1, 1]])}
# 3 has no key, and 2 has
ABSENT = {"q_ids": np.array([[0, 0, 1, 1, 3], [0, 1, 2, 2, 2]]),
          "k_ids": np.array([[0, 0, 0, 1, 1, 2, 2], [0, 0, 2, 2, 4, 4, 4]])}         # no query
SAME = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 2]])
heads("segments", "segments", more=PACKED)
heads("segments-absent", "segments", more=ABSENT)
heads("segments-shared", "segments",
      more={"q_ids": PACKED["q_ids"][:1], "k_ids": PACKED["k_ids"][:1]})
heads("segments-no-heads", "segments", H=0, lead=(),
      more={name: x[0] for name, x in ABSENT.items()})
heads("segments-grouped", "segments", H=4, G=2, more=PACKED)
heads("segments-causal", "segments", Tq=6, Tk=6, causal=True, more={"q_ids": SAME, "k_ids": SAME})
heads("segments-window", "segments", Tq=6, Tk=6, window=[1, 1], more={"q_ids": SAME, "k_ids": SAME})
heads("segments-mask", "segments", mask=SOME, more=ABSENT)
heads("segments-sinks", "segments", more={"sinks": sinks(), **ABSENT})
heads("segments-bias", "segments", more={"bias": normal(1, 2, 5, 7), **PACKED})
heads("segments-lse", "segments", lse=True, more=ABSENT)

# ---- keep ----------------------------------------------------------------------------------------

heads("keep", "keep", more={"keep": dropped(2, 2, 5, 7)})
heads("keep-half", "keep", more={"keep": dropped(2, 2, 5, 7, p=0.5)})
heads("keep-real", "keep", more={"keep": normal(5, 7, f=np.exp)})
heads("keep-causal", "keep", causal="top-left", more={"keep": dropped(2, 2, 5, 7)})
heads("keep-empty", "keep", mask=EMPTY, more={"keep": dropped(2, 2, 5, 7)})
heads("keep-grouped", "keep", H=4, G=2, more={"keep": dropped(2, 4, 5, 7)})
heads("keep-sinks", "keep", more={"sinks": sinks(), "keep": dropped(2, 2, 5, 7)})
heads("keep-lse", "keep", lse=True, more={"keep": dropped(2, 2, 5, 7)})
heads("keep-bias", "keep", more={"bias": normal(1, 2, 5, 7), "keep": dropped(2, 2, 5, 7)})

# ---- everything ----------------------------------------------------------------------------------

heads("options-some", "options", H=4, G=2, window=[3, 2, "bottom-right"], softcap=2.0, scale=-1.5,
      lse=True, mask=added(PER_HEAD), more={"bias": normal(1, 4, 5, 7), "sinks": sinks(H=4)})
heads("options-all", "options", H=4, G=2, dv=3, causal="bottom-right", window=[4, None],
      softcap=2.0,
      lse=True, mask=SOME, more={"bias": normal(2, 1, 5, 7), "sinks": sinks(H=4), **ABSENT,
                                 "keep": dropped(2, 4, 5, 7)})

# ---- along tangents ------------------------------------------------------------------------------

WAYS = {"": {}, "-causal": {"causal": "bottom-right"}, "-mask-empty": {"mask": EMPTY},
        "-softcap": {"softcap": 1.5, "scale": 2.0}, "-grouped": {"H": 4, "G": 2},
        "-window": {"window": [1, 1, "top-left"]}, "-bias": {"bias": (1, 2, 5, 7)},
        "-sinks": {"sinks": True}, "-segments": {"ids": ABSENT}, "-keep": {"keep": True}}


def tangents(name, op, bias=None, sinks=False, ids=None, keep=False, **options):
    """A case with a tangent of every argument, and for a Hessian-vector product a cotangent."""
    H, G = options.get("H", 2), options.get("G") or options.get("H", 2)
    shapes = {"q": (2, H, 5, 4), "k": (2, G, 7, 4), "v": (2, G, 7, 4)}
    shapes |= ({"bias": bias} if bias else {}) | ({"sinks": (H,)} if sinks else {})
    more = {name: normal(*shape) for name, shape in shapes.items() if name in ("bias", "sinks")}
    more |= (ids or {}) | ({"keep": dropped(2, H, 5, 7)} if keep else {})
    more |= {f"{name}_dot": normal(*shape) for name, shape in shapes.items()}
    more |= {"dout": normal(2, H, 5, 4)} if op == "attention_hvp" else {}
    heads(name, "tangents" if op == "attention_tangent" else "second derivatives", op=op, more=more,
          **options)


for name, way in WAYS.items():
    tangents(f"tangent{name}", "attention_tangent", **way,
             **({"lse": True} if name in ("", "-causal", "-mask-empty", "-sinks", "-bias") else {}))
    tangents(f"hvp{name}", "attention_hvp", **way)

# ---- composites ----------------------------------------------------------------------------------

for pairing in "interleaved", "halves":
    heads(f"rope-{pairing}", "composites", op="attention_rope", pairing=pairing)
    heads(f"rope-{pairing}-causal", "composites", op="attention_rope", pairing=pairing, Tq=6, Tk=6,
          H=4, G=2, causal=True, base=500.0)
for name, way in {"": {}, "-causal": {"causal": "top-left"}, "-grouped": {"H": 4, "G": 2}}.items():
    heads(f"qk-norm{name}", "composites", op="attention_qk_norm",
          more={"gain_q": normal(4), "gain_k": normal(4)}, **way)
