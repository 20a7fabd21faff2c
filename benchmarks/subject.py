"""Our side of a row: draw, transfer, apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import speechaug as sa
from benchmarks.batch import RATE, Batch

Stages = dict[str, Callable[[Any], Any]]


def drawn(transform: sa.Transform, batch: Batch, epoch: int = 0) -> sa.Draws:
    """Draw for a batch, as a training does for each of its steps."""
    return transform.sample(sa.Rng.from_ids(seed=0, epoch=epoch, ids=batch.ids))


def applied(transform: sa.Transform, x: Tensor, draws: Any) -> tuple[Tensor, Tensor]:
    """Call a transform of either domain; every sample is valid."""
    return transform(x, None, draws, sample_rate=RATE if transform.domain == "waveform" else None)


def given(subject: Any, batch: Batch) -> Tensor:
    """Return what a subject takes: waveforms or features."""
    return batch.spec if getattr(subject, "domain", "waveform") == "spectrogram" else batch.x


def stages(subject: Any, batch: Batch) -> Stages:
    """Return what one call consists of; each stage takes what the one before returned, the first the round's number."""
    x = given(subject, batch)
    if isinstance(subject, torch.nn.Module):
        features = subject.to(batch.device)
        return {"apply": lambda _: features(x)}
    return {
        "draw": lambda epoch: drawn(subject, batch, epoch),
        "transfer": lambda draws: draws.to(batch.device),
        "apply": lambda draws: applied(subject, x, draws),
    }
