"""From frame-wise probabilities to text by the best path, and what a decoder is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from speechaug.asr.text import BLANK, Tokenizer

Decoder = Callable[[Tensor, Tensor, Tokenizer], list[str]]
"""Makes texts of log-probabilities ``(B, frames, tokens)``, their lengths ``(B,)`` and the recognizer's tokens."""


def greedy_decode(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """Take the best token of each frame, merge repeats, then drop blanks.

    Args:
        log_probs: scores of the frames.
        lengths: valid frames.

    Shape: log_probs ``(B, frames, tokens)``, lengths ``(B,)``.
    Returns: the token indices of each utterance. The one host read of the batch happens here.
    Source: Graves et al. (2006), section 3.2, "best path decoding".

    Example:
        >>> best = torch.tensor([[1, 1, 0, 1, 2, 2]])
        >>> greedy_decode(torch.nn.functional.one_hot(best), torch.tensor([5]))
        [[1, 1, 2]]
    """
    best = log_probs.argmax(-1)
    changed = torch.ones_like(best, dtype=torch.bool)
    changed[:, 1:] = best[:, 1:] != best[:, :-1]
    valid = torch.arange(best.shape[1], device=best.device) < lengths[:, None]
    kept = torch.where(changed & valid, best, BLANK).cpu()
    return [[index for index in row if index != BLANK] for row in kept.tolist()]


def greedy(log_probs: Tensor, lengths: Tensor, tokenizer: Tokenizer) -> list[str]:
    """Return the text of the best path of each utterance: the decoder of a recognizer that is given no other.

    Args:
        log_probs: scores of the frames.
        lengths: valid frames.
        tokenizer: what the tokens mean.

    Shape: log_probs ``(B, frames, tokens)``, lengths ``(B,)``.

    Example:
        >>> best = torch.nn.functional.one_hot(torch.tensor([[1, 1, 0, 2]]), 3)
        >>> greedy(best, torch.tensor([4]), Tokenizer(("one", "two"), "word"))
        ['one two']
    """
    return [tokenizer.decode(row) for row in greedy_decode(log_probs, lengths)]
