"""minitf: bounded-norm softmax attention and the sparse Boolean functions it learns, exact, in NumPy."""
__version__ = "0.1.0"
