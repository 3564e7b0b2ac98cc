"""Sparse Boolean functions of long bit strings."""
from minitf.tasks.packed import Packed, bits, examples
from minitf.tasks.rules import (
                                KINDS,
                                balanced_p,
                                count_ones,
                                flips,
                                labels_by_count,
                                mean_label,
                                ones_by_count,
                                truth_table,
)
from minitf.tasks.samples import BooleanTask, sample_task
from minitf.tasks.supports import consistent_supports, is_checkable
