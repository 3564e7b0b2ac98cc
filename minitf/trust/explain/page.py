"""One self-contained page: both examples, readable as text, and live where scripts run.

    write_page("page.html")

page.html beside this file has the looks, page.js the script, which runs the rules of the record.
"""
import html
import json
from pathlib import Path

from minitf.files import write_whole
from minitf.trust.explain.head import explain
from minitf.trust.explain.layout import digits_of, number, title_of, worst
from minitf.trust.explain.several import explain_attention

HERE = Path(__file__).parent


def write_page(path, *, T=3, d=2, seed=0, **options):
    """Write the page of `explain` and `explain_attention` with these sizes to a file."""
    page = page_of(T=T, d=d, seed=seed, **options)
    write_whole(path, lambda file: file.write(page.encode()))


def page_of(*, T=3, d=2, seed=0, **options):
    """The page as text."""
    records = {"head": explain(T, d, seed),
               "attention": explain_attention(T, d, seed=seed, **options)}
    body = "".join(example(key, record) for key, record in records.items())
    data = json.dumps(records, allow_nan=False).replace("<", "\\u003c")
    page = (HERE / "page.html").read_text(encoding="utf-8")
    for mark, text in ("<!--body-->", body), ("/*data*/", data), (
            "/*script*/", (HERE / "page.js").read_text(encoding="utf-8")):
        page = page.replace(mark, text)
    return page


def example(key, record):
    """One example: its parts, sections and arrays."""
    text, part, section = record["text"], None, None
    found = [f'<article id="{key}"><h2>{tidy(text["title"])}</h2><p>{tidy(text["intro"])}</p>']
    for array in record["arrays"]:
        if array["part"] != part:
            part, section = array["part"], None
            caption, said = text[part]
            found.append(f"<h3>{tidy(caption)}</h3><p>{tidy(said)}</p>")
        if array["section"] != section:
            section = array["section"]
            found.append(f"<h4>{tidy(section)}</h4>")
        found.append(figure(key, array))
    checks = "".join(f"<p>{tidy(check)}</p>" for check in [worst(record), *record["closing"]])
    return "".join(found) + f'<h4>Checks</h4>{checks}<p class="live" hidden></p></article>'


def figure(key, array):
    """An array: formula, reason, line of the source, its numbers, its differences beside them."""
    why = f"<p>{tidy(array['why'])}</p>" if array["why"] else ""
    code = f"<p>code: <code>{tidy(array['code'])}</code></p>" if array["code"] else ""
    shape = f"  <small>{' x '.join(map(str, array['shape']))}</small>" * bool(array["shape"])
    grids = grid(array, f"{key}/{array['name']}", array["values"], "")
    if array["differences"] is not None:
        grids += grid(array, f"{key}/{array['name']}/moved", array["differences"], "moved")
    return (f'<section class="array {array["kind"]}"><h5>{tidy(title_of(array))}{shape}</h5>{why}'
            f'{code}<div class="grids">{grids}</div></section>')


def grid(array, name, values, caption):
    """Numbers as a table, each coloured by its sign and size."""
    ndim, digits = len(array["shape"]), digits_of(array)
    rows = [[values]] if ndim == 0 else [values] if ndim == 1 else values
    most = max(abs(x) for row in rows for x in row) or 1
    cells = "".join("<tr>" + "".join(
        f'<td class="{"neg" if x < 0 else "pos"}" style="--s:{abs(x) / most:.2f}">'
        f"{number(x, digits)}</td>" for x in row) + "</tr>" for row in rows)
    label = f"<caption>{caption}</caption>" if caption else ""
    return f'<table data-name="{tidy(name)}">{label}<tbody>{cells}</tbody></table>'


def tidy(text):
    """Text as it stands in HTML."""
    return html.escape(text)
