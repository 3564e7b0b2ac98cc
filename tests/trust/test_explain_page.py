"""The live page: its script under Node gives Python's numbers, and a real browser can use it."""
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from browser import CHROMIUM, browser
from helpers import ROOT

from minitf.trust.explain import explain, explain_attention, write_page

SCRIPT = ROOT / "minitf" / "trust" / "explain" / "page.js"
NODE = shutil.which("node")
HARNESS = """
const {start, work, differences, stepLoss, key, words, positions, entry} = require(process.argv[1]);
const records = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(records.map(record => {
  const given = Object.fromEntries(Object.entries(start(record)).filter(
    ([name]) => record.arrays.some(a => key(a.name) === name && a.kind === "given")));
  const values = work(record, given);
  const found = {};
  for (const a of record.arrays) {
    const id = key(a.name);
    found[a.name] = {values: values[id].data,
      differences: a.differences && differences(record, values, id.slice(1)),
      words: a.rule && positions(a.shape).map(at => words(a, at, values)),
      sources: a.rule && positions(a.shape).map(at => entry(a, at, values).sources.length)};
  }
  return {found, step: stepLoss(record, values)};
})));
"""


def node(records):
    done = subprocess.run([NODE, "-e", HARNESS, str(SCRIPT)], input=json.dumps(records), text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not NODE, reason="no Node here")
def test_the_script_computes_what_python_does_on_ten_seeds():
    records = [explain(T, d, seed) for seed, (T, d) in enumerate([(1, 1), (3, 2), (3, 2), (5, 3), (4, 1)])]
    records += [explain_attention(seed=5), explain_attention(T=2, d=3, heads=1, mask="none", seed=6),
                explain_attention(T=4, mask="window", sink=True, seed=7), explain_attention(softcap=1.5, seed=8),
                explain_attention(T=4, heads=3, sink=True, softcap=2.0, seed=9)]
    for record, answer in zip(records, node(records)):
        for array in record["arrays"]:
            found = answer["found"][array["name"]]
            values = np.ravel(array["values"])
            assert np.abs(values - found["values"]).max() <= 1e-12, array["name"]
            if array["differences"] is not None:
                assert np.abs(np.ravel(array["differences"]) - found["differences"]).max() <= 1e-9
            if array["rule"]:
                assert min(found["sources"]) > 0
                assert not any(re.search(r"\w\[|undefined|NaN|sum\(", words) for words in found["words"])
        assert abs(answer["step"]["seen"] - record["loss_after"]) <= 1e-12
        if "loss_predicted" in record:
            assert abs(answer["step"]["predicted"] - record["loss_predicted"]) <= 1e-12


@pytest.mark.slow
@pytest.mark.skipif(not NODE, reason="no Node here")
def test_the_formula_with_its_numbers_put_in_gives_the_number():
    for record in explain(seed=3), explain_attention(seed=3, sink=True, softcap=2.0):
        (answer,) = node([record])
        functions = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "cosh": np.cosh, "max": max}
        for array in record["arrays"]:
            for value, words in zip(np.ravel(array["values"]), answer["found"][array["name"]]["words"] or ()):
                assert abs(eval(words, functions) - value) <= 2e-3, (array["name"], words)


def test_the_page_is_one_small_file_that_reads_without_a_script(tmp_path):
    write_page(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(page) < 300_000 and not re.search(r"(src|href)=\"(?!data:,|#)|https?://|@import|url\(", page)
    text = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.S)
    prose = " ".join(re.sub(r"<[^>]+>", " ", text).replace("&gt;", ">").replace("&#x27;", "'").split())
    for record in explain(), explain_attention():
        for array in record["arrays"]:
            assert " ".join(array["why"].split()) in prose and array["formula"] in prose
            assert f'data-name="{"attention" if "heads" in record else "head"}/{array["name"]}"' in text
        for said in record["closing"]:
            assert said in prose


def contrast(one, two):
    def light(colour):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(colour) / 255]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])
    dark, bright = sorted([light(one), light(two)])
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_wcag_aa_in_light_and_dark():
    style = (SCRIPT.parent / "page.html").read_text(encoding="utf-8")
    themes = re.findall(r":root \{(.*?)\}", style, flags=re.S)
    assert len(themes) == 2
    for theme in themes:
        def hexed(name):
            digits = re.search(rf"--{name}: #(\w{{6}})", theme)[1]
            return np.array([int(digits[i:i + 2], 16) for i in (0, 2, 4)])
        paper, ink = hexed("paper"), hexed("ink")
        assert contrast(paper, hexed("soft")) >= 4.5 and contrast(paper, hexed("mark")) >= 3
        assert contrast(hexed("panel"), ink) >= 4.5
        for sign in "pos", "neg":
            colour = np.array([int(n) for n in re.search(rf"--{sign}: ([\d, ]+);", theme)[1].split(",")])
            assert contrast(0.33 * colour + 0.67 * paper, ink) >= 4.5


CONTRASTS = """(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const over = ([r, g, b, a = 1], under) => [r, g, b].map((c, i) => a * c + (1 - a) * under[i]);
  const behind = e => e ? over(parts(getComputedStyle(e).backgroundColor), behind(e.parentElement)) : [255, 255, 255];
  const texts = [...document.querySelectorAll("body *")].filter(e => e.offsetParent !== null || e.id === "panel").filter(
    e => e.tagName === "INPUT" || [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
  const found = texts.map(e => {
    const under = behind(e), [dark, bright] = [light(over(parts(getComputedStyle(e).color), under)), light(under)].sort(
      (a, b) => a - b);
    return [(bright + 0.05) / (dark + 0.05), e.outerHTML.slice(0, 100)];
  });
  return [found.length, found.sort((a, b) => a[0] - b[0])[0], light(behind(document.body))];
})()"""
OVERFLOW = """[...document.querySelectorAll("body *")].filter(e => !e.closest(".grids") || e.matches(".grids")).filter(
  e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 100))"""
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the page was not opened in a browser")


