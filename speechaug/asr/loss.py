"""The CTC loss of a batch, with the utterances it cannot be defined for set aside instead of poisoning the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from speechaug.asr.text import BLANK


def frames_needed(tokens: Sequence[int]) -> int:
    """Return the fewest output frames CTC can spell these tokens in: each one, and a blank between two equal ones.

    Example:
        >>> frames_needed([5, 5, 7])
        4
    """
    return len(tokens) + sum(a == b for a, b in pairwise(tokens))


@dataclass(frozen=True)
class CTCLoss:
    """The loss of a batch and what was left out of it.

    Args:
        mean: loss per token of each utterance, averaged over the utterances that count; zero where none does.
        total: its sum over those utterances.
        rows: loss per token of each utterance ``(B,)``; zero where it does not count.
        weights: what each utterance's sum over frames is multiplied with, one by its tokens, ``(B,)``; zero where it
            does not count.
        count: number of utterances that count.
        infeasible: rows whose transcript needs more frames than there are, with (frames needed, frames there).
    """

    mean: Tensor
    total: Tensor
    rows: Tensor
    weights: Tensor
    count: int
    infeasible: dict[int, tuple[int, int]]


def ctc_loss(log_probs: Tensor, lengths: Tensor, tokens: Sequence[Sequence[int]], usable: Tensor) -> CTCLoss:
    """Compute the CTC loss in float32; reads the lengths on the host once.

    Args:
        log_probs: log-probabilities of the tokens in each frame.
        lengths: valid frames.
        tokens: target of each utterance.
        usable: false for utterances to leave out whatever their length.

    Shape: log_probs ``(B, frames, tokens)``, lengths and usable ``(B,)``.
    Gradient: log_probs; zero for utterances that are left out.
    Source: Graves et al. (2006), through ``torch.nn.functional.ctc_loss``.
    """
    frames, kept = torch.stack([lengths, usable.to(lengths.dtype)]).tolist()
    needed = [frames_needed(row) for row in tokens]
    infeasible = {i: (needed[i], frames[i]) for i in range(len(tokens)) if kept[i] and needed[i] > frames[i]}
    counted = [bool(kept[i]) and i not in infeasible for i in range(len(tokens))]
    if not any(counted):
        rows = (log_probs * 0.0).sum((1, 2))  # keeps the graph: every rank of a distributed step runs backward
        return CTCLoss(rows.sum(), rows.sum(), rows, torch.zeros_like(rows), 0, infeasible)
    sizes = [len(row) for row in tokens]
    targets = torch.full((len(tokens), max(1, *sizes)), BLANK)
    for i, row in enumerate(tokens):
        targets[i, : len(row)] = torch.tensor(row, dtype=targets.dtype)
    losses = F.ctc_loss(
        log_probs.float().transpose(0, 1),
        targets.to(log_probs.device),
        torch.tensor(frames),
        torch.tensor(sizes),
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    weights = torch.tensor([use / max(1, size) for use, size in zip(counted, sizes, strict=True)])
    weights = weights.to(losses.device)
    rows = losses * weights
    return CTCLoss(rows.sum() / sum(counted), rows.sum(), rows, weights, sum(counted), infeasible)
