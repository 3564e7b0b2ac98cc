"""Files that appear whole or not at all, files read within bounds, and Ctrl-C; the version.

Files hold arrays and strict JSON, never pickles. NumPy and others load where they are used.
"""
import contextlib
import contextvars
import math
import os
import signal
import stat
import sys

VERSION = "0.1.0"       # of the library
FORMAT = 1              # of its model files
GZIP = b"\x1f\x8b"      # how a compressed file begins
PIPE = 1 << 30          # the most bytes that are read of what has no end of its own
ODD = (*range(9), 11, *range(12, 32), *range(127, 160), 0x200e, 0x200f, *range(0x2028, 0x202f),
       *range(0x2066, 0x206a), *range(0xd800, 0xe000))      # what a terminal obeys, a page hides
HARMLESS = {letter: f"\\u{letter:04x}" for letter in ODD}
LATER = contextvars.ContextVar("later", default=None)       # list that collects (temporary, path)


class Stop:
    """What Ctrl-C and SIGTERM do while a command runs, `with stop:`. The first raises
    KeyboardInterrupt, at the end of a block `with stop.held():`; the second, and any while
    `at_once` is true, ends the process with one line. written: the files that have appeared."""

    def __init__(self):
        self.number, self.holds, self.written, self.before = None, 0, [], {}
        self.at_once = self.last = False        # last: the process ends with the block

    def __enter__(self):
        self.__init__()
        usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        with contextlib.suppress(ValueError):               # a thread has no signals
            for number, handler in usual.items():
                if signal.getsignal(number) == handler:     # else ignored, or another's
                    self.before[number] = signal.signal(number, self)

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_IGN if self.last else handler)

    def __call__(self, number, frame):
        first, self.number = self.number is None, number
        if self.at_once or not first:
            os.write(2, harmless(f"interrupted: {self.said()}\n").encode())
            os._exit(128 + number)
        if not self.holds:
            raise KeyboardInterrupt

    def said(self):
        """What there is to say of files after an interruption."""
        return f"written {', '.join(self.written)}" if self.written else "nothing was written"

    @contextlib.contextmanager
    def held(self):
        """A block that is not interrupted."""
        self.holds += 1
        try:
            yield
        finally:
            self.holds -= 1
        if self.number is not None and not self.holds:
            raise KeyboardInterrupt


stop = Stop()


def harmless(text):
    """Text with such letters as numbers."""
    return text.translate(HARMLESS)


@contextlib.contextmanager
def naming(path):
    """An OSError of this block names the file as its user does."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


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
    when killed. Inside `together` it appears with the others."""
    check_writable(path)
    target, later = os.path.realpath(path), LATER.get()     # a link stays, its target is replaced
    temporary = os.path.join(os.path.dirname(target), f".minitf-{os.urandom(6).hex()}.part")
    try:
        with naming(path):
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if later is None:
                os.replace(temporary, target)
            else:
                later.append((temporary, path))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def together():
    """Files that write_whole writes in this block appear at its end, all of them or none."""
    later = []
    token = LATER.set(later)
    try:
        yield
        with stop.held():
            for temporary, path in later:
                with naming(path):
                    os.replace(temporary, os.path.realpath(path))
                stop.written.append(str(path))
    finally:
        LATER.reset(token)
        for temporary, _ in later:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def read_whole(path):
    """The bytes of a file, or of "-", standard input; of a .gz file what it unpacks to, at most
    `roomy` of it. Of a pipe at most 1 GB are read, of a device nothing."""
    with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as file:
        kind = 0
        with contextlib.suppress(OSError):                  # standard input that is no file
            kind = os.fstat(file.fileno()).st_mode
        if stat.S_ISCHR(kind) and not file.isatty():
            raise ValueError(f"{path}: expected a file or a pipe, got a device")
        data = file.read() if stat.S_ISREG(kind) else bounded(path, file, PIPE)
    if data[:2] != GZIP:
        return data
    import gzip
    import io
    import zlib
    try:
        return bounded(path, gzip.GzipFile(fileobj=io.BytesIO(data)), roomy(len(data)))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ValueError(f"{path}: expected a whole .gz file, got a damaged one") from None


def roomy(size):
    """The most bytes that a compressed file of bits may unpack to: 64 MB or 100 times its size."""
    return max(1 << 26, 100 * size)


def bounded(path, file, most):
    """All bytes of an open file, refused where they are more than `most`."""
    parts = []
    while part := file.read(1 << 20):
        parts.append(part)
        if len(parts) > most >> 20:
            raise ValueError(f"{path}: expected at most {most >> 20} MB, unpacked, got more")
    return b"".join(parts)


def save_arrays(path, arrays, **header):
    """Write named arrays and a JSON header (format version added) to path as one `.npz` file."""
    import json

    import numpy as np

    text = json.dumps({**header, "format": FORMAT, "version": VERSION}, allow_nan=False)
    write_whole(path, lambda file: np.savez(file, header=np.array(text), **arrays))


def read_arrays(file, most, wanted=None):
    """{name: array} of an open `.npz` file, of those wanted, and all names; at most `most` bytes.
    ValueError for a name that is there twice, and for an array larger than what is stored."""
    import zipfile

    found = {}
    with zipfile.ZipFile(file) as archive:
        members = {part.filename.removesuffix(".npy"): part for part in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise ValueError("an array that is there twice")
        if sum(part.file_size for part in members.values()) > most:
            raise ValueError(f"more than {most >> 20} MB, unpacked")
        for name, part in members.items():
            if wanted is None or name in wanted:
                with archive.open(part) as inside:
                    found[name] = read_array(inside, part.file_size)
    return found, [*members]


def read_array(file, size):
    """The array of an open `.npy` file of so many bytes."""
    import numpy.lib.format as npy

    old = npy.read_magic(file) == (1, 0)        # version 3 differs from 2 in its names alone
    shape, _, dtype = (npy.read_array_header_1_0 if old else npy.read_array_header_2_0)(file)
    if math.prod(shape) * max(abs(dtype.itemsize), 1) > size:      # NumPy 1.25's may wrap below 0
        raise ValueError(f"an array of shape {shape} in {size} bytes")
    file.seek(0)
    return npy.read_array(file, allow_pickle=False)


def load_arrays(path):
    """Read a file of save_arrays: (arrays, header). A damaged or foreign file is a ValueError that
    names it; none unpacks to more than 32 MB or twice its size."""
    import json
    with open(path, "rb") as file:
        if not os.path.isfile(path):
            raise ValueError(f"{path}: expected a file, got a device or a pipe")
        try:
            most = max(1 << 25, 2 * os.fstat(file.fileno()).st_size)
            arrays, _ = read_arrays(file, most)
            header = json.loads(str(arrays.pop("header")))
            found = header["format"]
        except MemoryError:
            raise
        except Exception:                       # of a dozen kinds: many parsers read the bytes
            raise ValueError(f"{path}: not a minitf model file, or damaged") from None
    if found != FORMAT:
        raise ValueError(f"{path}: format version: expected {FORMAT}, got {str(found)[:50]!r}")
    return arrays, header


def as_json(value):
    """Strict JSON text of a record: a number that is infinite or NaN becomes null."""
    import json

    def strict(value):
        if isinstance(value, dict):
            return {key: strict(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [strict(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(strict(value), allow_nan=False)
