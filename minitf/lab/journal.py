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
import zlib
from pathlib import Path

from minitf.checks import require
from minitf.files import as_json

START = b'{"protocol": '     # of every line: what a torn line must begin with to be cut off


def parse(path, data):
    """The records of the complete lines of `data`, and how many bytes those lines take."""
    whole = data.rfind(b"\n") + 1
    torn, records = data[whole:], []
    ours = f"{path}: not a file of runs, or damaged"
    if not (torn.startswith(START) or START.startswith(torn)):
        raise ValueError(f"{ours} (its end)")
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            records.append(json.loads(line) if line.startswith(START) else None)
        except (ValueError, RecursionError):
            records.append(None)
        if not isinstance(records[-1], dict):
            raise ValueError(f"{ours} (line {number})")
    return records, whole


def read(path):
    """The records of a file, plain or .gz, without a torn last line. Errors: ValueError for another
    kind of file."""
    data = Path(path).read_bytes()
    try:
        return parse(path, gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)[0]
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ValueError(f"{path}: not a file of runs, or damaged") from None


class Journal:
    """A file of records of one identity, open for appending by this process alone. `records` are
    those found in it.

    Errors: ValueError for a file of another kind or identity, named in the message, or one that
    another process is writing; OSError.
    """

    def __init__(self, path, identity):
        self.path, self.file = path, os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            lock(self.file, path)
            self.records, whole = parse(path, Path(path).read_bytes())
            for record in self.records:
                for key, wanted in identity.items():
                    if record.get(key, "nothing") != wanted:
                        raise ValueError(f"out: expected a file of runs with {key} {wanted}, got "
                                         f"{path} with {key} "
                                         f"{record.get(key)}")
            os.ftruncate(self.file, whole)
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
