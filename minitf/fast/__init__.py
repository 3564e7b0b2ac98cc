"""The same numbers sooner, by exact identities."""
from minitf.fast.cls_head import cls_head, mean_bit, one_hot
from minitf.fast.forward import (
    attention_of,
    bits_alone,
    blocks,
    forward,
    head_shares,
    predictor,
)
from minitf.fast.step import mean_gradient, on_vectors
from minitf.fast.tables import bit_weights, position_table, sought, whole
