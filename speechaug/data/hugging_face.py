"""Hugging Face ``datasets``: their tables as utterances, their sound decoded by soundfile alone."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from speechaug.data.manifest import ALIASES, Utterance, as_text, columns


@dataclass(frozen=True)
class Row:
    """The encoded sound in a row of a data set, read when it is opened.

    Args:
        dataset: that holds the column, undecoded.
        column: of the sound.
        index: number of the row.
        name: of the file that the sound came from, for messages; may be empty.
    """

    dataset: Any = field(repr=False)
    column: str
    index: int
    name: str = ""

    def open(self) -> BinaryIO:
        """Return the encoded sound; a row without any is empty."""
        held = self.dataset[self.index][self.column] or {}
        return io.BytesIO(held.get("bytes") or b"")

    def __str__(self) -> str:
        """Name the row."""
        return f"row {self.index} ({self.name})" if self.name else f"row {self.index}"


def read_hugging_face(dataset: Any, *, text: str | None = None) -> list[Utterance]:
    """Read utterances from a Hugging Face data set.

    The ``Audio`` column is taken undecoded: a path is read from its file, bytes from the table, which stays where it is
    (mapped from disk). Neither torchcodec nor any other decoder of ``datasets`` is needed; a sampling rate stated in
    the column is not applied. The speaker is in ``speaker``, ``speaker_id`` or ``client_id``, the id in ``id``, without
    which it is the number of the row.

    Args:
        dataset: a ``datasets.Dataset``, one split.
        text: column of the transcripts or labels. None takes ``text``; without it the one of ``sentence``,
            ``transcription`` and ``transcript`` that is there; without any ``label``. Numbers of classes become names.

    Raises:
        ValueError: if the data set is streamed or has several splits, if there is not exactly one ``Audio`` column, or
            if the column of the text is not there or cannot be told.

    Example:
        ``read_hugging_face(load_dataset("PolyAI/minds14", "en-US", split="train"), text="english_transcription")``
    """
    from datasets import Audio, Dataset

    if not isinstance(dataset, Dataset):
        raise ValueError(
            "read_hugging_face: dataset must be one split of a datasets.Dataset that is not streamed, such as "
            f"load_dataset(...)['train'], got {type(dataset).__name__}"
        )
    dataset = dataset.with_format(None)
    sounds = [name for name, feature in dataset.features.items() if isinstance(feature, Audio)]
    if len(sounds) != 1:
        raise ValueError(
            f"read_hugging_face: dataset must have one Audio column, got {sounds} in {dataset.column_names}; "
            "cast_column(name, Audio()) makes one, remove_columns(name) removes one"
        )
    chosen = columns(set(dataset.column_names) - {"audio", *ALIASES["audio"]}, "read_hugging_face")
    text = _text_column(dataset.column_names, chosen.get("text"), text)
    count = len(dataset)
    return [
        Utterance(name, sound, said, speaker=speaker)
        for name, sound, said, speaker in zip(
            _strings(dataset, "id") if "id" in dataset.column_names else [str(index) for index in range(count)],
            _sounds(dataset, sounds[0]),
            _strings(dataset, text),
            _strings(dataset, chosen["speaker"]) if "speaker" in chosen else [""] * count,
            strict=True,
        )
    ]


def other_columns(dataset: Any) -> list[dict[str, Any]]:
    """Return the rows of a data set without sound, pictures and whatever else would have to be decoded.

    Args:
        dataset: a ``datasets.Dataset``.
    """
    plain = [name for name, feature in dataset.features.items() if not hasattr(feature, "decode_example")]
    return list(dataset.with_format(None).select_columns(plain))


def _text_column(found: Sequence[str], usual: str | None, given: str | None) -> str:
    name = given or usual or "label"
    if name not in found:
        names = ", ".join(("text", *ALIASES["text"], "label")) if given is None else repr(given)
        raise ValueError(f"read_hugging_face: text must be a column, looked for {names} in {list(found)}")
    return name


def _strings(dataset: Any, column: str) -> list[str]:
    """Read a column as text; the numbers of classes become their names."""
    names = getattr(dataset.features[column], "names", None)
    values = dataset.select_columns([column])[:][column]
    if names is None:
        return [as_text(value, f"read_hugging_face: column {column!r}") for value in values]
    return ["" if value is None or value < 0 else names[value] for value in values]


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def _sounds(dataset: Any, column: str) -> list[str | Row]:
    """Return a path where the table holds no bytes, otherwise the row."""
    from datasets import Audio

    encoded = dataset.select_columns([column]).cast_column(column, Audio(decode=False))
    sounds: list[str | Row] = []
    # In small pieces: a selection of rows is copied as it is read, sound and all.
    for table in encoded.flatten().with_format("arrow").iter(batch_size=64):
        absent = table[f"{column}.bytes"].is_null().to_pylist()
        for path, no_bytes in zip(table[f"{column}.path"].to_pylist(), absent, strict=True):
            row = Row(encoded, column, len(sounds), path or "")
            sounds.append(_absolute(path) if no_bytes and path else row)
    return sounds
