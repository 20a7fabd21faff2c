"""Prefix beam search with an n-gram language model, through flashlight-text.

flashlight-text is the search under torchaudio's ``ctc_decoder``; used by itself it also works where torchaudio does not
import. Its wheels bring KenLM along.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from speechaug.asr.text import BLANK, Tokenizer, normalise_text

PRUNED_BELOW = 50.0
"""Hypotheses so many nats below the best one of their frame are dropped."""

_NEVER = -1e4  # log-probability of what cannot be: further below the best than anything that is kept
_SPACE = "<space>"
_NO_SILENCE = -1  # flashlight's silence is a token of wav2letter's models, not of these


@dataclass(frozen=True)
class Hypothesis:
    """A text that a beam search holds possible.

    Args:
        text: what may have been said.
        score: its logarithmic score, as :class:`BeamSearch` defines it.
    """

    text: str
    score: float


_Search = Callable[[Tensor], list[Hypothesis]]
"""From log-probabilities ``(frames, tokens)`` to hypotheses, best first."""


@dataclass(frozen=True)
class BeamSearch:
    """Prefix beam search, with an n-gram language model if there is one: a decoder for a recognizer.

    Greedy decoding takes the one most probable path; a text is spoken by many paths, and this sums over them. It looks
    for the text W with the greatest ``log P(W | audio) + lm_weight * log P(W) + word_score * words in W``, in natural
    logarithms; P(W) includes the end of the sentence.

    What the language model counts are the recognizer's tokens: words for a recognizer of words, otherwise characters,
    where the space is written ``<space>``. With a ``lexicon`` a recognizer of characters writes nothing but its words,
    and the language model is one of words.

    An utterance takes about 120 bytes per frame and hypothesis: an hour at 25 frames per second 10 MB per hypothesis.

    Args:
        beam_size: hypotheses kept in each frame.
        lm: a file KenLM reads, ARPA or binary, of order two or more; ``None`` is no language model.
        lm_weight: weight of the language model.
        word_score: added for every word (without a lexicon, for every token): language models like short texts, a
            positive score makes up for it. Without a lexicon it makes the search about ten times slower.
        lexicon: the words that may be written, for recognizers of characters; ``None`` allows anything.

    Raises:
        ImportError: if flashlight-text is not installed.
        ValueError: if an argument is out of range or there is no such file; at first use if KenLM cannot read the file,
            the language model knows nothing the recognizer writes, or the lexicon does not go with the recognizer.

    Source: Graves et al. (2006), section 3.2, "prefix search decoding"; Hannun et al. (2014), "First-Pass Large
        Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs".

    Example:
        >>> tokenizer, log_probs = Tokenizer(("a",)), torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
        >>> BeamSearch(beam_size=4)(log_probs, torch.tensor([2]), tokenizer)  # doctest: +SKIP
        ['a']

        The best path, blank and blank, has probability 0.36; the three paths of "a" have 0.64 together.
    """

    beam_size: int = 50
    lm: str | Path | None = None
    lm_weight: float = 0.5
    word_score: float = 0.0
    lexicon: Sequence[str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.beam_size, int) or self.beam_size < 1:
            raise ValueError(f"BeamSearch: beam_size must be a whole number >= 1, got {self.beam_size!r}")
        for name in ("lm_weight", "word_score"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"BeamSearch: {name} must be finite, got {getattr(self, name)}")
        if self.lm is not None and not Path(self.lm).is_file():
            raise ValueError(f"BeamSearch: lm must be an ARPA or KenLM file, got {str(self.lm)!r}: no such file")
        if self.lexicon is not None:
            object.__setattr__(self, "lexicon", _words(self.lexicon))
        _flashlight()

    def __call__(self, log_probs: Tensor, lengths: Tensor, tokenizer: Tokenizer) -> list[str]:
        """Return the best text of each utterance.

        Args:
            log_probs: log-probabilities of the frames.
            lengths: valid frames.
            tokenizer: what the tokens mean.

        Shape: log_probs ``(B, frames, tokens)``, lengths ``(B,)``.
        """
        search = self._search(tokenizer)
        rows = zip(log_probs.detach().float().cpu(), lengths.tolist(), strict=True)
        return [search(row[:length])[0].text for row, length in rows]

    def hypotheses(self, log_probs: Tensor, tokenizer: Tokenizer) -> list[Hypothesis]:
        """Return the texts left at the end, at most ``beam_size`` of them, best first.

        Args:
            log_probs: log-probabilities of the frames of one utterance.
            tokenizer: what the tokens mean.

        Shape: log_probs ``(frames, tokens)``.
        """
        return self._search(tokenizer)(log_probs.detach().float().cpu())

    @cached_property
    def _searches(self) -> dict[Tokenizer, _Search]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        # Compiled searches can be neither pickled nor copied; a copy makes its own.
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def _search(self, tokenizer: Tokenizer) -> _Search:
        if tokenizer not in self._searches:
            make = _token_search if self.lexicon is None else _word_search
            self._searches[tokenizer] = make(self, tokenizer)
        return self._searches[tokenizer]


def _words(lexicon: Sequence[str]) -> tuple[str, ...]:
    if isinstance(lexicon, (str, Path)):
        raise ValueError(f"BeamSearch: lexicon must be a list of words, got {lexicon!r}")
    words = tuple(dict.fromkeys(word for entry in lexicon for word in normalise_text(entry).split()))
    if not words:
        raise ValueError("BeamSearch: lexicon must hold at least one word, got none")
    return words


def _flashlight(part: str = "decoder") -> Any:
    try:
        return import_module(f"flashlight.lib.text.{part}")
    except ImportError as error:
        raise ImportError(
            f"BeamSearch needs flashlight-text, which cannot be imported here ({error}): "
            "pip install flashlight-text (wheels exist for Python 3.12 and older)"
        ) from error


def _language_model(settings: BeamSearch, units: Sequence[str]) -> Any:
    """Load the model over some units, counted from 1; 0 is a unit it does not know."""
    if settings.lm is None:
        return _flashlight().ZeroLM()
    name = str(settings.lm)
    try:
        lm = _flashlight("decoder.kenlm").KenLM(name, _flashlight("dictionary").Dictionary(["", *units]))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1]
        raise ValueError(f"BeamSearch: lm must be an ARPA or KenLM file, got {name!r}: {reason}") from error
    start = lm.start(False)
    unknown = lm.score(start, 0)[1]
    if all(lm.score(start, index)[1] == unknown for index in range(1, len(units) + 1)):
        raise ValueError(
            f"BeamSearch: lm must be one of what the recognizer writes, {list(units[:8])}, got {name!r}, which knows "
            "none of them; for a recognizer of characters and a language model of words give a lexicon"
        )
    return lm


def _options(settings: BeamSearch, tokens: int, lm_weight: float) -> dict[str, Any]:
    return {
        "beam_size": settings.beam_size,
        "beam_size_token": tokens,
        "beam_threshold": PRUNED_BELOW,
        "lm_weight": lm_weight,
        "sil_score": 0.0,
        "log_add": True,
        "criterion_type": _flashlight().CriterionType.CTC,
    }


def _token_search(settings: BeamSearch, tokenizer: Tokenizer) -> _Search:
    """Search among all sequences of tokens, with a language model of tokens."""
    text = _flashlight()
    lm = _language_model(settings, [_SPACE if token == " " else token for token in tokenizer.vocabulary])
    lm_weight = settings.lm_weight * math.log(10.0)  # KenLM counts in powers of ten
    if settings.word_score:
        lm, lm_weight = _with_score(lm, lm_weight, settings.word_score), 1.0
    options = text.LexiconFreeDecoderOptions(**_options(settings, len(tokenizer), lm_weight))
    decoder = text.LexiconFreeDecoder(options, lm, _NO_SILENCE, BLANK, [])

    def search(log_probs: Tensor, _alive: Any = lm) -> list[Hypothesis]:  # the decoder uses lm and does not hold it
        frames = log_probs.contiguous()
        results = decoder.decode(frames.data_ptr(), *frames.shape)
        tokens = [[index for index, _ in itertools.groupby(result.tokens) if index > BLANK] for result in results]
        return [Hypothesis(tokenizer.decode(row), r.score) for row, r in zip(tokens, results, strict=True)]

    return search


def _with_score(lm: Any, lm_weight: float, token_score: float) -> Any:
    """Return a language model that gives every token a score on top; flashlight has it for words of a lexicon only."""

    class WithScore(_flashlight().LM):  # type: ignore[misc]
        def start(self, start_with_nothing: bool) -> Any:
            return lm.start(start_with_nothing)

        def score(self, state: Any, index: int) -> tuple[Any, float]:
            state, score = lm.score(state, index)
            return state, lm_weight * score + token_score

        def finish(self, state: Any) -> tuple[Any, float]:
            state, score = lm.finish(state)
            return state, lm_weight * score

    return WithScore()


def _word_search(settings: BeamSearch, tokenizer: Tokenizer) -> _Search:
    """Search among all sequences of the lexicon's words, with a language model of words.

    Every word is spelled with the separator behind it: flashlight takes repetitions of a last token only for that of
    its silence. A frame added at the end, which holds nothing but a separator, ends the last word. Recognizers whose
    characters lack the space get a separator of their own, and write one word.
    """
    text, words = _flashlight(), tuple(settings.lexicon or ())
    separator = tokenizer.vocabulary.index(" ") + 1 if " " in tokenizer.vocabulary else len(tokenizer)
    tokens = max(len(tokenizer), separator + 1)
    lm = _language_model(settings, words)
    trie, start = text.Trie(tokens, separator), lm.start(False)
    for index, spelling in enumerate(_spellings(words, tokenizer), start=1):
        trie.insert([*spelling, separator], index, lm.score(start, index)[1])
    trie.smear(text.SmearingMode.MAX)
    options = text.LexiconDecoderOptions(
        **_options(settings, tokens, settings.lm_weight * math.log(10.0)),
        word_score=settings.word_score,
        unk_score=-math.inf,
    )
    decoder = text.LexiconDecoder(options, trie, lm, separator, BLANK, 0, [], False)
    end = torch.full((1, tokens), _NEVER)
    end[0, separator] = 0.0

    def search(log_probs: Tensor) -> list[Hypothesis]:
        frames = torch.cat([F.pad(log_probs, (0, tokens - len(tokenizer)), value=_NEVER), end])
        results = decoder.decode(frames.data_ptr(), *frames.shape)
        # Where the beam holds no whole word at the end, the words before it are left.
        results = [result for result in results if result.score > _NEVER / 2] or results[:1]
        return [Hypothesis(" ".join(words[i - 1] for i in r.words if i > 0), r.score) for r in results]

    return search


def _spellings(words: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
    if tokenizer.unit != "char":
        raise ValueError("BeamSearch: lexicon must be None for a recognizer of words, whose vocabulary is its lexicon")
    foreign = [word for word in words if not set(word) <= set(tokenizer.vocabulary)]
    if foreign:
        raise ValueError(
            f"BeamSearch: lexicon must be spelled in the characters {list(tokenizer.vocabulary)}, got {foreign[:8]}"
            + (f" and {len(foreign) - 8} more" if len(foreign) > 8 else "")
        )
    return [tokenizer.encode(word) for word in words]
