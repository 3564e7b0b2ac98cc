"""Types of the public names: arrays are ArrayLike going in and NDArray coming out."""
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, overload

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

_Array: TypeAlias = NDArray[Any]
_Params: TypeAlias = dict[str, _Array]
_Pullback1: TypeAlias = Callable[[ArrayLike], _Array]
_Pullback: TypeAlias = Callable[[ArrayLike], tuple[_Array, ...]]
_Path: TypeAlias = str | PathLike[str]
_Causal: TypeAlias = bool | Literal["top-left", "bottom-right"]
_Window: TypeAlias = tuple[int | None, int | None] | tuple[int | None, int | None, Literal["top-left", "bottom-right"]]
_Segments: TypeAlias = tuple[ArrayLike, ArrayLike]
_PullbackOfPair: TypeAlias = Callable[[tuple[ArrayLike, ArrayLike]], tuple[_Array, ...]]
_NormKind: TypeAlias = Literal["l1", "l2", "linf", "l21", "l21t", "l2inf", "l2inft", "l1inf", "linf1", "spectral", "nuclear"]
_TaskKind: TypeAlias = Literal["and", "or", "majority", "parity", "threshold", "symmetric", "junta"]

__version__: str
__bibtex__: str

# ops

def add(a: ArrayLike, b: ArrayLike) -> tuple[_Array, _Pullback]: ...
def linear(x: ArrayLike, W: ArrayLike, b: ArrayLike | None = None) -> tuple[_Array, _Pullback]: ...
def embed(index: ArrayLike, E: ArrayLike) -> tuple[_Array, _Pullback1]: ...
def softmax(S: ArrayLike) -> tuple[_Array, _Pullback1]: ...
def cap(x: ArrayLike, softcap: float | None) -> tuple[_Array, _Pullback1]: ...
def layer_norm(x: ArrayLike, gain: ArrayLike, bias: ArrayLike, *, eps: float = 1e-5) -> tuple[_Array, _Pullback]: ...
def unit_ball(x: ArrayLike) -> tuple[_Array, _Pullback1]: ...
def identity(x: ArrayLike) -> tuple[_Array, _Pullback1]: ...
def relu(x: ArrayLike) -> tuple[_Array, _Pullback1]: ...
def gelu(x: ArrayLike) -> tuple[_Array, _Pullback1]: ...
def sigmoid(z: ArrayLike) -> _Array: ...
def logistic(logits: ArrayLike, y: ArrayLike) -> tuple[_Array, _Pullback1]: ...
@overload
def attention(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, *,
    mask: ArrayLike | None = None, bias: ArrayLike | None = None, sinks: ArrayLike | None = None,
    causal: _Causal = False, window: _Window | None = None, segments: _Segments | None = None,
    keep: ArrayLike | None = None, scale: float | None = None, softcap: float | None = None,
    lse: Literal[False] = False,
) -> tuple[_Array, _Pullback]: ...
@overload
def attention(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, *,
    mask: ArrayLike | None = None, bias: ArrayLike | None = None, sinks: ArrayLike | None = None,
    causal: _Causal = False, window: _Window | None = None, segments: _Segments | None = None,
    keep: ArrayLike | None = None, scale: float | None = None, softcap: float | None = None,
    lse: Literal[True],
) -> tuple[tuple[_Array, _Array], _PullbackOfPair]: ...
def attention_weights(
    q: ArrayLike, k: ArrayLike, *,
    mask: ArrayLike | None = None, bias: ArrayLike | None = None, sinks: ArrayLike | None = None,
    causal: _Causal = False, window: _Window | None = None, segments: _Segments | None = None,
    scale: float | None = None, softcap: float | None = None,
) -> tuple[_Array, _Array]: ...
@overload
def attention_tangent(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, q_dot: ArrayLike, k_dot: ArrayLike, v_dot: ArrayLike, *,
    bias_dot: ArrayLike | None = None, sinks_dot: ArrayLike | None = None,
    mask: ArrayLike | None = None, bias: ArrayLike | None = None, sinks: ArrayLike | None = None,
    causal: _Causal = False, window: _Window | None = None, segments: _Segments | None = None,
    keep: ArrayLike | None = None, scale: float | None = None, softcap: float | None = None,
    lse: Literal[False] = False,
) -> tuple[_Array, _Array]: ...
@overload
def attention_tangent(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, q_dot: ArrayLike, k_dot: ArrayLike, v_dot: ArrayLike, *,
    bias_dot: ArrayLike | None = None, sinks_dot: ArrayLike | None = None,
    mask: ArrayLike | None = None, bias: ArrayLike | None = None, sinks: ArrayLike | None = None,
    causal: _Causal = False, window: _Window | None = None, segments: _Segments | None = None,
    keep: ArrayLike | None = None, scale: float | None = None, softcap: float | None = None,
    lse: Literal[True],
) -> tuple[tuple[_Array, _Array], tuple[_Array, _Array]]: ...
@overload
def attention_blocked(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, *,
    mask: ArrayLike | None = None, bias: ArrayLike | None = None, sinks: ArrayLike | None = None,
    causal: _Causal = False, window: _Window | None = None, segments: _Segments | None = None,
    keep: ArrayLike | None = None, scale: float | None = None, softcap: float | None = None,
    lse: Literal[False] = False, block: int | None = None,
) -> tuple[_Array, _Pullback]: ...
@overload
def attention_blocked(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, *,
    mask: ArrayLike | None = None, bias: ArrayLike | None = None, sinks: ArrayLike | None = None,
    causal: _Causal = False, window: _Window | None = None, segments: _Segments | None = None,
    keep: ArrayLike | None = None, scale: float | None = None, softcap: float | None = None,
    lse: Literal[True], block: int | None = None,
) -> tuple[tuple[_Array, _Array], _PullbackOfPair]: ...

