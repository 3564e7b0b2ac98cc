"""The live page: its script under Node gives Python's numbers, and a real browser can use it."""
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from helpers import ROOT

from minitf.trust.explain import explain, explain_attention, write_page
from minitf.trust.explain.page import page_of

SCRIPT = ROOT / "minitf" / "trust" / "explain" / "page.js"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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
    assert len(page) < 300_000 and not re.search(r"(src|href)=\"(?!data:,)|https?://|@import|url\(", page)
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


PROBE = """<script>
addEventListener("error", event => document.title = "error: " + event.message);
addEventListener("load", () => {
  const log = [], cell = name => document.querySelector(`table[data-name="${name}"] td`);
  cell("attention/dS0").dispatchEvent(new Event("mouseenter"));
  log.push(document.querySelectorAll("td.source").length, panel.textContent);
  const before = cell("attention/loss").textContent, input = cell("attention/M").parentNode.children[2].firstChild;
  input.value = 1; input.dispatchEvent(new Event("input", {bubbles: true}));
  log.push(before, cell("attention/loss").textContent);
  const weight = cell("head/W_QK").firstChild, loss = cell("head/loss").textContent;
  weight.value = 1.5; weight.dispatchEvent(new Event("input", {bubbles: true}));
  log.push(loss, cell("head/loss").textContent);
  const out = cell("attention/out0"); out.focus();
  log.push(document.activeElement === out, panel.textContent.includes("out0[0, 0] = "));
  out.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
  log.push(panel.textContent.includes("out0[0, 1] = "));
  log.push(document.documentElement.scrollWidth <= innerWidth, innerWidth);
  document.body.replaceChildren(Object.assign(document.createElement("pre"), {textContent: JSON.stringify(log)}));
});
</script></body>"""


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the page was not opened in a browser")
@pytest.mark.parametrize("width", [360, pytest.param(1200, marks=pytest.mark.slow)])
def test_a_browser_loads_hovers_changes_and_is_used_by_keyboard(tmp_path, width):
    (tmp_path / "page.html").write_text(page_of().replace("</body>", PROBE), encoding="utf-8")
    done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
                           f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--log-level=0",
                           f"--window-size={width},900", (tmp_path / "page.html").as_uri()],
                          capture_output=True, text=True, timeout=120)
    said = re.search(r"<pre>(\[.*?\])</pre>", done.stdout)
    assert said, done.stdout[-500:] + done.stderr[-2000:]
    assert not re.findall(r"CONSOLE.*", done.stderr)
    sources, panel, before, after, loss, moved, focused, told, arrow, fits, inner = json.loads(
        said[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert sources == 3 and "dS0[0, 0] = " in panel and "moved a little" in panel
    assert before != after and loss != moved and focused and told and arrow and fits, inner
