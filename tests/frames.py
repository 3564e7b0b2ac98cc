"""A table with the little of a data frame that minitf asks for."""
import numpy as np


class Frame:
    """What a data frame has: columns with names, read by name, an array of all."""

    def __init__(self, **columns):
        self.data, self.columns = columns, list(columns)

    def __getitem__(self, names):
        return self.data[names] if isinstance(names, str) else Frame(**{name: self.data[name] for name in names})

    def __array__(self, dtype=None, copy=None):
        return np.stack(list(self.data.values()), axis=1)
