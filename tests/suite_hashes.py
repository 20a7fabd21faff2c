"""The suite's conditions when this file was last written: version 1 must never change unseen.

A hash covers the policy of a condition and every sound it uses; levels, what is heard. Run
``python tests/suite_hashes.py --write`` to accept a change; where it changes what is heard, ``VERSION`` in
``speechaug/robustness/suite.py`` must change, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechaug.robustness.render import render
from speechaug.robustness.suite import VERSION, Subset, load_suite

PATH = Path(__file__).with_suffix(".json")
HEARD = PATH.with_name("suite_heard.json")
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


def heard() -> dict[str, list[float]]:
    """Return length and levels of one utterance under every condition at 16 kHz, by what no processor rounds away.

    Levels are of quarters, and of their differences from sample to sample, where treble counts more; in dB, at
    least -80. Codecs of other libraries are left out: they change with their versions.
    """
    whole = {f"{subset} {condition.name}": condition for subset in WHOLE for condition in load_suite(subset).conditions}
    found = {}
    for name, condition in whole.items():
        if not any(codec in repr(condition.policy) for codec in ("Mp3", "Opus")):
            y = render(condition, _utterance(), 16_000, id="frozen").samples.astype(np.float64)
            quarters = np.array_split(y, 4)
            found[name] = [len(y), *map(_level_db, quarters), *map(_level_db, map(np.diff, quarters))]
    return found


def _utterance() -> NDArray[np.float32]:
    """A second of pulses and noise, exact everywhere."""
    rng, place = np.random.default_rng(1), np.arange(16_000)
    pulses = 4_000 * (place % 128 < 4) + rng.integers(-1_000, 1_000, 16_000)
    return (pulses * np.abs(place % 4_000 - 2_000) / 2**26).astype(np.float32)


def _level_db(x: NDArray[np.float64]) -> float:
    return round(10.0 * float(np.log10(max(1e-8, float(np.mean(x**2))))), 2)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    PATH.write_text(json.dumps(compute(), indent=0) + "\n", encoding="utf-8")
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(levels)}" for name, levels in heard().items())
    HEARD.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")
    print(f"Wrote {PATH.name} and {HEARD.name}")
