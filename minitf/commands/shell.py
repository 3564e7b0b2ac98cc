"""What every command shares: one line for bad input, exit codes, a progress bar, outputs checked before any work."""
import contextlib
import importlib
import os
import sys

import click

from minitf.checks import require
from minitf.files import check_writable


class Commands(click.Group):
    """A group of commands that ends in the same way however it is called: see `main`."""

    def main(self, *args, **options):
        """Run the command line and exit: with the code that the command returned; with one line on stderr and 2 for bad
        input, 130 for Ctrl-C."""
        try:
            sys.exit(super().main(*args, **options | {"prog_name": "minitf", "standalone_mode": False}) or 0)
        except click.ClickException as error:
            code, text = 2, f"Error: {error.format_message()}"
        except MemoryError as error:
            code, text = 2, f"Error: not enough memory: {error}"
        except OSError as error:                # such as a full disk under stdout
            code, text = 2, f"Error: {error}"
        except (KeyboardInterrupt, click.Abort) as error:
            said = error.__cause__ or error         # click raises Abort from the KeyboardInterrupt
            code, text = 130, f"interrupted: {str(said) or 'nothing was written'}"
        click.echo(" ".join(text.split()), err=True)
        sys.exit(code)


@contextlib.contextmanager
def bad_input():
    """Turn what the modules say of bad input into one line and exit code 2; an argument is called by its option."""
    try:
        yield
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)
        raise click.ClickException(text) from None
    except (ValueError, TypeError) as error:
        name, colon, rest = str(error).partition(": ")
        options = {option.name: option.opts[0] for option in click.get_current_context().command.params}
        raise click.ClickException(options.get(name, name) + colon + rest) from None


def need(module, package, extra):
    """Import a module of ours that needs an extra, or say which one is missing."""
    try:
        importlib.import_module(package)
    except ImportError:
        raise click.ClickException(f"this needs {package}: pip install 'minitf-attention[{extra}]'") from None
    return importlib.import_module(module)


def check_outputs(reads=(), **paths):
    """Refuse, before any work, an output that could not be written later or would replace another file of the run.

    paths: {option: file or None}; `plot` and `output` are figures. reads: files that the command reads.
    """
    paths = {name: path for name, path in paths.items() if path is not None}
    for name, path in paths.items():
        require(path, name, "the name of a file", path)
        check_writable(path)
    taken = [os.path.realpath(path) for path in reads if path is not None]
    for name, path in paths.items():
        require(os.path.realpath(path) not in taken, name, "a file that the command does not use otherwise", path)
        taken.append(os.path.realpath(path))
    for name in {"plot", "output"} & set(paths):
        canvas = need("matplotlib.backend_bases", "matplotlib", "plot").FigureCanvasBase
        kind, kinds = os.path.splitext(paths[name])[1][1:].lower() or "png", canvas.get_supported_filetypes()
        require(kind in kinds, name, "a file name ending in ." + ", .".join(sorted(kinds)), paths[name])
