"""Make deploys.tsv and lamp.csv again, byte for byte:  python data/examples/make.py FOLDER"""
import sys
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
rng = np.random.default_rng(2024)

# A deploy fails when it migrates the database and has no canary; 2 % of the outcomes are flipped.
names = ["migration", "canary", "friday", "hotfix", "new_region", "big_diff", "night", "schema_lock", "rollout",
         "flag_on", "retry", "cache_warm", "two_reviews", "load_test", "draft", "frozen"]
X = rng.random((360, len(names))) < rng.uniform(0.35, 0.65, len(names))
fails = (X[:, 0] & ~X[:, 1]) ^ (rng.random(len(X)) < 0.02)
lines = ["\t".join(["id", *names, "outcome"])]
lines += ["\t".join([f"d{1000 + i}", *map(str, row.tolist()), "fail" if bad else "pass"])
          for i, (row, bad) in enumerate(zip(X, fails))]
(folder / "deploys.tsv").write_text("\n".join(lines) + "\n")

# A lamp with a switch at either end of the stairs, among ten other switches of the house.
names = ["porch", "cellar", "stairs_down", "kitchen", "attic", "stairs_up", "garage", "bath", "study", "garden",
         "bell", "fan"]
X = rng.random((320, len(names))) < 0.5
lines = [";".join([*names, "lamp"])]
lines += [";".join("yes" if cell else "no" for cell in [*row, row[2] ^ row[5]]) for row in X]
(folder / "lamp.csv").write_text("\n".join(lines) + "\n")
