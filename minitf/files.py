"""Files that appear whole or not at all, files read within bounds, and Ctrl-C; the version.

Files hold arrays and strict JSON text, never pickles. NumPy is loaded when an array is written or
read.
"""
import contextlib
import contextvars
import json
import math
import os
import re
import signal
import stat
import sys

VERSION = "0.1.0"       # of the library
FORMAT = 1              # of its model files
GZIP = b"\x1f\x8b"      # how a compressed file begins
PIPE = 1 << 30          # the most bytes that are read of what has no end of its own
ODD = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LATER = contextvars.ContextVar("later", default=None)       # list that collects (temporary, path)


class Stop:
    """What Ctrl-C and SIGTERM do while a command runs, `with stop:`. The first raises
    KeyboardInterrupt, at the end of a block `with stop.held():`; the second, and any while
    `at_once` is true, ends the process with one line. written: the files that have appeared."""

    def __init__(self):
        self.number, self.holds, self.at_once, self.written, self.before = None, 0, False, [], {}

    def __enter__(self):
        self.__init__()
        usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        with contextlib.suppress(ValueError):               # a thread has no signals
            for number, handler in usual.items():
                if signal.getsignal(number) == handler:     # else ignored, or another's
                    self.before[number] = signal.signal(number, self)

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __call__(self, number, frame):
        first, self.number = self.number is None, number
        if self.at_once or not first:
            os.write(2, f"interrupted: {self.said()}\n".encode(errors="replace"))
            os._exit(128 + number)
        if not self.holds:
            raise KeyboardInterrupt

    def said(self):
        """What there is to say of files after an interruption."""
        return f"written {', '.join(map(str, self.written))}" if self.written else \
            "nothing was written"

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
    """Text without what a terminal would obey or a page would hide: such letters by number."""
    return ODD.sub(lambda letter: f"\\u{ord(letter[0]):04x}", text)


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
    """Files that write_whole writes in this block appear at its end, all of them or none, and
    Ctrl-C comes before or after."""
    later = []
    token = LATER.set(later)
    try:
        yield
        with stop.held():
            for temporary, path in later:
                with naming(path):
                    os.replace(temporary, os.path.realpath(path))
                stop.written.append(path)
    finally:
        LATER.reset(token)
        for temporary, _ in later:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def read_whole(path):
    """The bytes of a file, or of "-", standard input; of a .gz file what it unpacks to, at most 64
    MB or 100 times its size. Of a pipe at most 1 GB are read, of a device nothing."""
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
    """The most bytes that a compressed file of bits may unpack to."""
    return max(1 << 26, 100 * size)


def bounded(path, file, most):
    """All bytes of an open file, refused where they are more than `most`."""
    parts, size = [], 0
    while part := file.read(1 << 20):
        parts.append(part)
        size += len(part)
        if size > most:
            raise ValueError(f"{path}: expected at most {most >> 20} MB, unpacked, got more "
                             "(save it to a plain file first)")
    return b"".join(parts)


def save_arrays(path, arrays, **header):
    """Write named arrays and a JSON header (format version added) to path as one `.npz` file."""
    import numpy as np

    text = json.dumps({**header, "format": FORMAT, "version": VERSION}, allow_nan=False)
    write_whole(path, lambda file: np.savez(file, header=np.array(text), **arrays))


def read_arrays(file, most, wanted=None):
    """{name: array} of an open `.npz` file, at most `most` bytes of them; of some, those wanted.
    ValueError for a name that is there twice, and for an array larger than what is stored of it.
    """
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

    head = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else \
        npy.read_array_header_2_0                           # of version 3 the names alone differ
    shape, _, dtype = head(file)
    if math.prod(shape) * max(dtype.itemsize, 1) > size:
        raise ValueError(f"an array of shape {shape} in {size} bytes")
    file.seek(0)
    return npy.read_array(file, allow_pickle=False)


def load_arrays(path):
    """Read a file of save_arrays: (arrays, header). A damaged or foreign file is a ValueError that
    names it; none unpacks to more than 32 MB or twice its size."""
    with open(path, "rb") as file:
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
    def strict(value):
        if isinstance(value, dict):
            return {key: strict(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [strict(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(strict(value), allow_nan=False)
