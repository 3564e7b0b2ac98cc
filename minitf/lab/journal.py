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
import json
import os
import warnings
from pathlib import Path

from minitf.checks import require
from minitf.files import GZIP, as_json, check_writable, naming, read_whole, stop


def parse(path, data):
    """The records of the lines of `data`, any JSON objects with a protocol, as {number of the line:
    record}, and how many bytes they take: a line at the end that was torn off is left out, blank
    lines mean nothing."""
    records, end = {}, 0
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
            records |= {number: record} if line.strip() else {}
            end += len(line)
    return records, end


def read(path, check=lambda where, record: None):
    """The records of a file, plain or .gz, without a torn last line, each seen by check("path, line
    7", record). Errors: ValueError for another kind of file."""
    records, _ = parse(path, read_whole(path))
    for number, record in records.items():
        check(f"{path}, line {number}", record)
    return [*records.values()]


class Journal:
    """A file of records of one identity, open for appending by this process alone. `records` are
    those in it; a key that one lacks has the value that `absent` gives. checker() makes a function
    check(where, record) that is shown every one of them.

    Errors: ValueError for a file of another kind or identity, named in the message, or one that
    another process is writing; OSError.
    """

    def __init__(self, path, identity, absent=(), checker=lambda: lambda where, record: None):
        plain = "a name without .gz (compress it when it is whole: plot reads .gz)"
        require(not str(path).endswith(".gz"), "out", plain, path)
        if os.path.exists(path):
            check_writable(path)                # a device has no end
        self.path, self.asked = path, (identity, absent, checker)
        with naming(path):
            self.file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            lock(self.file, path)
            data = Path(path).read_bytes()
            require(data[:2] != GZIP, "out", "a file that is not compressed", path)
            records, self.size = parse(path, data)
            self.records, self.check = [*records.values()], checker()
            for number, record in records.items():
                for key, wanted in identity.items():
                    got = (dict(absent) | record).get(key, "nothing")
                    if got != wanted:
                        raise ValueError(f"out: expected a file of runs with {key} {wanted}, got "
                                         f"{path} with {key} {str(got)[:60]}")
                self.check(f"{path}, line {number}", record)
            os.ftruncate(self.file, self.size)
            if self.size and data[self.size - 1:self.size] != b"\n":
                self.size += os.write(self.file, b"\n")
        except BaseException:
            self.close()
            raise

    def append(self, record):
        """Write one record, whole or not at all, and wait until it is on the disk."""
        self.keep()
        line = (as_json(record) + "\n").encode()
        with naming(self.path):
            if os.write(self.file, line) < len(line):
                os.ftruncate(self.file, self.size)
                raise OSError(f"{self.path}: the disk is full")
            os.fsync(self.file)
        self.size += len(line)
        self.records.append(record)
        if str(self.path) not in stop.written:
            stop.written.append(str(self.path))         # said by a second Ctrl-C

    def keep(self):
        """See to it that all records are in the file. Where it was removed, replaced or changed by
        something else, what it lacks is written again."""
        try:
            now, own = os.stat(self.path), os.fstat(self.file)
            if os.path.samestat(now, own) and now.st_size == self.size:
                return
        except FileNotFoundError:
            pass
        records = self.records
        self.close()
        self.__init__(self.path, *self.asked)
        there = set(map(as_json, self.records))
        for line in map(as_json, records):
            if line not in there:
                self.check(f"{self.path}, a run of this sweep", json.loads(line))
                self.append(json.loads(line))

    def close(self):
        file, self.file = self.file, None
        if file is not None:
            os.close(file)                  # and the lock goes with it


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
