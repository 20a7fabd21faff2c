"""Named, versioned text normalisers: what counts as the same word is part of every score.

A normaliser is applied to both sides. Changing what one does to any text raises its version.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from speechaug.asr.text import normalise_text

_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'", "‘": "'", "`": "'"})


@dataclass(frozen=True)
class Normaliser:
    """A function from text to text with a name and a version, which stand beside every number.

    Args:
        name: what it is called.
        version: raised whenever the result for any text changes; that of another package says so.
        apply: the function; the same for references and hypotheses.

    Example:
        >>> get_normaliser("basic")("It’s  5 o'clock, isn't it?")
        "it's 5 o'clock isn't it"
    """

    name: str
    version: str
    apply: Callable[[str], str] = field(compare=False, repr=False)

    def __call__(self, text: str) -> str:
        return self.apply(text)

    def to_dict(self) -> dict[str, str]:
        """Return name and version, as they stand in an evaluation."""
        return {"name": self.name, "version": self.version}


def get_normaliser(name: str) -> Normaliser:
    """Return a normaliser by its name.

    ``"none"`` changes nothing but runs of white space. ``"text"`` is what recognizers of this library are trained on:
    lower case, composed accents. ``"basic"`` also removes punctuation and symbols, in any language; apostrophes inside
    a word stay, hyphens and dashes part words, and numbers stay as they are written. ``"english-whisper"`` is the
    normaliser that leaderboards of English use: it also spells numbers and contractions in one way and leaves out
    "uh" and what is in brackets; only its list of British spellings is not there, which ships with models.

    Args:
        name: ``"none"``, ``"text"``, ``"basic"`` or ``"english-whisper"``.

    Raises:
        ValueError: for another name.
        ImportError: for ``"english-whisper"`` without the package transformers.

    Source: OpenAI's Whisper (Radford et al., 2022, appendix C), as in transformers, for ``"english-whisper"``.
    """
    if name not in _MAKERS:
        raise ValueError(f"get_normaliser: name must be one of {', '.join(_MAKERS)}, got {name!r}")
    return _MAKERS[name]()


def _remove_punctuation(text: str) -> str:
    """Part words at punctuation and symbols; an apostrophe between letters is part of its word."""
    text = normalise_text(text.translate(_APOSTROPHES))
    kept = [character if _stays(text, place) else " " for place, character in enumerate(text)]
    return " ".join("".join(kept).split())


def _stays(text: str, place: int) -> bool:
    character = text[place]
    if character == "'":
        return text[place - 1 : place].isalnum() and text[place + 1 : place + 2].isalnum()
    return unicodedata.category(character)[0] not in "PSC"


@lru_cache(maxsize=1)
def _english_whisper() -> Normaliser:
    try:
        import transformers
        from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
    except ImportError as error:
        raise ImportError(
            "get_normaliser: 'english-whisper' needs transformers: pip install transformers, or take 'basic'"
        ) from error
    return Normaliser("english-whisper", f"1, transformers {transformers.__version__}", EnglishTextNormalizer({}))


_MAKERS: dict[str, Callable[[], Normaliser]] = {
    "none": lambda: Normaliser("none", "1", lambda text: " ".join(text.split())),
    "text": lambda: Normaliser("text", "1", normalise_text),
    "basic": lambda: Normaliser("basic", "1", _remove_punctuation),
    "english-whisper": _english_whisper,
}
