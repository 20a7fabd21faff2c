"""The preview: recordings chosen, drawn for, and shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechaug.transform import Transform


def preview(
    files: str | Path | Sequence[str | Path],
    policy: Transform | str | Path,
    *,
    output: str | Path = "preview.html",
    draws: int = 2,
    seed: int = 0,
    limit: int = 3,
    seconds: float = 10.0,
    serve: bool = False,
    port: int = 0,
    browse: bool = False,
) -> Path:
    """Let you hear and see what a policy does to recordings: one page that holds everything and loads nothing.

    Args:
        files: a recording, several, or a folder, of which a few recordings spread over it are taken.
        policy: a transform, a policy's YAML file, or the name of a preset.
        output: page to write.
        draws: how many draws of each recording are shown, with the seeds ``seed``, ``seed + 1`` and so on.
        seed: of the first draw.
        limit: most recordings of a folder.
        seconds: how much of each recording is heard, from its beginning.
        serve: after writing, also serve the page on this machine alone, with a button for a fresh draw.
        port: to serve at; 0 takes a free one.
        browse: open the page in the browser.

    Returns:
        The page written.
    """
    raise NotImplementedError
