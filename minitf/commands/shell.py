"""What every command shares: one line for bad input, exit codes, outputs checked before any work.

NumPy is not loaded here: a command that is asked for help needs none, and the number of its threads
has to be chosen before.
"""
import contextlib
import importlib.util
import os
import sys
import traceback

import click

from minitf.files import check_writable, harmless, stop, together

ENDS = {"standalone_mode": False, "color": True}      # main prints errors, Output sees to colours
LONGEST = 300           # letters of a message
THREADS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"


class Whole(click.types.IntParamType):
    """Integers that fit into a float."""

    def convert(self, value, param, context):
        number = super().convert(value, param, context)
        if number.bit_length() > 1000:
            self.fail(f"expected at most 300 digits, got {len(value)}", param, context)
        return number


WHOLE = Whole()


class Commands(click.Group):
    """A group of commands, {name: summary}, each loaded from the file of its name when it is used,
    that ends in the same way however it is called: see `main`."""
    summaries = {}

    @property
    def commands(self):
        return {name: self.get_command(None, name) for name in self.summaries}

    @commands.setter
    def commands(self, found):
        """The group fills itself."""

    def list_commands(self, context):
        return list(self.summaries)

    def get_command(self, context, name):
        if name in self.summaries:
            found = getattr(importlib.import_module(f"minitf.commands.{name}"), name)
            stop.at_once = False
            for param in found.params:
                param.type = WHOLE if param.type is click.INT else param.type
            return found

    def format_commands(self, context, formatter):
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))

    def main(self, args=None, **options):
        """Run the command line and exit: with the code that the command returned; with one line on
        stderr and 2 for bad input, 130 for Ctrl-C (143 for SIGTERM), 3 for a defect of ours."""
        args = sys.argv[1:] if args is None else list(args)
        choose_threads(args)
        stdout, lines = sys.stdout, ""
        sys.stdout = Output(stdout)
        try:
            sys.exit(super().main(args, "minitf", **options | ENDS) or 0)
        except click.ClickException as error:
            code, text = 2, f"Error: {error.format_message()}"
        except MemoryError as error:
            text = ": ".join([f"Error: not enough memory for {' '.join(args)}", *error.args])
            code = 2
        except OSError as error:                # such as a full disk under stdout
            code, text = 2, f"Error: {reason(error)}"
        except (KeyboardInterrupt, click.Abort) as error:
            said = error.__cause__ or error         # click raises Abort from the KeyboardInterrupt
            code, text = 128 + (stop.number or 2), f"interrupted: {str(said) or stop.said()}"
        except Exception as error:
            code, text = 3, f"Error: a defect of minitf: {type(error).__name__}: {error}"
            lines = traceback.format_exc()
        finally:
            sys.stdout = stdout
        if stop.number is not None and code in (2, 3):          # what Ctrl-C became on its way
            code, text, lines = 128 + stop.number, f"interrupted: {stop.said()}", ""
        click.echo(harmless(lines) + shortened(harmless(" ".join(text.split()))), err=True)
        sys.exit(code)


def reason(error):
    """What an OSError says, without its number."""
    return f"{error.filename}: {error.strerror}" if error.filename is not None else \
        str(error.strerror or error)


def shortened(text):
    """A message without its middle, where it is long."""
    return text if len(text) <= LONGEST else f"{text[:200]} ... {text[205 - LONGEST:]}"


class Output:
    """stdout, made harmless; a letter that its code page lacks is a question mark, and a reader
    that has left (as in `minitf learn | true`) no fault of the run."""

    def __init__(self, stream):
        self.stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        return self.quietly(self.stream.write, harmless(text))

    def flush(self):
        self.quietly(self.stream.flush)

    def quietly(self, call, *words):
        try:
            return call(*words)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, "stdout") from None


def choose_threads(args):
    """One BLAS thread unless --threads or the environment says otherwise: on shared processors two
    are often slower by far. It holds where NumPy is not loaded yet; `bench` sees to its own."""
    words = [part for word in args for part in word.split("=", 1)]
    asked = words[words.index("--threads") + 1:][:1] if "--threads" in words else []
    if "numpy" in sys.modules or args[:1] == ["bench"]:
        return
    if asked and asked[0].isdecimal():
        os.environ.update(dict.fromkeys(THREADS, asked[0]))
    elif not any(name in os.environ for name in THREADS):
        os.environ.update(dict.fromkeys(THREADS, "1"))


@contextlib.contextmanager
def bad_input():
    """Turn what the modules say of bad input into one line and exit code 2; an argument is called
    by its option."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(reason(error)) from None
    except (ValueError, TypeError) as error:
        name, colon, rest = str(error).partition(": ")
        options = {option.name: option.opts[0]
                   for option in click.get_current_context().command.params}
        raise click.ClickException(options.get(name, name) + colon + rest) from None


@contextlib.contextmanager
def outputs():
    """bad_input, for a block that writes: its files appear at its end, all of them or none."""
    with bad_input(), together():
        yield


def chosen(name):
    """Whether an option was given."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def alone(name, allowed, beside):
    """Refuse an option that was given where it would do nothing."""
    from minitf.checks import require

    got = click.get_current_context().params[name]
    require(allowed or not chosen(name), name, f"{beside} beside it", got)


def need(module, package, extra):
    """Import a module of ours that needs an extra, or say which one is missing."""
    stop.at_once = True                         # half an import is no state to go on from
    try:
        importlib.import_module(package)
    except ImportError:
        raise click.ClickException(missing(package, extra)) from None
    else:
        return importlib.import_module(module)
    finally:
        stop.at_once = False


def missing(package, extra):
    """What is said of a package that is not there."""
    return f"this needs {package}: pip install 'minitf-attention[{extra}]'"


def installed(package):
    """Could it be imported?"""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:                          # a module that was made by hand, and is there
        return True


def check_outputs(reads=(), **paths):
    """Refuse, before any work, an output that could not be written later or would replace another
    file of the run.

    paths: {option: file or None}; `plot` and `output` are figures. reads: files that the command
    reads.
    """
    from minitf.checks import require

    paths = {name: path for name, path in paths.items() if path is not None}
    for name, path in paths.items():
        require(path, name, "the name of a file", path)
        check_writable(path)
    taken = [os.path.realpath(path) for path in reads if path is not None]
    for name, path in paths.items():
        require(os.path.realpath(path) not in taken, name,
                "a file that the command does not use otherwise", path)
        taken.append(os.path.realpath(path))
    for name in {"plot", "output"} & set(paths):
        canvas = need("matplotlib.backend_bases", "matplotlib", "plot").FigureCanvasBase
        kind = os.path.splitext(paths[name])[1][1:].lower() or "png"
        kinds = canvas.get_supported_filetypes().keys() - {"pgf", "raw", "rgba"}    # pgf: LaTeX
        require(kind in kinds, name, "a file name ending in ." + ", .".join(sorted(kinds)),
                paths[name])
