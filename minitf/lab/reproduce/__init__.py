"""Results of the literature on these primitives: `minitf reproduce`, a page an entry."""
import importlib

from minitf.lab.journal import Journal
from minitf.lab.reproduce.page import met, rerun

NAMES = (
    "and-grid",
    "max-margin",
    "cot-parity",
    "single-location",
    "hidden-progress",
    "simplicity",
    "sparse-averaging",
    "flip-flop",
    "length-free",
)


def page_of(name):
    """The entry of a name."""
    module = importlib.import_module(f"minitf.lab.reproduce.{name.replace('-', '_')}")
    return module.PAGE
