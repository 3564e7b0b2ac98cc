"""The manifest is what its JSON schema says; a reader refuses what it does not know."""
import hashlib
import json
import re
import shutil

import pytest
from helpers import ROOT

from minitf.trust.golden import load_golden

FOLDER = ROOT / "data" / "golden"
SCHEMA, MANIFEST = (json.loads((FOLDER / f"manifest{end}").read_text()) for end in (".schema.json", ".json"))
TYPES = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "null": type(None)}


def wrong(value, schema, path="manifest"):
    """What a value breaks of the keywords that the schema uses."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(isinstance(value, TYPES[kind]) and not isinstance(value, bool) for kind in kinds):
        yield f"{path}: {value!r} is no {kinds}"
        return
    if "const" in schema and value != schema["const"] or "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not allowed"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{path}: {value!r} has not the form {schema['pattern']}"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{path}: {len(value)} items"
        for i, item in enumerate(value):
            yield from wrong(item, schema.get("items", {}), f"{path}[{i}]")
    if isinstance(value, dict):
        yield from (f"{path}: no {name}" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            part = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            yield from wrong(item, part, f"{path}.{name}")


def test_the_manifest_fits_its_schema():
    assert list(wrong(MANIFEST, SCHEMA)) == []
    assert set(SCHEMA["properties"]["cases"]["items"]["properties"]) == {key for case in MANIFEST["cases"] for key in case}


@pytest.mark.parametrize("change", [
    lambda m: m.update(format=2), lambda m: m["cases"][0].pop("tol"), lambda m: m["cases"][0].update(tol="small"),
    lambda m: m["cases"][0].update(operator="attend"), lambda m: m["cases"][0].update(sha256="0"),
    lambda m: m["cases"][-1]["options"].update(window=[1]), lambda m: m["cases"][0]["err_plain"].pop("float16"),
])
def test_the_schema_refuses(change):
    manifest = json.loads(json.dumps(MANIFEST))
    change(manifest)
    assert list(wrong(manifest, SCHEMA))


def test_the_conventions_are_said_in_the_manifest():
    said = MANIFEST["conventions"]
    assert "natural" in said["logarithm"] and "true = may attend" in said["boolean masks"]
    assert all(corner in said["causal"] for corner in ("top-left", "bottom-right"))


@pytest.mark.parametrize("change", [lambda case: case["options"].update(dropout=0.1),
                                    lambda case: case["arguments"].append("alibi")])
def test_a_case_with_an_option_that_is_not_known_is_refused(tmp_path, change):
    folder = shutil.copytree(FOLDER, tmp_path / "golden")
    manifest = json.loads(json.dumps(MANIFEST))
    change(next(case for case in manifest["cases"] if case["name"] == "causal"))
    text = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(text)
    (folder / "manifest.json.sha256").write_text(hashlib.sha256(text).hexdigest())
    with pytest.raises(ValueError, match="causal.npz: options: expected those that this version knows, got"):
        load_golden(folder)
