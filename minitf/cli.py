"""The command line: options in, a report or one JSON object out.

Ctrl-C is one line from the first moment on, so nothing but `files` is loaded before.
"""
from minitf.files import stop


def main(args=None, **options):
    """Run the command line and exit; `minitf`, `python -m minitf` and `python cli.py` all do."""
    with stop:
        stop.at_once, stop.last = True, args is None
        from minitf.commands import commands
        commands.main(args, **options)


def __getattr__(name):
    if name != "commands":
        raise AttributeError(f"module 'minitf.cli' has no attribute {name!r}")
    from minitf.commands import commands
    return commands
