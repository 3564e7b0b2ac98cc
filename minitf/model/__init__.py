"""Functions of bits, the ordinary way: the definition."""
from minitf.model.config import ModelConfig
from minitf.model.forward import by_heads, forward, row_heads
from minitf.model.gpt import mlp_block
from minitf.model.layers import queries_keys, readout, rows_below
from minitf.model.mlp import mlp
from minitf.model.parameters import constraints, init_params, same_shapes, shapes
from minitf.model.rows import before, layer_of, named, normed, per_head, queries
from minitf.model.tokens import (
    complete,
    embedded,
    examples_of,
    positions,
    symbols,
)
