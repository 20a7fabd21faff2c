"""Which policies suit single recordings."""

from __future__ import annotations

from typing import Any

from speechaug.transform import Transform


def check_single(owner: str, policy: Any) -> None:
    """Check that a policy acts on waveforms, each alone.

    Args:
        owner: who asks, for the message.
        policy: what was given.

    Raises:
        ValueError: if it is no policy, is for spectrograms or mixes rows.
    """
    if not isinstance(policy, Transform) or policy.domain != "waveform" or policy.mixes_rows:
        raise ValueError(f"{owner}: policy must act on single waveforms, got {type(policy).__name__}")
