"""Consistency training: views of one utterance should be recognized alike, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

KINDS = {"none": 0.0, "cr_ctc": 0.2, "jsd": 1.0}
"""The kinds of consistency with their usual weight beside the CTC loss."""


def cr_ctc(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Compute the consistency regularization of CR-CTC: each view learns from the other as it stands.

    Args:
        log_probs: log-probabilities of the tokens in each frame, of two views.
        lengths: valid frames of the utterances, the same in both views.

    Shape: log_probs ``(2, B, frames, tokens)``, lengths ``(B,)`` -> ``(B,)``: the mean over the two directions of the
        Kullback-Leibler divergence, summed over the valid frames, in nats.
    Gradient: log_probs, through the view that learns; the one learned from is a constant.
    Raises: ValueError: if there are not two views.
    Source: Yao et al., "CR-CTC: Consistency regularization on CTC for improved speech recognition" (2024), equation 4.

    Example:
        >>> same = torch.full((2, 1, 3, 4), 0.25).log()
        >>> cr_ctc(same, torch.tensor([3])).tolist()
        [0.0]
    """
    if log_probs.ndim != 4 or len(log_probs) != 2:
        raise ValueError(f"cr_ctc: log_probs must be (2, B, frames, tokens), got {tuple(log_probs.shape)}")
    other = log_probs.flip(0).detach()
    apart = F.kl_div(log_probs, other, reduction="none", log_target=True).sum(-1)
    return _over_frames(apart.mean(0), lengths)


def jsd(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Compute the Jensen-Shannon divergence of views: how far each is from what they say on average.

    Args:
        log_probs: log-probabilities of the tokens in each frame, of two views or more.
        lengths: valid frames of the utterances, the same in all views.

    Shape: log_probs ``(V, B, frames, tokens)``, lengths ``(B,)`` -> ``(B,)``: the divergence summed over the valid
        frames, in nats; a frame has at most ``log(V)``.
    Gradient: log_probs of every view.
    Raises: ValueError: if there is only one view.
    Source: Hendrycks et al., "AugMix: A simple data processing method to improve robustness and uncertainty" (2020),
        equation 3, there for a clean image and two augmented ones; here on CTC posteriors.

    Example:
        >>> sure = torch.tensor([[[[1.0, 0.0]]], [[[0.0, 1.0]]]]).clamp(min=1e-30).log()
        >>> round(jsd(sure, torch.tensor([1])).item(), 4)
        0.6931
    """
    if log_probs.ndim != 4 or len(log_probs) < 2:
        raise ValueError(f"jsd: log_probs must be (2 or more, B, frames, tokens), got {tuple(log_probs.shape)}")
    average = torch.logsumexp(log_probs, 0, keepdim=True) - torch.tensor(float(len(log_probs))).log()
    apart = F.kl_div(average.expand_as(log_probs), log_probs, reduction="none", log_target=True).sum(-1)
    return _over_frames(apart.mean(0), lengths)


def in_views(rows: Tensor, views: Sequence[int] | None, ids: Sequence[str]) -> Tensor:
    """Return rows ``(V * B, ...)`` of a batch in views as ``(V, B, ...)``.

    Args:
        rows: first all utterances in one view, then all in the next.
        views: which view each row is; None if there are none.
        ids: of the rows, to see that the views are of the same utterances.

    Raises: ValueError: if the batch has fewer than two views, or they are of different utterances.
    """
    count = len(set(views or ()))
    if count < 2:
        raise ValueError(
            f"consistency: a batch must have two or more views, as with SpeechDataModule(views=2), got {count}"
        )
    size = len(ids) // count
    if any(ids[row] != ids[row % size] for row in range(len(ids))) or len(ids) % count:
        raise ValueError("consistency: every view must hold the same utterances in the same order")
    return rows.reshape(count, size, *rows.shape[1:])


def _over_frames(values: Tensor, lengths: Tensor) -> Tensor:
    """Sum ``(B, frames)`` over the valid ones."""
    valid = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
    return torch.where(valid, values, 0.0).sum(1)
