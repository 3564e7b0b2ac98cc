"""What training returns: a `Result` predicts, shows its attention, says its rule, is saved."""
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from os import PathLike

import numpy as np

from minitf.checks import bits as zeros_and_ones
from minitf.checks import checked, flag, instance, integer, require, shape, values
from minitf.fast import bits_alone, blocks, predictor
from minitf.files import load_arrays, save_arrays
from minitf.learn.rule import exact_rule, read_rule
from minitf.model import ModelConfig, readout, same_shapes, shapes
from minitf.ops import sigmoid
from minitf.projections import reals
from minitf.tasks import bits

LARGEST = 1 << 26       # entries of fixed positions, T x d, that a file may ask for


def logits_of(params, X, model):
    """Logits (m,) of examples X (m, T), computed in blocks of rows."""
    return in_blocks(predictor(params, model), X, model)


def with_negations(X):
    """The bits X (m, T) and their complements, (m, 2 T)."""
    X = np.asarray(X)
    return np.concatenate([X, 1 - X], axis=1)


def read_bits(X, names=None):
    """Bits X, and the names of the columns where X is a data frame: of those, where names are
    given, the columns so named."""
    columns = getattr(X, "columns", None)
    if columns is None:
        return bits("X", X), None
    require(len({str(name) for name in columns}) == len(columns), "X", "no column name twice",
            list(columns))
    columns = {str(name): name for name in columns}
    wanted = list(columns) if names is None else names
    missing = [name for name in wanted if name not in columns]
    require(not missing, "X", f"columns {', '.join(missing[:5])}", list(columns))
    # one by one: as a whole, bools and ints are objects
    read = [zeros_and_ones(f"X, column {name}", X[columns[name]], ndim=1) for name in wanted]
    return np.stack(read, axis=1), wanted


def in_blocks(predict, X, model):
    """predict(X) in blocks of rows."""
    return np.concatenate([predict(X[rows]) for rows in blocks(len(X), model)])


