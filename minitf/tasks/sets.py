"""Sets of positions or of examples as Python integers, one bit a member."""
import numpy as np


def pack(rows):
    """Return each row of zeros and ones as an integer whose bit i is entry i."""
    octets = np.packbits(rows, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in octets]


def members(some):
    """Return the ascending list of the members of a set: the bits that are 1 in an integer."""
    if not some:
        return []
    octets = some.to_bytes((some.bit_length() + 7) // 8, "little")
    bits = np.unpackbits(np.frombuffer(octets, dtype=np.uint8), bitorder="little")
    return np.flatnonzero(bits).tolist()