# projections

class _ConvexSet(Protocol):
    """Anything that projects is a set."""
    def project(self, x: _Array) -> _Array: ...

class Ball:
    kind: _NormKind
    radius: float | _Array
    axes: Literal[1] | None
    def __init__(
        self, kind: _NormKind, radius: float | _Array, axes: Literal[1] | None = None,
    ) -> None: ...
    def norm(self, x: ArrayLike) -> Any: ...
    def support(self, g: ArrayLike) -> Any: ...
    def contains(self, x: ArrayLike) -> Any: ...
    def project(self, x: ArrayLike) -> _Array: ...
    def projection(self, x: ArrayLike) -> tuple[_Array, _Pullback1]: ...
    def lmo(self, g: ArrayLike) -> _Array: ...
    def gap(self, x: ArrayLike, p: ArrayLike) -> Any: ...

class Simplex:
    radius: float | _Array
    axes: Literal[1] | None
    def __init__(self, radius: float | _Array = 1.0, axes: Literal[1] | None = None) -> None: ...
    def support(self, g: ArrayLike) -> Any: ...
    def contains(self, x: ArrayLike) -> Any: ...
    def project(self, x: ArrayLike) -> _Array: ...
    def projection(self, x: ArrayLike) -> tuple[_Array, _Pullback1]: ...
    def lmo(self, g: ArrayLike) -> _Array: ...
    def gap(self, x: ArrayLike, p: ArrayLike) -> Any: ...

class Box:
    low: float | _Array
    high: float | _Array
    axes: Literal[1] | None
    def __init__(
        self, low: float | _Array = 0.0, high: float | _Array = ..., axes: Literal[1] | None = None,
    ) -> None: ...
    def support(self, g: ArrayLike) -> Any: ...
    def contains(self, x: ArrayLike) -> Any: ...
    def project(self, x: ArrayLike) -> _Array: ...
    def projection(self, x: ArrayLike) -> tuple[_Array, _Pullback1]: ...
    def lmo(self, g: ArrayLike) -> _Array: ...
    def gap(self, x: ArrayLike, p: ArrayLike) -> Any: ...

class Intersection:
    sets: tuple[Ball | Box | Simplex, ...]
    def __init__(self, sets: Sequence[Ball | Box | Simplex]) -> None: ...
    def contains(self, x: ArrayLike) -> Any: ...
    def project(self, x: ArrayLike) -> _Array: ...
    def project_certified(self, x: ArrayLike) -> tuple[_Array, Any, Any]: ...
    def gap(self, x: ArrayLike, p: ArrayLike) -> Any: ...

def norm(x: ArrayLike, kind: _NormKind) -> Any: ...
def dual_norm(x: ArrayLike, kind: _NormKind) -> Any: ...
def project(x: ArrayLike, set: _ConvexSet) -> _Array: ...