@dataclass(frozen=True)
class Result:
    """A trained model. history is a dict of arrays, "step" and "loss"; residual says how far the
    end is from stationary: ||x - P(x - g)|| for the gradient g of the mean training loss
    (minitf.optim). `save` keeps the rest.

    Over the training rows: frequency (T,) is the share of ones at every position, weights (H, T)
    the mean attention, shares (H,) how much of the logit each head moves (fast.head_shares).
    negations: the model reads 2 T bits, the T columns of a row and then their complements. Rows are
    given, and positions named, by the T columns; params, model, weights, frequency are of 2 T.
    """
    params: dict = field(repr=False)
    model: ModelConfig
    weights: np.ndarray = field(repr=False)
    shares: np.ndarray = field(repr=False)
    frequency: np.ndarray = field(repr=False)
    history: dict = field(default_factory=dict, repr=False)
    residual: float | None = None
    header: dict = field(default_factory=dict)
    negations: bool = False

    def __post_init__(self):
        flag("negations", self.negations)
        H, T = instance("model", self.model, ModelConfig).H, self.model.T
        same_shapes("params", values(reals)("params", self.params), shapes(self.model))
        for name, of in ("weights", (H, T)), ("shares", (H,)), ("frequency", (T,)):
            shape(name, reals(name, getattr(self, name)), of)

    @property
    def T(self):
        """The number of columns of a row."""
        return self.model.T // 2 if self.negations else self.model.T

    def logits(self, X):
        """Logits (m,) of examples X (m, T)."""
        X = read_bits(X, self.names)[0]
        shape("X", X, (None, self.T))
        return self.model_logits(with_negations(X) if self.negations else X)

    def model_logits(self, X):
        """Logits (m,) of what the model itself reads, X (m, model.T)."""
        X = bits("X", X)
        shape("X", X, (None, self.model.T))
        return in_blocks(self._predictor, X, self.model)

    @cached_property
    def _predictor(self):
        return predictor(self.params, self.model)

    def predict(self, X):
        """Labels (m,) uint8: 1 where the logit is above 0."""
        return (self.logits(X) > 0).astype(np.uint8)

    def predict_proba(self, X):
        """Probability of label 1 (m,)."""
        return sigmoid(self.logits(X))

    def attention(self):
        """Attention of every head on every position, averaged over the training rows: (H, T). A
        column and its complement share a place."""
        return self.weights.reshape(len(self.weights), self.model.T // self.T, self.T).sum(axis=1)

    def strength(self):
        """How strong every position is (T,): its attention, the mean over heads by their shares;
        without attention, its influence."""
        return self.shares @ self.attention() if self.model.H else self.influence()

    def support(self, k):
        """The k strongest positions, in increasing order."""
        k = integer("k", k, 1, self.T)
        order = np.argsort(-self.strength(), kind="stable")
        return tuple(sorted(int(t) for t in order[:k]))

    def influence(self, rows=256, seed=0):
        """How often the prediction changes with each bit, over random rows: (T,).

        The rows have independent bits with the training frequencies, drawn from `seed`. Cost: T
        forward passes.
        """
        rng = np.random.default_rng(integer("seed", seed, 0))
        size = integer("rows", rows, 1, 2 ** 30), self.T
        X = (rng.random(size) < self.frequency[:self.T]).astype(np.uint8)
        base, rates = self.predict(X), np.empty(self.T)
        for t in range(self.T):
            X[:, t] ^= 1
            rates[t] = (self.predict(X) != base).mean()
            X[:, t] ^= 1
        return rates

    def affine(self):
        """c and v (T,) with logit = c + v . b, where the model is such a function; else None."""
        if not bits_alone(self.model) or (self.model.d_o and self.model.activation != "identity"):
            return None
        heads = np.vstack([np.zeros(self.model.H), np.eye(self.model.H)])[..., None]
        logits = readout(self.params, heads, None, self.model)[0]
        c, v = logits[0], (logits[1:] - logits[0]) @ self.weights
        return (c + v[self.T:].sum(), v[:self.T] - v[self.T:]) if self.negations else (c, v)

    def rule(self, X=None):
        """The Rule that the model holds (minitf.learn.rule): exact on every input if it can be.

        Otherwise None, or with rows X (m, T), labels not needed, the rule read off every other row
        and the number of the rest on which the model differs.
        """
        if X is not None:
            X = np.asarray(read_bits(X, self.names)[0])
            shape("X", X, (None, self.T))
        line = self.affine()
        rule = None if line is None else exact_rule(line[1], line[0], self.names)
        if rule is not None or X is None:
            return rule
        return read_rule(self.predict, X, self.strength(), self.names)

    @property
    def names(self):
        """The names of the T columns, where the header has them, else None."""
        names = self.header.get("names")
        return tuple(names) if names is not None and len(names) == self.T else None

    @checked
    def save(self, path: str | PathLike, **header):
        """Write the model to an `.npz` file, whole or not at all; extra header entries (JSON
        values) go with it."""
        arrays = {f"params/{name}": value for name, value in self.params.items()}
        model = {name: None if value == math.inf else value
                 for name, value in asdict(self.model).items()}
        header = {**self.header, **header, "model": model}              # JSON knows no infinity
        header |= {"negations": True} if self.negations else {}
        means = {"weights": self.weights, "shares": self.shares, "frequency": self.frequency}
        save_arrays(path, {**arrays, **means}, **header)


def check_header(header, T):
    """Refuse entries that `names` and `minitf predict` could not work with."""
    names, rule = header.get("names") or [], header.get("rule")
    require(isinstance(names, list), "names", "a list", names, TypeError)
    for text in [*names, header.get("label") or "", header.get("positive") or ""]:
        require(isinstance(text, str), "names, label, positive", "texts", text, TypeError)
    if rule is not None:
        for t in rule["columns"]:
            integer("columns", t, 0, T - 1)
        table = zeros_and_ones("table", rule["table"], ndim=1)
        shape("table", table, (1 << min(len(rule["columns"]), 20),))


@checked
def load(path: str | PathLike):
    """Read a Result that `save` wrote, without its history. Errors: ValueError for another or a
    damaged file."""
    arrays, header = load_arrays(path)
    try:
        model = {name: math.inf if value is None else value
                 for name, value in header.pop("model").items()}
        if model.pop("normalise", "softmax") != "softmax":      # a field of older files
            raise ValueError("its attention is not softmax")
        model, negations = ModelConfig(**model), header.pop("negations", False)
        require(negations is False or negations is True and model.T % 2 == 0, "negations",
                "true, of an even number of bits", negations)
        small = model.positions == "learned" or model.is_paper or model.T * model.d <= LARGEST
        require(small, "T", f"at most {LARGEST} entries of fixed positions", model.T)
        params = {name: arrays.pop(f"params/{name}") for name in shapes(model)}
        means = {"weights": (model.H, model.T), "shares": (model.H,), "frequency": (model.T,)}
        same_shapes("params", {**params, **arrays}, {**shapes(model), **means})
        values(reals)("params", {**params, **arrays})
        check_header(header, model.T // (1 + negations))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a minitf model file, or damaged ({error})") from None
    return Result(params, model, arrays["weights"], arrays["shares"], arrays["frequency"],
                  header=header, negations=negations)
