"""How the series of a sweep look, and what a block of panels is about."""
from minitf.lab.figures.style import AMBER, BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY
from minitf.lab.points import series_of
from minitf.lab.protocol import OPTIONAL

STYLES = {      # (method, model): name, colour, marker, line; told from the others in grey, too
    ("pgd", "paper"): ("bounded head, PGD", BLUE, "o", "-"),
    ("adam", "paper"): ("same head, Adam", ORANGE, "s", "--"),
    ("adam", "scalar"): ("tf-scalar, Adam", AMBER, "D", "-."),
    ("adam", "gpt"): ("GPT block, Adam", GREEN, "^", (0, (5, 1, 1, 1))),
    ("adam", "mlp"): ("MLP, Adam", PURPLE, "v", (0, (1, 1))),
    ("l1-logistic", None): ("l1-logistic regression", SKY, "P", (0, (3, 2))),
    ("pgd-no-mirror", "paper"): ("PGD, no mirror phase", GREEN, "<", "--"),
    ("pgd-no-restarts", "paper"): ("PGD, no restarts", PURPLE, ">", "-."),
    ("screening", None): ("screening", AMBER, "X", (0, (1, 2))),
    ("exact-search", None): ("exact search, sets as they come", GREY, "*", "-"),
    ("scomp", None): ("SCOMP, told the task", ORANGE, "s", "--"),
    ("lp", None): ("linear program, told the task", SKY, "D", "-."),
    ("dd", None): ("DD, told the task", PURPLE, "v", (0, (1, 1))),
    ("comp", None): ("COMP, told the task", AMBER, "X", (0, (1, 2))),
    ("adam-starts", "scalar"): ("tf-scalar as learn trains it: few rows first", BLUE, "o", "-"),
    ("adam-all-rows", "scalar"): ("nine starts, all rows from the first step", ORANGE, "s", "--"),
}


def title(rows):
    """What a block is about: its task and what its series share. What they do not share is in their
    names."""
    task, noise = rows[0]["task"], rows[0]["noise"]
    name = task.upper() if task in ("and", "or") else task.capitalize()
    shared = [f"{key} = {rows[0][key]:.4g}"
              for key in ("k", "p", "T") if len({row[key] for row in rows}) == 1]
    names = {look["label"] for look in looks(rows).values()}
    return (", ".join([name, *shared, *([f"label noise {noise:g}"] if noise else [])])
            + (f": {names.pop()}" if len(names) == 1 else ""))


def looks(rows):
    """{series: how to draw it}; series of one method that differ in k, p, limit or an option say
    so, and take other colours."""
    series = {series_of(row): row for row in rows}
    found = {}
    for i, (key, row) in enumerate(series.items()):
        pair = row["method"], row["model"]
        twins = [other for other in series.values() if (other["method"], other["model"]) == pair]
        differ = [name for name in ("k", "p", "limit", *OPTIONAL)
                  if len({twin[name] for twin in twins}) > 1]
        differ = [name for name in differ if name != "p" or "k" not in differ]
        name, *look = STYLES.get(pair, (", ".join(filter(None, pair)), BLACK, "d", "-"))
        look = look if len(twins) == 1 else list(STYLES.values())[i % len(STYLES)][1:]
        label = ", ".join([name,
                           *(f"{name} = {brief(row[name])}"
                             for name in differ if row[name] is not None)])
        found[key] = dict(zip(("label", "color", "marker", "linestyle"), (label, *look)))
    return found


def brief(value):
    """A number in four digits, or a word."""
    return value if isinstance(value, str) else f"{value:.4g}"


def ramp(values):
    """{T: how to draw it}, from dark to light."""
    from matplotlib import colormaps

    return {T: {"label": f"T = {T}",
                "color": colormaps["viridis"](0.92 * i / max(1, len(values) - 1)),
                "marker": "osD^v<>PXdhp*"[i % 13], "linestyle": "-"} for i, T in enumerate(values)}