# tasks

class BooleanTask:
    kind: _TaskKind
    T: int
    k: int
    support: tuple[int, ...]
    table: tuple[int, ...]
    p: float
    noise: float
    def __init__(
        self, kind: _TaskKind, T: int, k: int, support: tuple[int, ...], table: tuple[int, ...], p: float, noise: float = 0.0,
    ) -> None: ...
    def label(self, X: ArrayLike) -> NDArray[np.uint8]: ...
    def sample(self, rng: Generator, m: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]: ...
    def blocks(self, rng: Generator, m: int, rows: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]: ...
    @property
    def label_probability(self) -> float: ...
    @property
    def chance(self) -> float: ...
    def influences(self) -> _Array: ...
    def sensitivity(self) -> Any: ...
    def average_sensitivity(self) -> float: ...
    def fourier(self) -> Any: ...

def sample_task(
    rng: Generator, kind: _TaskKind, T: int, k: int, *, level: int | None = None, table: Sequence[int] | None = None,
    p: float | None = None, noise: float = 0.0,
) -> BooleanTask: ...
def truth_table(
    kind: _TaskKind, k: int, level: int | None = None, table: Sequence[int] | None = None,
) -> tuple[int, ...]: ...
def consistent_supports(
    X: ArrayLike, y: ArrayLike, kind: _TaskKind, k: int, *, level: int | None = None, table: Sequence[int] | None = None,
    limit: int | None = 2,
) -> list[tuple[int, ...]]: ...

# model and fast

class ModelConfig:
    T: int
    V: int
    H: int
    d: int
    d_v: int
    d_o: int
    heads: str
    activation: str
    positions: str
    radius: float
    bound: float
    L: int
    d_ff: int
    block: str
    query: str
    values: str
    norm: str
    residual: bool
    input: str
    C_2: float
    C_21: float
    B_w: float
    position_seed: int
    def __init__(
        self, T: int, V: int = 2, H: int = 1, d: int = 64, d_v: int = 8, d_o: int = 0,
        heads: Literal["sum-pre", "sum-out", "concat"] = "sum-pre",
        activation: Literal["identity", "relu", "gelu"] = "identity",
        positions: Literal["learned", "onehot", "sign", "sinusoidal"] = "learned", radius: float = ..., bound: float = ...,
        L: int = 1, d_ff: int = 0, block: Literal["tf", "gpt", "mlp"] = "tf",
        query: Literal["q", "combined", "factored"] = "q", values: Literal["learned", "bit"] = "learned",
        norm: Literal["none", "ball", "layer"] = "none", residual: bool = False, input: Literal["bits", "tokens"] = "bits",
        C_2: float = ..., C_21: float = ..., B_w: float = ..., position_seed: int = 0,
    ) -> None: ...
    @classmethod
    def paper(cls, T: int, k: int = 3, *, H: int = 1, radius: float | None = None) -> ModelConfig: ...
    @classmethod
    def scalar(cls, T: int, *, H: int = 16, d: int = 64, d_o: int = 256, radius: float = ...) -> ModelConfig: ...
    @classmethod
    def network(
        cls, T: int, *, L: int = 2, H: int = 1, d: int = 35, d_v: int = 16, C_2: float = 4.0, C_21: float = 16.0,
        B_w: float = 4.0, positions: str = "sinusoidal", **options: Any,
    ) -> ModelConfig: ...
    @classmethod
    def gpt(
        cls, T: int, *, L: int = 1, H: int = 4, d: int = 64, d_ff: int | None = None, **options: Any,
    ) -> ModelConfig: ...
    @classmethod
    def mlp(cls, T: int, *, L: int = 1, d_ff: int = 256, activation: str = "relu") -> ModelConfig: ...
    @property
    def is_paper(self) -> bool: ...
    @property
    def width(self) -> int: ...
    @property
    def scale(self) -> float: ...

def init_params(rng: Generator, model: ModelConfig) -> _Params: ...
def constraints(model: ModelConfig) -> dict[str, Ball | Intersection]: ...
def forward(
    params: Mapping[str, ArrayLike], X: ArrayLike, model: ModelConfig, *, z: ArrayLike | None = None,
    path: Literal["fast", "general"] = "fast",
) -> tuple[_Array, Callable[[ArrayLike], _Params]]: ...
def mean_bit(A: ArrayLike, X: ArrayLike) -> tuple[_Array, _Pullback1]: ...
def cls_head(
    s: ArrayLike, v: ArrayLike, s_cls: ArrayLike, v_cls: ArrayLike, X: ArrayLike, rows: ArrayLike | None = None,
) -> tuple[_Array, _Pullback]: ...

