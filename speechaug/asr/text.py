"""Tokens: from transcripts to the integers CTC is trained on, and back."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

BLANK = 0
"""Index CTC reserves for "no token"; the first token of a vocabulary has index 1."""


def normalise_text(text: str) -> str:
    """Lower-case a transcript, make runs of white space one space, and compose accents (Unicode NFC).

    Example:
        >>> normalise_text("  One\\tTWO ")
        'one two'
    """
    return " ".join(unicodedata.normalize("NFC", text.lower()).split())


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary of characters or words; index 0 is the CTC blank, the tokens follow.

    Args:
        vocabulary: the tokens, in the order of their indices.
        unit: ``"char"`` (a space is a token like any other) or ``"word"``.

    Raises: ValueError: if the vocabulary is empty, repeats a token or holds one that is no such unit.

    Example:
        >>> tokenizer = Tokenizer.from_texts(["one two", "two"], unit="word")
        >>> tokenizer.vocabulary, tokenizer.encode("Two one"), tokenizer.decode([2, 1])
        (('one', 'two'), [2, 1], 'two one')
    """

    vocabulary: tuple[str, ...]
    unit: str = "char"

    def __post_init__(self) -> None:
        given: Any = self.vocabulary
        if isinstance(given, str) or not isinstance(given, Iterable) or not all(isinstance(t, str) for t in given):
            raise ValueError(f"Tokenizer: vocabulary must be a list of texts, got {given!r}")
        object.__setattr__(self, "vocabulary", tuple(map(str, given)))  # NumPy's texts are another type
        if self.unit not in ("char", "word"):
            raise ValueError(f"Tokenizer: unit must be 'char' or 'word', got {self.unit!r}")
        if not self.vocabulary or len(set(self.vocabulary)) < len(self.vocabulary):
            raise ValueError(f"Tokenizer: vocabulary must hold at least one token, each once, got {self.vocabulary}")
        for token in self.vocabulary:
            is_space = self.unit == "char" and token == " "
            if not is_space and (normalise_text(token) != token or self._split(token) != [token]):
                raise ValueError(f"Tokenizer: vocabulary must hold normalised {self.unit}s, got {token!r}")

    @classmethod
    def from_texts(cls, texts: Iterable[str], *, unit: str = "char") -> Tokenizer:
        """Collect the tokens of some transcripts, sorted.

        Args:
            texts: transcripts, normalised here.
            unit: ``"char"`` or ``"word"``.
        """
        tokens: set[str] = set()
        for text in texts:
            tokens.update(normalise_text(text) if unit == "char" else normalise_text(text).split())
        return cls(tuple(sorted(tokens)), unit)

    def __len__(self) -> int:
        """Return the number of outputs a CTC model needs: the tokens and the blank."""
        return len(self.vocabulary) + 1

    @cached_property
    def _index(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.vocabulary, start=BLANK + 1)}

    def _split(self, text: str) -> list[str]:
        return text.split() if self.unit == "word" else list(text)

    def encode(self, text: str) -> list[int]:
        """Return the token indices of a transcript, normalised first.

        Raises: ValueError: if a token is not in the vocabulary; it names text, token and vocabulary.
        """
        tokens = self._split(normalise_text(text))
        for token in tokens:
            if token not in self._index:
                raise ValueError(
                    f"Tokenizer: text must hold {self.unit}s of the vocabulary {list(self.vocabulary)}, "
                    f"got {token!r} in {text!r}"
                )
        return [self._index[token] for token in tokens]

    def decode(self, indices: Sequence[int]) -> str:
        """Return the transcript of some token indices (blanks and repeats already removed)."""
        tokens = [self.vocabulary[index - 1] for index in indices]
        return normalise_text((" " if self.unit == "word" else "").join(tokens))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, from which ``Tokenizer(**data)`` is equal."""
        return {"vocabulary": list(self.vocabulary), "unit": self.unit}
