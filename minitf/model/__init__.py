"""Functions of bits, the ordinary way: the definition."""
from minitf.model.config import ModelConfig
from minitf.model.gpt import mlp_block
from minitf.model.layers import cls_attention, cls_heads, readout
from minitf.model.mlp import mlp
from minitf.model.parameters import constraints, init_params, same_shapes, shapes
from minitf.model.rows import before, layer_of, named, normed, per_head, queries
from minitf.model.tokens import (embedded, examples_of, fixed_parts, position_table, positions,
                                 symbols)
