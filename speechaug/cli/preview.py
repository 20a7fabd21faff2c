"""What the command ``speechaug preview`` does."""

from __future__ import annotations

from typing import Any

from speechaug.preview import preview


def run_preview(
    files: list[str],
    *,
    policy: str,
    noise: str | None = None,
    rooms: str | None = None,
    voices: str | None = None,
    **options: Any,
) -> None:
    """Hear and see what a policy does to recordings: one page that holds everything.

    Args:
        files: recordings, or a folder, of which a few are taken.
        policy: YAML file of a policy, small_sample or specaugment:NAME.
        noise: folder of recorded noise for small_sample.
        rooms: folder of room responses for small_sample.
        voices: folder of single talkers for small_sample.
    """
    sounds: dict[str, Any] = {"noise": noise, "rooms": rooms, "voices": voices}
    preview(files[0] if len(files) == 1 else files, policy, **sounds, **options)
