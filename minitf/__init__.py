"""minitf: bounded-norm softmax attention and the sparse Boolean functions it learns, in NumPy.

Every name loads the room it lives in at its first use (PEP 562), so that `import minitf` costs no
more than NumPy, and the command line can choose its threads before NumPy is there.
"""
import importlib

ROOMS = {
    "ops": """add attention attention_blocked attention_tangent attention_weights cap embed gelu
              identity layer_norm linear logistic relu sigmoid softmax unit_ball""",
    "projections": "Ball Box Intersection Simplex dual_norm norm project",
    "tasks": "BooleanTask consistent_supports sample_task truth_table",
    "model": "ModelConfig constraints init_params",
    "fast": "cls_head forward mean_bit",
    "learn": "Progress Result TrainConfig fit load",
    "theory": "certify construct rademacher_lower",
    "trust": "check_pullback golden_cases judge projection_gap saved",
}
HOME = {name: f"minitf.{room}" for room, names in ROOMS.items() for name in names.split()}
MODULES = {*ROOMS, "bounds", "lab", "optim"}

__all__ = sorted([*HOME, "__bibtex__", "__version__"])


def __getattr__(name):
    if name in MODULES:
        return importlib.import_module(f"minitf.{name}")
    if name == "__version__":
        return importlib.import_module("minitf.files").VERSION
    if name == "__bibtex__":
        resources = importlib.import_module("importlib.resources")
        return resources.files("minitf").joinpath("cite.bib").read_text(encoding="utf-8")
    if name not in HOME:
        raise AttributeError(f"module 'minitf' has no attribute {name!r}")
    return getattr(importlib.import_module(HOME[name]), name)


def __dir__():
    return sorted({*globals(), *__all__, *MODULES})