# learn

class TrainConfig:
    method: Literal["auto", "pgd", "adam"]
    steps: int | None
    batch: int | None
    lr: float | None
    weight_decay: float | None
    radius: float | None
    restarts: int | None
    tol: float
    mirror: bool
    few: int | None
    def __init__(
        self, method: Literal["auto", "pgd", "adam"] = "auto", steps: int | None = None, batch: int | None = None,
        lr: float | None = None, weight_decay: float | None = None, radius: float | None = None,
        restarts: int | None = None, tol: float = 0.02, mirror: bool = True, few: int | None = 4000,
    ) -> None: ...

class Progress(NamedTuple):
    step: int
    loss: float
    params: object
    note: str = ""

class Result:
    params: _Params
    model: ModelConfig
    weights: _Array
    shares: _Array
    frequency: _Array
    history: dict[str, _Array]
    residual: float | None
    header: dict[str, Any]
    negations: bool
    def __init__(
        self, params: _Params, model: ModelConfig, weights: _Array, shares: _Array, frequency: _Array,
        history: dict[str, _Array] = ..., residual: float | None = None, header: dict[str, Any] = ...,
        negations: bool = False,
    ) -> None: ...
    @property
    def T(self) -> int: ...
    @property
    def names(self) -> tuple[str, ...] | None: ...
    def model_logits(self, X: ArrayLike) -> _Array: ...
    def affine(self) -> tuple[float, _Array] | None: ...
    def rule(self, X: ArrayLike | None = None) -> Any: ...
    def logits(self, X: ArrayLike) -> _Array: ...
    def predict(self, X: ArrayLike) -> NDArray[np.uint8]: ...
    def predict_proba(self, X: ArrayLike) -> _Array: ...
    def attention(self) -> _Array: ...
    def strength(self) -> _Array: ...
    def support(self, k: int) -> tuple[int, ...]: ...
    def influence(self, rows: int = 256, seed: int = 0) -> _Array: ...
    def save(self, path: _Path, **header: Any) -> None: ...

def fit(
    X: ArrayLike, y: ArrayLike, model: ModelConfig | None = None, rng: Generator | None = None, *, train: TrainConfig = ...,
    params: Mapping[str, ArrayLike] | None = None, sets: Mapping[str, _ConvexSet] | None = None,
    callback: Callable[[Progress], object] | None = None, negations: bool = False,
) -> Result: ...
def load(path: _Path) -> Result: ...

# theory

def construct(
    task: BooleanTask, eps: float = 0.05, *, form: str | None = None, positions: str = "onehot", d_P: int | None = None,
    position_seed: int = 0,
) -> tuple[_Params, ModelConfig, Any]: ...
def certify(
    result: Result, X: ArrayLike, y: ArrayLike, delta: float = 0.05, *, k: int | None = None,
    train_again: Callable[[_Array, _Array], Result] | None = None, prefix: bool = True, rows: ArrayLike | None = None,
    logits: ArrayLike | None = None, independent: bool = False,
) -> Any: ...
def rademacher_lower(
    X: ArrayLike, c: Any, rng: Generator, *, signs: int = 60, steps: int = 50, starts: int = 4, delta: float = 0.05,
) -> Any: ...

# trust

def check_pullback(
    op: Callable[..., Any], args: Sequence[Any], rng: Generator, *, wrt: Sequence[int] | None = None, method: str = "auto",
    tol: float | None = None,
) -> Any: ...
def golden_cases(
    operator: str | None = None, *, tags: Iterable[str] = (), without: Iterable[str] = (),
) -> list[Any]: ...
def judge(
    case: Any, kernel: Any = None, *, found: Any = None, dtype: str = "float64", layout: str = "bhtd",
    array: Callable[[NDArray[Any]], Any] | None = None,
) -> Any: ...
def projection_gap(x: ArrayLike, p: ArrayLike, set: Any) -> Any: ...
def saved(pullback: Callable[..., Any]) -> dict[str, Any]: ...
