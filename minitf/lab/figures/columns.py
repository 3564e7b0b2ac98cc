"""The picture of a user's own table: the strongest columns by name, the rule, the rows held out."""
from minitf.lab.figures.style import BLACK, BLUE, GREY, plain, save
from minitf.lab.own_table import label_in_words

STRENGTH = "how often a flipped bit flips the answer", "attention of [CLS]"


def columns(record, path):
    """Draw the answer for a user's table: the strongest columns by name, those of the rule marked,
    under the rule; and how often it is right on the rows held out."""
    from textwrap import fill, shorten

    from matplotlib.figure import Figure

    names, found = record["names"], record["support_found"]
    top = record["attention_top"]
    top = [pair for i, pair in enumerate(top) if i < 10 or names[pair[0]] in found][::-1]
    figure = Figure(figsize=(7, 1.9 + 0.26 * len(top)), layout="constrained")
    bars, right = figure.subplots(2, 1, height_ratios=[len(top) + 1, 1.2])
    colours = [BLUE if names[t] in found else GREY for t, _ in top]
    bars.barh([shorten_middle(names[t]) for t, _ in top], [a for _, a in top], color=colours)
    bars.set(xlabel=f"{STRENGTH[record['heads'] > 0]}  (blue: in the rule)", xlim=(0, None))
    bars.set_ylim(-0.6, len(top) - 0.4)
    bars.locator_params(axis="x", nbins=5)
    if record["holdout_interval"]:
        low, high = record["holdout_interval"]
        middle = record["holdout_accuracy"]
        ends = [[middle - low], [high - middle]]
        right.errorbar([middle], [0], xerr=ends, color=BLUE, marker="o", capsize=4)
        right.axvline(record["chance"], color=BLACK, linestyle=":", label="the commoner label")
        right.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), fontsize="small")
    right.set(xlabel=f"right of {record['holdout']} rows held out (95 %)", xlim=(0, 1.02),
              yticks=[], ylim=(-1, 1))
    for ax in (bars, right):
        ax.spines[["top", "right"]].set_visible(False)
    rule = f"{label_in_words(record)} = {record['rule']}"
    text = rule if record["certain"] else f"perhaps {rule}"
    figure.suptitle(plain(fill(shorten(text, 300), 72)), x=0.01, ha="left")
    save(figure, path)


def shorten_middle(name, most=44):
    """A name without its middle, where it is long."""
    return plain(name if len(name) <= most else f"{name[:most // 2]}...{name[-most // 2 + 3:]}")
