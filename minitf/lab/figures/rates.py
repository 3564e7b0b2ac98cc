"""Bits an example, log2 C(T, k) / m90, beside what group testing knows of them."""
import math

from minitf.lab.figures.looks import looks
from minitf.lab.figures.style import BLACK, GREY, positions_axis
from minitf.lab.points import series_of

# On AND and OR without noise: a rate, what reaches it at its best density as k and T/k grow.
# Near-constant: every item in as many pools. Source: Aldridge, Johnson, Scarlett 2019.
MARKS = (
    (1 / (math.e * math.log(2)), "0.53: COMP, DD on Bernoulli pools", (0, (1, 2))),
    (math.log(2), "0.69: the same on near-constant pools", (0, (4, 2))))


def rate_panel(ax, rows, against):
    """The rate of every series with its 95 % interval. Points whose m90 lies beyond the m tried are
    left out."""
    task, noise = rows[0]["task"], rows[0]["noise"]
    for i, (key, look) in enumerate(looks(rows).items()):
        inside = [row for row in rows if series_of(row) == key and 0 < row["m90"] < math.inf
                  and row["bits"]]
        x = [row[against] * (1.03 ** (i % 5 - 2) if against == "T" else 1) for row in inside]
        rate = [row["bits_each"] for row in inside]
        low = [row["bits"] / min(row["m90_high"], row["m_highest"]) for row in inside]
        high = [row["bits"] / max(row["m90_low"], row["m_lowest"]) for row in inside]
        bars = [[b - a for a, b in zip(low, rate)], [b - a for a, b in zip(rate, high)]]
        ax.errorbar(x, rate, bars, **look, markersize=4.5, linewidth=1.2, elinewidth=1, capsize=2)
    limit = 1 + sum(q * math.log2(q) for q in (noise, 1 - noise) if q)
    ax.axhline(limit, color=BLACK, linewidth=1.2, zorder=1,
               label="1: no test tells more" if not noise else
               f"{limit:.2f} = 1 - h({noise:g}): no test tells more")
    if task in ("and", "or") and not noise:
        for rate, label, line in MARKS:
            ax.axhline(rate, color=GREY, linewidth=1.2, linestyle=line, zorder=1, label=label)
    ax.set(xlabel="T, positions" if against == "T" else "k, bits that matter",
           ylabel="log2 C(T, k) / m90 (95 % bootstrap)", title="Bits an example")
    ax.set_ylim(0, None)
    if against == "T":
        positions_axis(ax, sorted({row["T"] for row in rows}))
    else:
        ax.set_xticks(sorted({row["k"] for row in rows}))
