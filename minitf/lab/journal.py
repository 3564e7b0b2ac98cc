"""Records that survive a kill: one JSON line a record, appended whole, in a file that says what it
is about.

    journal = Journal("runs.jsonl", {"protocol": 1, "task": "and"})
    journal.append(record)
    journal.close()

A line is written by one os.write to a file opened for appending, then synced: a kill at any moment
leaves whole lines and at most one torn one at the end, which the next start cuts off. A lock, which
dies with its owner, keeps a second writer out. Every record of a file has the same identity, the
values of its first few keys.
"""
import gzip
import json
import os
import warnings
import zlib
from pathlib import Path

from minitf.checks import require
from minitf.files import as_json

GZIP = b"\x1f\x8b"      # how a compressed file begins

def parse(path, data):
    """The records of the lines of `data`, any JSON objects with a protocol, and how many bytes they
    take: a line at the end that was torn off is left out, blank lines mean nothing."""
    records, end = [], 0
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        try:
            record = json.loads(line) if line.strip() else {"protocol": None}
        except (ValueError, RecursionError):
            record = None
        ours = isinstance(record, dict) and "protocol" in record
        torn = end + len(line) == len(data) and not line.endswith(b"\n") and line[:1] == b"{"
        if not ours and not (torn and record is None):
            raise ValueError(f"{path}: not a file of runs, or damaged (line {number})")
        if ours:
            records += [record] * bool(line.strip())
            end += len(line)
    return records, end


def read(path):
    """The records of a file, plain or .gz, without a torn last line. Errors: ValueError for another
    kind of file."""
    data = Path(path).read_bytes()
    try:
        return parse(path, gzip.decompress(data) if data[:2] == GZIP else data)[0]
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ValueError(f"{path}: not a file of runs, or damaged") from None


class Journal:
    """A file of records of one identity, open for appending by this process alone. `records` are
    those found in it; a key that one lacks has the value that `absent` gives.

    Errors: ValueError for a file of another kind or identity, named in the message, or one that
    another process is writing; OSError.
    """

    def __init__(self, path, identity, absent=()):
        plain = "a name without .gz (compress it when it is whole: plot reads .gz)"
        require(not str(path).endswith(".gz"), "out", plain, path)
        self.path, self.file = path, os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            lock(self.file, path)
            data = Path(path).read_bytes()
            require(data[:2] != GZIP, "out", "a file that is not compressed", path)
            self.records, whole = parse(path, data)
            for record in self.records:
                for key, wanted in identity.items():
                    got = (dict(absent) | record).get(key, "nothing")
                    if got != wanted:
                        raise ValueError(f"out: expected a file of runs with {key} {wanted}, got "
                                         f"{path} with {key} {got}")
            os.ftruncate(self.file, whole)
            if whole and data[whole - 1:whole] != b"\n":
                os.write(self.file, b"\n")
        except BaseException:
            self.close()
            raise

    def append(self, record):
        """Write one record, whole or not at all, and wait until it is on the disk."""
        line, end = (as_json(record) + "\n").encode(), os.fstat(self.file).st_size
        written = os.write(self.file, line)
        if written < len(line):
            os.ftruncate(self.file, end)
            raise OSError(f"{self.path}: the disk is full")
        os.fsync(self.file)

    def close(self):
        os.close(self.file)                 # and the lock goes with it


def lock(file, path):
    """Lock an open file until it is closed or this process ends. Without fcntl (Windows) nothing is
    locked."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        require(False, "out", "a file that no other sweep is writing", path)
    except OSError:
        warnings.warn(f"{path}: its file system has no locks; see to it that no other sweep "
                      "writes there", stacklevel=3)
