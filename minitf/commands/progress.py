"""The one progress line on stderr, for everything that takes long."""
import contextlib
import sys
import time

import click

PATIENCE = 2.0          # seconds of work before anything is shown
EVERY = 0.2, 30.0       # seconds from one state to the next, on a terminal and in a file


class Line:
    """A line that is kept up to date on a terminal; elsewhere a new line now and then."""

    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.start, self.shown = time.monotonic(), None

    def due(self):
        """Whether it is time to say something."""
        now = time.monotonic()
        if self.shown is None:
            return now - self.start > PATIENCE
        return now - self.shown > EVERY[not self.terminal]

    def show(self, text):
        click.echo(f"\r{text:<78}" if self.terminal else text, err=True, nl=not self.terminal)
        self.shown = time.monotonic()

    def count(self, label, done, length, more=""):
        """Say that `done` of `length` steps are done and, from a tenth of them on, how long the
        others will take."""
        left = (time.monotonic() - self.start) / max(done, 1) * (length - done)
        ahead = f", at most {left:.0f} s left" if 10 * done >= length else ""
        self.show(f"{label}: {done} of {length}{more}{ahead}")

    def end(self):
        if self.terminal and self.shown is not None:
            click.echo(err=True)
        self.shown = None


@contextlib.contextmanager
def progress(*stages):
    """A callback (`minitf.Progress`) for each of the stages (label, steps) of a long piece of work,
    one after another; each knows its seconds at the end."""
    lines = []

    def follow(label, length):
        def callback(state):
            if not callback.seconds:            # the first step of this stage
                lines.append(Line())
                for line in lines[:-1]:
                    line.end()
            line = lines[-1]
            callback.seconds = time.monotonic() - line.start + 1e-9
            if line.due():
                loss = "" if state.loss is None else f", loss {state.loss:.4f}"
                note = state.note and f", {state.note}"
                line.count(label, state.step, length, loss + note)

        callback.seconds = 0.0
        return callback

    try:
        yield [follow(*stage) for stage in stages]
    finally:
        for line in lines:
            line.end()


def watched(items, label):
    """Hand on items, and show how many are done."""
    line = Line()
    try:
        for done, item in enumerate(items):
            if line.due():
                line.count(label, done, len(items))
            yield item
    finally:
        line.end()
