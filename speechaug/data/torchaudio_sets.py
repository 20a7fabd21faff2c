"""Data sets of torchaudio as utterances: it finds the files and transcripts, soundfile reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechaug import _torchaudio
from speechaug.data.manifest import Utterance

_WORDS = ("no", "yes")


def read_torchaudio(dataset: Any) -> list[Utterance]:
    """Read utterances from ``LIBRISPEECH``, ``SPEECHCOMMANDS`` or ``YESNO`` of ``torchaudio.datasets``.

    Only names and transcripts are asked for, because torchaudio's own reading of files needs TorchCodec.

    Args:
        dataset: an object of one of these classes.

    Raises:
        ImportError: if torchaudio cannot be imported.
        ValueError: for another class.

    Example:
        ``read_torchaudio(torchaudio.datasets.SPEECHCOMMANDS("data/", subset="validation"))``

    Source: https://docs.pytorch.org/audio/2.11/datasets.html
    """
    sets = _torchaudio.require("a data set of torchaudio").datasets
    for kind, read in (
        (sets.LIBRISPEECH, _librispeech),
        (sets.SPEECHCOMMANDS, _speech_commands),
        (sets.YESNO, _yesno),
    ):
        if isinstance(dataset, kind):
            return list(read(dataset))
    raise ValueError(
        "read_torchaudio: dataset must be LIBRISPEECH, SPEECHCOMMANDS or YESNO, "
        f"got {type(dataset).__name__}; write a manifest of its files instead"
    )


def _librispeech(dataset: Any) -> Iterator[Utterance]:
    root = Path(dataset._archive).absolute()  # what the paths of get_metadata start at; no public name says it
    for index in range(len(dataset)):
        path, _, text, speaker, _, _ = dataset.get_metadata(index)
        yield Utterance(Path(path).stem, str(root / path), text, speaker=str(speaker))


def _speech_commands(dataset: Any) -> Iterator[Utterance]:
    root = Path(dataset._archive).absolute()
    for index in range(len(dataset)):
        path, _, label, speaker, take = dataset.get_metadata(index)
        yield Utterance(f"{label}/{Path(path).stem}", str(root / path), label, speaker=speaker, take=str(take))


def _yesno(dataset: Any) -> Iterator[Utterance]:
    # It has no get_metadata; the file's name says what is said: 1 is yes, 0 is no. One man speaks.
    for name in dataset._walker:
        path = Path(dataset._path).absolute() / f"{name}.wav"
        yield Utterance(name, str(path), " ".join(_WORDS[int(digit)] for digit in name.split("_")))
