"""The preview: recordings chosen, drawn for, and shown."""

from __future__ import annotations

import math
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from speechaug._lines import write_text
from speechaug.folders.policies import Sounds
from speechaug.preview.cards import STRENGTHS
from speechaug.preview.excerpts import Excerpt, read_excerpts
from speechaug.preview.gallery import Gallery
from speechaug.preview.policies import Source
from speechaug.preview.server import serve as serve_page
from speechaug.transform import Transform

MOST_MINUTES = 30.0
"""How much sound a page may hold: about 20 MB."""


def preview(
    files: str | Path | Sequence[str | Path],
    policy: Transform | str | Path,
    *,
    noise: Sounds = None,
    rooms: Sounds = None,
    voices: Sounds = None,
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

    For each recording and draw the page has waveform, spectrogram and sound before and after, on the same axes and in
    the same colours, what was drawn in words, what was measured, a slider from no effect to twice the strength, and
    Python that does the same again. Of a policy for spectrograms, the features of the recognizer are shown.

    Args:
        files: a recording, several, or a folder, of which a few recordings spread over it are taken.
        policy: a transform, a policy's YAML file, or the name of a preset. Banks are brought to the rate of each
            recording.
        noise: folder or bank of recorded noise for ``small_sample``; other policies have their own.
        rooms: folder or bank of room responses for ``small_sample``.
        voices: folder or bank of single talkers for ``small_sample``, which adds babble of them.
        output: page to write.
        draws: how many draws of each recording are shown, with the seeds ``seed``, ``seed + 1`` and so on.
        seed: of the first draw.
        limit: most recordings of a folder.
        seconds: how much of each recording is heard, from its beginning.
        serve: after writing, also serve the page, on this machine alone, with buttons for fresh draws, until Ctrl-C.
        port: to serve at; 0 takes a free one.
        browse: open the page in the browser.

    Returns:
        The page written.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if there is no audio, a number is out of range, or the policy cannot be used.

    Example:
        >>> import tempfile, numpy as np, speechaug as sa
        >>> folder = Path(tempfile.mkdtemp())
        >>> clipped = sa.audio.write(folder / "tone.wav", 0.1 * np.sin(np.arange(8_000) * 0.3), 16_000)
        >>> page = preview(folder / "tone.wav", sa.Gain(), output=folder / "preview.html", draws=1)
        Wrote ...preview.html (0.1 MB)
    """
    for name, value, least in (("draws", draws, 1), ("seed", seed, 0), ("limit", limit, 1)):
        if value < least:
            raise ValueError(f"preview: {name} must be >= {least}, got {value!r}")
    if not 0 < seconds <= 60:
        raise ValueError(f"preview: seconds must be in (0, 60], got {seconds!r}")
    if not 0 <= port < 2**16:
        raise ValueError(f"preview: port must be in [0, 65535], got {port!r}")
    if Path(output).is_dir():
        raise ValueError(f"preview: output must be a file, got the folder {str(output)!r}")
    source = Source.of(policy, noise=noise, rooms=rooms, voices=voices)
    excerpts = read_excerpts([files] if isinstance(files, (str, Path)) else files, limit, seconds)
    _check_size(excerpts, draws)
    gallery = Gallery(excerpts, source, range(seed, seed + draws))
    page = _write(Path(output), gallery.page())
    if serve:
        serve_page(gallery, port, browse)
    elif browse:
        webbrowser.open(page.resolve().as_uri())
    return page


def _check_size(excerpts: Sequence[Excerpt], draws: int) -> None:
    if not excerpts:
        raise ValueError("preview: files must name at least one recording, got none")
    heard = draws * (1 + len(STRENGTHS))
    minutes = math.fsum(excerpt.duration_s for excerpt in excerpts) * heard / 60
    if minutes > MOST_MINUTES:
        raise ValueError(
            f"preview: files, draws and seconds must give at most {MOST_MINUTES:g} minutes of sound, got {minutes:.0f} "
            f"({len(excerpts)} recordings, each {heard} times)"
        )


def _write(path: Path, page: str) -> Path:
    write_text(path, page)
    print(f"Wrote {path} ({len(page) / 1e6:.1f} MB)")
    return path
