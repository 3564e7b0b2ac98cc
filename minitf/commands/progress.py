"""One progress bar on stderr for everything that takes long."""
import contextlib
import sys
import time

import click

PATIENCE = 2.0          # seconds of work before a progress bar appears


@contextlib.contextmanager
def progress(*stages):
    """A callback (`minitf.Progress`) for each of the stages (label, steps) of a long piece of work, one after another:
    each shows a bar on stderr once its stage has taken PATIENCE seconds, and knows its seconds at the end."""
    shown = []                                  # the one bar to be seen

    def finish():
        while shown:
            shown.pop().render_finish()

    def follow(label, length):
        start = bar = None

        def callback(state):
            nonlocal start, bar
            if start is None:
                start = time.monotonic()
                finish()
            callback.seconds = time.monotonic() - start
            if bar is None and callback.seconds > PATIENCE:
                bar = click.progressbar(length=length, label=label, file=sys.stderr, show_pos=True,
                                        item_show_func=lambda loss: "" if loss is None else f"loss {loss:.4f}")
                bar.start -= PATIENCE           # the estimate of the time to go counts from the first step
                shown.append(bar)
            if bar is not None and (bar.pos == 0 or state.step // 20 > bar.pos // 20):
                bar.update(state.step - bar.pos, state.loss)

        callback.seconds = 0.0
        return callback

    try:
        yield [follow(*stage) for stage in stages]
    finally:
        finish()
