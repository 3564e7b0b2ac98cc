"""The figure of a sweep: success against m, m90 against T beside its limits, and what happens
during training.

Panels follow from what the runs hold: a block for each task; growth where several T or k were
tried; attention where it was kept; plateau, drop and Fourier gap for parity (figures.training).
Needs matplotlib, imported where it is used.
"""
import math
from functools import partial

import numpy as np

from minitf.checks import require
from minitf.lab.figures.grid import grid_panel
from minitf.lab.figures.looks import looks, ramp, title
from minitf.lab.figures.rates import rate_panel
from minitf.lab.figures.style import BLACK, GREY, plain_log, positions_axis, save
from minitf.lab.figures.training import trace_panels
from minitf.lab.holdout import wilson
from minitf.lab.points import series_of
from minitf.theory import and_class, scalar_C2

COLUMNS, MOST_T = 3, 6
CELL, MARGIN = (4.3, 3.3), 1.0          # inches: of a panel; of a block's title and legend
COLUMN, LINE = (3.3, 2.9), 0.15         # of one panel alone; of a line of its legend


def draw(runs, rows, path, size=None, panel=None, published=()):
    """Draw runs (read_runs) and their statistics (points) to a file, a block for every task and
    noise. size: (width, height) in inches; panel: the name of the one panel to draw; published:
    for the panel grid."""
    from matplotlib.figure import Figure

    blocks = {}
    for row in rows:
        if row["m90"] is not None:
            blocks.setdefault((row["task"], row["noise"]), []).append(row)
    panels = {key: panels_of([run for run in runs if (run["task"], run["noise"]) == key], block)
              for key, block in blocks.items()}
    if panel is not None:
        cells = [cell for cells in panels.values() for cell in cells]
        if len({series_of(row) for rows in blocks.values() for row in rows}) == 1:
            cells.append(("grid", partial(grid_panel, rows=rows, published=published)))
        names = ", ".join(dict(cells))
        require(panel in dict(cells), "panel", f"one that these runs have ({names})", panel)
        return draw_column(next(draw for name, draw in cells if name == panel), path, size)
    most = max(map(len, panels.values()))
    columns = 2 if most == 4 else min(COLUMNS, most)
    heights = [math.ceil(len(cells) / columns) * CELL[1] + MARGIN for cells in panels.values()]
    figure = Figure(figsize=size or (CELL[0] * columns, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (key, cells) in zip(parts, panels.items()):
        draw_block(part, cells, columns, title(blocks[key]))
    save(figure, path)


def panels_of(runs, rows):
    """The panels of a block, [(name, function of the axes)]."""
    lengths = ramp(sorted({row["T"] for row in rows}))
    return success_panels(rows) + growth_panels(rows) + trace_panels(runs, looks(rows), lengths)


def draw_block(part, cells, columns, title):
    """The panels of a task side by side, their legend below them."""
    axes = part.subplots(math.ceil(len(cells) / columns), columns, squeeze=False).ravel()
    legend = {}
    for ax, (_, panel) in zip(axes, cells):
        panel(ax)
        ax.title.set_size(10)
        ax.tick_params(labelsize=9)
        ax.spines[["top", "right"]].set_visible(False)
        for handle, label in zip(*ax.get_legend_handles_labels()):
            legend.setdefault(label, handle)
    for ax in axes[len(cells):]:
        ax.set_axis_off()
    part.suptitle(title, x=0.01, ha="left", weight="bold")
    part.legend(legend.values(), legend, loc="outside lower center", ncols=columns + 1,
                frameon=False, fontsize=8)


def draw_column(panel, path, size):
    """One panel for a column of a page, its legend below it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 8,
                     "ytick.labelsize": 8, "legend.fontsize": 7}):
        figure = Figure(figsize=size or COLUMN, layout="constrained")
        ax = figure.subplots()
        panel(ax)
        ax.set_title("")                        # the caption has it
        ax.spines[["top", "right"]].set_visible(False)
        handles, labels = ax.get_legend_handles_labels()
        columns = 1 if max(map(len, labels), default=0) > 24 else 2
        if size is None:
            figure.set_size_inches(COLUMN[0], COLUMN[1] + LINE * math.ceil(len(labels) / columns))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        save(figure, path)


def success_panels(rows):
    """Success against m: of one series, or at one T, in one panel; else a panel for each T that the
    most series tried."""
    styles, lengths = looks(rows), sorted({row["T"] for row in rows})
    if len(styles) == 1:
        colours = ramp(lengths)
        lines = [(row, colours[row["T"]]) for row in rows]
        return [("success", partial(success, lines=lines, title="Runs that learn"))]
    tried = {T: [(row, styles[series_of(row)]) for row in rows if row["T"] == T] for T in lengths}
    most = [T for T in lengths if len(tried[T]) == max(map(len, tried.values()))]
    shown = [most[i] for i in np.unique(np.linspace(0, len(most) - 1, MOST_T).round().astype(int))]
    return [("success", partial(success, lines=tried[T], title=f"Runs that learn, T = {T}"))
            for T in shown]


def success(ax, lines, title):
    """Share of successful runs with 95 % Wilson intervals, and the fitted curve, against m; m*
    where it is one."""
    one_T = len({row["T"] for row, _ in lines}) == 1
    for i, (row, look) in enumerate(lines):
        aside = 1.012 ** (one_T * (i - (len(lines) - 1) / 2))   # series that coincide side by side
        share = np.divide(row["right"], row["n"])
        ends = np.array([wilson(*pair) for pair in zip(row["right"], row["n"])])
        bars = np.abs(ends.T - share)
        ax.errorbar(np.multiply(row["m"], aside), share, bars,
                    **look | {"linestyle": "none", "label": None}, markersize=4, elinewidth=0.8)
        ax.plot([], [], **look, markersize=4, linewidth=1)
        if row["curve"] is not None:
            m = np.geomspace(row["m_lowest"], row["m_highest"], 200)
            a, b = row["curve"]
            ax.plot(m, 1 / (1 + np.exp(-a - b * np.log(m))),
                    **look | {"marker": None, "label": None}, linewidth=1)
    stars = {row["m_star"] for row, _ in lines}
    if len(stars) == 1 and None not in stars:
        ax.axvline(stars.pop(), color=BLACK, linewidth=1.2, label="m*, one support left (95 %)")
    ax.axhline(0.9, color=GREY, linewidth=0.6, zorder=0)
    ax.set(xlabel="m, training samples", ylabel="share of runs that learn (95 % Wilson)",
           title=title, ylim=(-0.04, 1.04))
    plain_log(ax, "x")


def growth_panels(rows):
    """m90 against T, or against k where only k varies."""
    against = next((key for key in ("T", "k") if len({row[key] for row in rows}) > 1), None)
    if against is None:
        return []
    return [("m90", partial(m90_panel, rows=rows, against=against)),
            ("rate", partial(rate_panel, rows=rows, against=against))]


def m90_panel(ax, rows, against):
    """m90 with 95 % intervals beside what limits it from below, and how the norm bound would
    grow."""
    styles = looks(rows)
    cut, shown = False, []
    for i, (key, look) in enumerate(styles.items()):
        own = [row for row in rows if series_of(row) == key]
        aside = i - (len(styles) - 1) / 2           # intervals side by side
        shift = 1.03 ** aside if against == "T" else 1
        cut |= points_with_intervals(ax, own, look, [row[against] * shift for row in own])
        shown += [end for row in own for end in (row["m90"], row["m90_high"]) if 0 < end < math.inf]
    yardsticks(ax, rows, against)
    ax.set(xlabel="T, positions" if against == "T" else "k, bits that matter",
           ylabel="m90, training samples (95 % bootstrap)",
           title="Samples for 90 % success" + (" (arrows: beyond m tried)" if cut else ""))
    shown += [1.6 * row["m_highest"] for row in rows if math.inf in (row["m90"], row["m90_high"])]
    shown += [row["m_star"] for row in rows if row["m_star"]]
    if max(shown) > 10 * min(shown):
        plain_log(ax, "y")
        ax.set_ylim(None, 1.3 * max(shown))
    else:
        ax.set_ylim(0, 1.1 * max(shown))
    if against == "T":
        positions_axis(ax, sorted({row["T"] for row in rows}))
    else:
        ax.set_xticks(sorted({row["k"] for row in rows}))


def points_with_intervals(ax, rows, look, x):
    """m90 of one series; arrows where it, or an end of its interval, lies beyond the m tried.
    Returns whether one does."""
    inside = [(at, row) for at, row in zip(x, rows) if 0 < row["m90"] < math.inf]
    ends = [(max(row["m90_low"], row["m_lowest"]), row["m90"],
             min(row["m90_high"], row["m_highest"]))
            for _, row in inside]
    bars = [[middle - low for low, middle, _ in ends], [high - middle for _, middle, high in ends]]
    ax.errorbar([at for at, _ in inside], [row["m90"] for _, row in inside], bars, **look,
                markersize=4.5, linewidth=1.2, elinewidth=1, capsize=2)
    cut = [(at, row["m_lowest"], -1) for at, row in zip(x, rows) if row["m90"] == 0]
    cut += [(at, row["m_highest"], 1) for at, row in zip(x, rows) if row["m90"] == math.inf]
    for at, edge, _ in cut:
        ax.plot(at, edge, color=look["color"], marker=look["marker"], markersize=4.5,
                markerfacecolor="white")
    cut += [(at, row["m_lowest"], -1) for at, row in inside if row["m90_low"] == 0]
    cut += [(at, row["m_highest"], 1) for at, row in inside if row["m90_high"] == math.inf]
    for at, edge, way in cut:
        ax.annotate("", (at, edge * 1.5 ** way), (at, edge),
                    arrowprops={"arrowstyle": "->", "color": look["color"], "shrinkA": 3,
                                "shrinkB": 0})
    return bool(cut)


def yardsticks(ax, rows, against):
    """The lines beside m90: of the k that most rows have, or of every k."""
    ks = [row["k"] for row in rows]
    usual = max(set(ks), key=ks.count)
    of = f", k = {usual}" if against == "T" and len(set(ks)) > 1 else ""
    first = {row[against]: row for row in reversed(rows) if against == "k" or row["k"] == usual}
    lines = [first[x] for x in sorted(first)]
    for name, label, colour, style in (("m_star", "m*, one support left (95 %)", BLACK, "-"),
                                       ("fano", "Fano, no learner below", BLACK, (0, (1, 2)))):
        drawn = [row for row in lines if row[name] is not None]
        ax.plot([row[against] for row in drawn], [row[name] for row in drawn],
                label=label + of if drawn else None, color=colour, linestyle=style, linewidth=1.2,
                zorder=1)
    start = next((row for row in lines if 0 < row["m90"] < math.inf), None)
    if start is not None and against == "T" and start["task"] != "parity":
        shape = [scalar_C2(10 ** 6, and_class(row["T"], row["k"])[0]).C2 for row in lines]
        scale = start["m90"] / shape[lines.index(start)]
        ax.plot([row["T"] for row in lines], [scale * C2 for C2 in shape], color=GREY,
                linestyle=(0, (4, 4)), linewidth=1, zorder=1,
                label="norm bound: shape only, scaled to the first m90")
