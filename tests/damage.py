"""The golden vectors, and what may happen to a copy of them."""
import hashlib
import json
import shutil

from helpers import ROOT

FOLDER = ROOT / "data" / "golden"


def edit_manifest(copy, change, publish=False):
    path = copy / "manifest.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))
    if publish:
        path.with_name("manifest.json.sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


DAMAGE = {
    "flip": ("gelu.npz", lambda path: path.write_bytes(path.read_bytes()[:-300] + b"!" + path.read_bytes()[-299:])),
    "truncate": ("gelu.npz", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "empty": ("gelu.npz", lambda path: path.write_bytes(b"")),
    "other": ("gelu.npz", lambda path: shutil.copy(path.with_name("relu.npz"), path)),
    "delete": ("gelu.npz", lambda path: path.unlink()),
    "tol": ("manifest.json", lambda path: edit_manifest(path.parent, lambda m: m["cases"][0].update(tol=1.0))),
    "newline": ("manifest.json", lambda path: path.write_bytes(path.read_bytes() + b"\n")),
    "no-manifest": ("manifest.json", lambda path: path.unlink()),
    "no-hash": ("manifest.json.sha256", lambda path: path.unlink()),
    "empty-hash": ("manifest.json", lambda path: path.with_name("manifest.json.sha256").write_bytes(b"")),
    "binary-hash": ("manifest.json", lambda path: path.with_name("manifest.json.sha256").write_bytes(b"\xff\xfe")),
}
