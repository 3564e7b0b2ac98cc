"""Files that appear whole or not at all: named arrays in one `.npz` file, strict JSON; the version.

Files hold arrays and JSON text, never pickles. NumPy is loaded when an array is written or read.
"""
import json
import math
import os
import tempfile

VERSION = "0.1.0"       # of the library
FORMAT = 1              # of its model files


def check_writable(path):
    """Raise OSError now if a file could not be created at path later."""
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a directory")
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileExistsError(f"{path}: not a regular file")    # a rename would replace /dev/null
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path}: no such directory: {folder}")
    if not os.access(folder, os.W_OK) or (os.path.exists(path) and not os.access(path, os.W_OK)):
        raise PermissionError(f"{path}: not writable")


def write_whole(path, write):
    """Call write(file) on a temporary file beside path, then rename it: whole or not at all, also
    when killed."""
    check_writable(path)
    path = os.path.realpath(path)               # a link stays, its target is replaced
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".minitf-",
                                         suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def save_arrays(path, arrays, **header):
    """Write named arrays and a JSON header (format version added) to path as one `.npz` file."""
    import numpy as np

    text = json.dumps({**header, "format": FORMAT, "version": VERSION}, allow_nan=False)
    write_whole(path, lambda file: np.savez(file, header=np.array(text), **arrays))


def load_arrays(path):
    """Read a file of save_arrays: (arrays, header). A damaged or foreign file is a ValueError that
    names it."""
    import numpy as np

    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(str(arrays.pop("header")))
            found = header["format"]
        except Exception:                       # of a dozen kinds: many parsers read the bytes
            raise ValueError(f"{path}: not a minitf model file, or damaged") from None
    if found != FORMAT:
        raise ValueError(f"{path}: format version: expected {FORMAT}, got {found!r}")
    return arrays, header


def as_json(value):
    """Strict JSON text of a record: a number that is infinite or NaN becomes null."""
    def strict(value):
        if isinstance(value, dict):
            return {key: strict(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [strict(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(strict(value), allow_nan=False)
