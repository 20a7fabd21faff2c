"""What every transform drew and computed when this file was last written: notices any change between versions.

Run ``python tests/golden.py --write`` to accept a change; nothing else writes ``fixtures/golden.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import speechaug as sa
from speechaug.testing import _batch, _call, _draws, example, policy_example

PATH = Path(__file__).parents[1] / "fixtures" / "golden.json"


def compute() -> dict[str, Any]:
    """Return draws (exact), lengths (exact) and some samples (to rounding) of every transform on a fixed batch.

    What runs on the host is an encoder of another library, whose samples change with its version.
    """
    record = {}
    built = [example(cls) for cls in sa.TRANSFORMS.values() if cls.__module__.startswith("speechaug.")]
    for transform in [*built, policy_example()]:
        x, lengths = _batch(transform)
        draws = _draws(transform, len(x))
        y, y_lengths = _call(transform, x, lengths, draws)
        probes = y[:3, 0, :: max(1, y.shape[-1] // 10)].double()
        record[repr(transform)] = {
            "draws": draws.to_dict(),
            "lengths": y_lengths.tolist(),
            "samples": [] if transform.on_host else [[round(value, 6) for value in row] for row in probes.tolist()],
        }
    return record


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    PATH.write_text(json.dumps(compute(), indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {PATH.name}")
