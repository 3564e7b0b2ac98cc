"""What all figures share: colours, axes, files."""
import math
import os
import warnings

from minitf.files import harmless, write_whole

# A palette that stays apart in print and in colour-blind eyes (Okabe and Ito 2008).
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
GREEN, PURPLE, SKY, AMBER, BLACK = "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"


def positions_axis(ax, T):
    """A logarithmic axis of lengths, at most seven of them named, in a column of a page five."""
    from matplotlib import rcParams

    step = math.ceil(len(T) / (7 if rcParams["font.size"] > 9 else 5))
    ax.set_xscale("log", base=2)
    ax.set_xticks(T, [f"{t:,}" if i % step == 0 else "" for i, t in enumerate(T)])
    ax.minorticks_off()


def plain_log(ax, name):
    """A logarithmic axis with whole numbers at its ticks."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    getattr(ax, f"set_{name}scale")("log")
    axis = getattr(ax, f"{name}axis")
    low, high = axis.get_view_interval()
    subs = next(subs
                for most, subs in ((5, (1, 1.5, 2, 3, 4, 6, 8)), (30, (1, 2, 5)), (1000, (1, 3)),
                                   (math.inf, (1,))) if high <= most * low)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def plain(text):
    """Text of a file for a figure: a dollar is no mathematics, and nothing is a command."""
    return harmless(text).replace("$", r"\$")


def save(figure, path):
    """Write a figure whole or not at all, in the format that the ending of the path names (PNG
    without one)."""
    from matplotlib import rc_context

    kind = os.path.splitext(path)[1].lstrip(".").lower() or "png"
    with rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")          # a letter that the font lacks is a box
        write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=120))
