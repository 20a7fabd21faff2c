"""The hashes of the suite's conditions when this file was last written: version 1 must never change unseen.

A hash covers the policy of a condition and every sound it uses. Run ``python tests/suite_hashes.py --write`` to accept
a change; where it changes what is heard, ``VERSION`` in ``speechaug/robustness/suite.py`` must change, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from speechaug.robustness.suite import VERSION, Subset, load_suite

PATH = Path(__file__).with_suffix(".json")
RATES = (8_000, 16_000)
SUBSETS: tuple[Subset, ...] = ("tiny", "standard", "full", "srb")
WHOLE: tuple[Subset, ...] = ("full", "srb")


def compute() -> dict[str, Any]:
    """Return the version, the hash of every subset at two rates, and of every condition at 16 kHz."""
    suites = {f"{subset} {rate}": load_suite(subset, sample_rate=rate).hash for subset in SUBSETS for rate in RATES}
    conditions = {
        f"{subset} {condition.name}": condition.hash
        for subset in WHOLE
        for condition in load_suite(subset).conditions
    }
    return {"version": VERSION, "suites": suites, "conditions": conditions}


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    PATH.write_text(json.dumps(compute(), indent=0) + "\n", encoding="utf-8")
    print(f"Wrote {PATH.name}")
