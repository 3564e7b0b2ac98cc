"""A heat map of success over T and m, and beside it what others have published of the same grid."""
import numpy as np

MOST_M = 12             # sample sizes side by side up to which every cell says its number


def grid_panel(ax, rows, published=()):
    """Percent of the runs that learn at every T and m, in brackets the published percent there."""
    lengths = sorted({row["T"] for row in rows})
    sizes = sorted({m for row in rows for m in row["m"]})
    percent = np.full((len(lengths), len(sizes)), np.nan)
    for row in rows:
        at = [sizes.index(m) for m in row["m"]]
        percent[lengths.index(row["T"]), at] = 100 * np.divide(row["right"], row["n"])
    theirs = {(T, m): f"\n({100 * share:.0f})" for T, m, share in published}
    image = ax.imshow(percent, origin="lower", aspect="auto", cmap="Blues", vmin=0, vmax=100)
    for (i, j), value in np.ndenumerate(percent):
        if len(sizes) <= MOST_M and not np.isnan(value):
            ax.text(j, i, f"{value:.0f}" + theirs.get((lengths[i], sizes[j]), ""), ha="center",
                    va="center", color="white" if value > 55 else "black")
    if len(sizes) > MOST_M:
        ax.figure.colorbar(image, ax=ax, label="% of runs that learn")
    step = -(-len(sizes) // MOST_M)
    ax.set_xticks(range(0, len(sizes), step), [f"{m:,}" for m in sizes[::step]])
    ax.set_yticks(range(len(lengths)), [f"{T:,}" for T in lengths])
    note = "% of runs that learn" + (" (published)" if published else "")
    ax.set(xlabel=f"m, training samples\n{note}", ylabel="T, positions")
