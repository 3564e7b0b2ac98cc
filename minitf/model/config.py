"""What a model is: `ModelConfig` names a function class.

Its arrays are in `parameters`, its formulas in `rows`.
"""
import math
from dataclasses import dataclass, fields, replace

from minitf.checks import choice, integer, real, require
from minitf.ops import ACTIVATIONS

CHOICES = {
    "heads": ("sum-pre", "sum-out", "concat"),
    "activation": tuple(ACTIVATIONS),
    "block": ("tf", "gpt", "mlp"),
    "positions": ("learned", "onehot", "sign", "sinusoidal"),
    "values": ("learned", "bit"),
    "query": ("q", "combined", "factored"),
    "norm": ("none", "ball", "layer"),
    "input": ("bits", "tokens"),
}
LOWEST = {"T": 1, "V": 2, "H": 0, "d": 1, "d_v": 1, "d_o": 0, "L": 1, "d_ff": 0,
          "position_seed": 0}
MOST_LAYERS = 10_000
BOUNDS = ("radius", "bound", "C_2", "C_21", "B_w")


@dataclass(frozen=True)
class ModelConfig:
    """Shape and function class of a model: `paper`, `scalar`, `network`, `gpt`, `mlp` make them.

    T positions; V symbols; H heads of value width d_v; d token width; d_o columns of W_C (0: no
    W_C); L layers.

    heads      "sum-pre", "sum-out" or "concat": how heads are combined (see minitf.model.rows)
    activation sigma: "identity", "relu" or "gelu"
    positions  "learned": E, P, x_cls are trained.  Otherwise they are fixed, E_0, E_1, .. and x_cls
               orthonormal and at right angles to the P_t of length 1: "onehot" (orthonormal,
               d = T + V + 1), "sign" (random +-1/sqrt(d_P), drawn from position_seed) or
               "sinusoidal", of width d_P = d - V - 1
    values     "learned": W_V is trained.  "bit": W_V = E_1, so that the value is the bit; q lies in
               the span of the P_t
    query      "q" (of one layer: q = W_QK x_cls), "combined" (W_QK) or "factored"
               (W_QK = W_K W_Q^T)
    norm       between layers: "none", "ball" (rows projected onto the unit ball) or "layer"
    residual   whether a layer adds what came in
    block      "tf" of the paper, "gpt" (norm first, query scale 1/sqrt(d_v), biases, an MLP of
               width d_ff) or "mlp" (no attention: L layers of d_ff units on the bits; H = 0)
    input      "bits", or "tokens": X is tokens (m, T, d), and no E, P, x_cls exist
    radius     bound on ||q||_1 of every head, q = W_QK x_cls; math.inf: none
    C_2, C_21  bounds on ||W_QK||_2, ||W_V||_2, ||W_C||_2, and on ||W_V||_{2,1}, ||W_C||_{2,1}
    B_w        bound on ||w||_2
    bound      bound on every |w_j| and on |c|
    """
    T: int
    V: int = 2
    H: int = 1
    d: int = 64
    d_v: int = 8
    d_o: int = 0
    heads: str = "sum-pre"
    activation: str = "identity"
    positions: str = "learned"
    radius: float = math.inf
    bound: float = math.inf
    L: int = 1
    d_ff: int = 0
    block: str = "tf"
    query: str = "q"
    values: str = "learned"
    norm: str = "none"
    residual: bool = False
    input: str = "bits"
    C_2: float = math.inf
    C_21: float = math.inf
    B_w: float = math.inf
    position_seed: int = 0

    def __post_init__(self):
        for name, low in LOWEST.items():
            high = MOST_LAYERS if name == "L" else 2 ** 40
            object.__setattr__(self, name, integer(name, getattr(self, name), low, high))
        for name, options in CHOICES.items():
            choice(name, getattr(self, name), options)
        for name in BOUNDS:
            value = real(name, getattr(self, name), "a number > 0", lambda r: r > 0)
            object.__setattr__(self, name, value)
        boolean = isinstance(self.residual, bool)
        require(boolean, "residual", "True or False", self.residual, TypeError)
        {"tf": self._check_tf, "gpt": self._check_gpt, "mlp": self._check_mlp}[self.block]()

    def _check_tf(self):
        self._allow(self.H >= 1, "H", "an integer >= 1")
        self._allow(self.d_ff == 0, "d_ff", "0 with block tf")
        self._allow(self.L == 1 or self.query != "q", "query", "combined or factored with L > 1")
        fits = self.d_o == self.d or (self.L == 1 and not self.residual)
        self._allow(fits, "d_o", f"d = {self.d} with L > 1 or residual")
        if self.input == "tokens":
            self._allow(self.query != "q", "query", "combined or factored with input tokens")
            learned = self.positions == "learned"
            self._allow(learned, "positions", "learned with input tokens, which have none")
        if self.values == "bit":
            self._allow(self.positions != "learned", "values", "learned with positions learned")
            fits = (self.V, self.d_v, self.query, self.residual) == (2, 1, "q", False)
            self._allow(fits, "values", "V = 2, d_v = 1, query q and no residual with bit")
        self._check_positions()

    def _check_gpt(self):
        same = {"heads": "concat", "query": "factored", "values": "learned", "input": "bits",
                "d_o": self.d, **dict.fromkeys(BOUNDS, math.inf)}
        for name, value in same.items():
            self._allow(getattr(self, name) == value, name, f"{value} with block gpt")
        fits = self.H >= 1 and self.H * self.d_v == self.d
        self._allow(fits, "H", f"d / d_v = {self.d} / {self.d_v} with block gpt")
        self._check_positions()

    def _check_mlp(self):
        own = {"T", "L", "d_ff", "activation", "block", "H"}
        for field in fields(self):
            if field.name not in own:
                usual = getattr(self, field.name) == field.default
                self._allow(usual, field.name, f"{field.default} with block mlp")
        self._allow(self.H == 0, "H", "0 with block mlp")
        self._allow(self.d_ff >= 1, "d_ff", "an integer >= 1 with block mlp")

    def _check_positions(self):
        width = self.d - self.V - 1
        if self.positions == "onehot":
            d = self.T + self.V + 1
            self._allow(width == self.T, "positions", f"d = T + V + 1 = {d} with onehot")
        elif self.positions != "learned":
            even = width >= 2 and width % 2 == 0
            self._allow(even, "d", f"V + 1 = {self.V + 1} and an even number >= 2")

    def _allow(self, condition, name, expected):
        require(condition, name, expected, getattr(self, name))

    @classmethod
    def paper(cls, T, k=3, *, H=1, radius=None):
        """The bounded class: one-hot positions, value = the bit, logit = w r + c, balls for k bits.

        ||q||_1 <= k (log T + 4),   |w|, |c| <= 16 k
        k is the sparsity that the class is sized for, 3 unless given. The radius suffices for
        attention 1 - e^-4 on k positions. Source: the construction of sparse functions in section 4
        of the paper.
        """
        T, k = integer("T", T, 1), integer("k", k, 1)
        radius = k * (math.log(T) + 4) if radius is None else radius
        return cls(T=T, H=H, d=T + 3, d_v=1, positions="onehot", values="bit", radius=radius,
                   bound=16.0 * k)

    @classmethod
    def scalar(cls, T, *, H=16, d=64, d_o=256, radius=math.inf):
        """An unconstrained tf-scalar: H heads of d/H values, side by side, and d_o ReLUs."""
        return cls(T=T, H=H, d=d, d_v=divided(d, H), d_o=d_o, heads="concat", activation="relu",
                   radius=radius)

    @classmethod
    def network(cls, T, *, L=2, H=1, d=35, d_v=16, C_2=4.0, C_21=16.0, B_w=4.0,
                positions="sinusoidal", **options):
        """The L-layer class of the paper:  g <- Pi(sigma(Pi(A g W_V)) W_C).

        Pi projects rows onto the unit ball. Tokens are fixed and at most sqrt(2) long; of W_QK
        (rows), W_V and W_C (columns) the spectral norms are at most C_2 and the (2,1) norms at most
        C_21; ||w||_2 <= B_w. Source: section 4 of the paper.
        """
        known = {"query": "combined", "activation": "relu", "norm": "ball", "radius": C_21}
        return cls(T=T, L=L, H=H, d=d, d_v=d_v, d_o=d, C_2=C_2, C_21=C_21, B_w=B_w,
                   positions=positions, **{**known, **options})

    @classmethod
    def gpt(cls, T, *, L=1, H=4, d=64, d_ff=None, **options):
        """minGPT without causal mask and dropout: pre-norm blocks, residuals, read at [CLS].

        H heads of width d/H, query but no key bias, a GELU MLP of width d_ff (4 d unless given),
        learned positions. Source: Radford et al. 2019; Karpathy 2020 (minGPT).
        """
        known = {"norm": "layer", "residual": True, "activation": "gelu", "heads": "concat",
                 "query": "factored"}
        d_v, d_ff = divided(d, H), 4 * d if d_ff is None else d_ff
        return cls(T=T, L=L, H=H, d=d, d_v=d_v, d_o=d, d_ff=d_ff, block="gpt",
                   **{**known, **options})

    @classmethod
    def mlp(cls, T, *, L=1, d_ff=256, activation="relu"):
        """A perceptron on the bits, L hidden layers of d_ff units: the contrast, no attention."""
        return cls(T=T, L=L, H=0, d_ff=d_ff, block="mlp", activation=activation)

    @property
    def is_paper(self):
        """Whether this is the bounded class with one head, of any radius and bound."""
        return self == replace(ModelConfig.paper(self.T, radius=self.radius), bound=self.bound)

    @property
    def width(self):
        """Width of the combined heads, before W_C."""
        return self.d_v if self.heads == "sum-pre" else self.H * self.d_v

    @property
    def scale(self):
        """What scores are multiplied by."""
        return 1 / math.sqrt(self.d_v) if self.block == "gpt" else 1.0


def divided(d, H):
    """d / H, whole."""
    require(integer("d", d, 1) % integer("H", H, 1) == 0, "H", f"a divisor of d = {d}", H)
    return d // H
