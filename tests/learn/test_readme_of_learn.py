"""The page of the room names every key that `learn --json` prints."""
import re

from helpers import ROOT

from minitf.lab.run import RECORD


def test_every_key_is_described():
    page = (ROOT / "minitf/learn/README.md").read_text(encoding="utf-8")
    keys = page.split("## The keys of `--json`")[1]
    assert set(RECORD) <= set(re.findall(r"^\| `(\w+)` \|", keys, flags=re.M))
