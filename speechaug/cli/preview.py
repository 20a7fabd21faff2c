"""What the command ``speechaug preview`` does."""

from __future__ import annotations

from typing import Any

from speechaug.preview import preview


def run_preview(files: list[str], *, policy: str, **options: Any) -> None:
    """Hear and see what a policy does to recordings: one page that holds everything.

    Args:
        files: recordings, or a folder, of which a few are taken.
        policy: YAML file of a policy, small_sample or specaugment:NAME.
    """
    preview(files[0] if len(files) == 1 else files, policy, **options)