def cell(name, i=0):
    return f"document.querySelectorAll('table[data-name=\"{name}\"] td')[{i}]"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    write_page(folder / "page.html")
    write_page(folder / "large.html", T=8, d=6, heads=1)
    with browser(folder / "profile", (folder / "page.html").as_uri()) as tab:
        tab.large = (folder / "large.html").as_uri()
        tab.page = (folder / "page.html").as_uri()
        yield tab


@pytest.mark.slow
@needs_chromium
def test_a_browser_points_presses_tab_and_changes_numbers(tab):
    """With a mouse, then with keys alone; nothing is fetched, and nothing complains."""
    tab.width(1200)
    tab.point(cell("attention/dS0", 6))
    assert tab.ask("document.querySelectorAll('td.source').length") == 3
    told = tab.ask("panel.textContent")
    assert "dS0[2, 0] = " in told and "moved a little" in told
    assert tab.ask("document.activeElement.tagName") == "BODY"
    for _ in range(3):                                          # after the links to both examples
        tab.press("Tab")
    assert tab.ask("document.activeElement.ariaLabel") == "E 0, 0"
    tab.write("1e9")                                            # too large for exp: refused, nothing is NaN
    assert tab.ask("document.activeElement.getAttribute('aria-invalid')") == "true" and "NaN" not in tab.ask("document.body.innerText")
    tab.write("0.1")
    before = tab.ask(f"{cell('head/loss')}.textContent")
    tab.write("0.9")
    assert tab.ask(f"{cell('head/loss')}.textContent") != before
    tab.write("")
    assert tab.ask("document.activeElement.getAttribute('aria-invalid')") == "true"
    tab.write("0.1")
    assert tab.ask(f"{cell('head/loss')}.textContent") == before
    for _ in range(40):                                         # to the first number that was computed
        tab.press("Tab")
        if tab.ask("document.activeElement.ariaLabel") == "X 0, 0":
            break
    assert "X[0, 0] = " in tab.ask("panel.textContent") and tab.ask("document.querySelectorAll('.source').length") == 1
    for key, label in ("ArrowRight", "X 0, 1"), ("ArrowDown", "X 1, 1"), ("ArrowLeft", "X 1, 0"), ("ArrowUp", "X 0, 0"):
        tab.press(key)
        assert tab.ask("document.activeElement.ariaLabel") == label and label[2:] in tab.ask("panel.textContent")
    before = tab.ask(f"{cell('attention/loss')}.textContent")
    tab.ask(f"{cell('attention/M', 0)}.firstChild.focus()")
    tab.write("0")                                              # query 0 meets no key: zeros
    assert float(tab.ask(f"{cell('attention/A0')}.textContent")) == 0 and "NaN" not in tab.ask("document.body.innerText")
    tab.write("1")
    tab.ask(f"{cell('attention/M', 2)}.firstChild.focus()")
    tab.write("1")                                              # query 0 meets key 2
    assert tab.ask(f"{cell('attention/loss')}.textContent") != before
    shown = json.loads(tab.ask("JSON.stringify([...document.querySelectorAll('table[data-name$=\"/moved\"]')].map(t => ["
                               "t.dataset.name, t.textContent, t.previousElementSibling.textContent]))"))
    assert len(shown) > 30 and all(moved.replace("moved", "") == own for _, moved, own in shown)
    assert not tab.complaints()


@needs_chromium
@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.slow
def test_nothing_is_wider_than_the_window(tab, width):
    for page in tab.large, tab.page:
        tab.go(page)
        tab.width(width)
        tab.point(cell("attention/dS0"))
        assert tab.ask("document.documentElement.scrollWidth") <= width == tab.ask("innerWidth")
        assert tab.ask(OVERFLOW) == []


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("media, scheme", [("screen", "light"), ("screen", "dark"), ("print", "light"), ("print", "dark")])
def test_every_text_has_the_contrast_of_wcag_aa(tab, media, scheme):
    """Over its own background, blended; dark only where the reader wants it and not on paper."""
    tab.media(media, scheme)
    texts, (least, where), paper = tab.ask(CONTRASTS)
    assert texts > 500 and least >= 4.5, where
    assert paper < 0.05 if (media, scheme) == ("screen", "dark") else paper > 0.9
    tab.media()


@needs_chromium
def test_in_print_all_numbers_stand_and_nothing_else(tab):
    tab.media("print")
    assert tab.ask("getComputedStyle(panel).display") == "none"
    assert tab.ask("[...document.querySelectorAll('td')].every(td => td.offsetWidth && (td.textContent || td.firstChild.value))")
    assert len(tab.send("Page.printToPDF", printBackground=True)["data"]) > 50_000
    tab.media()


@needs_chromium
def test_without_a_script_the_same_numbers_stand_there(tab):
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    tab.go(tab.page + "?")
    still = tab.ask("[...document.querySelectorAll('td')].map(td => td.textContent)")
    assert tab.ask("document.querySelectorAll('input').length") == 0 and tab.ask("panel.hidden")
    tab.send("Emulation.setScriptExecutionDisabled", value=False)
    tab.go(tab.page)
    live = tab.ask("[...document.querySelectorAll('td')].map(td => td.textContent || td.firstChild.value)")
    assert still == live and len(live) > 500
