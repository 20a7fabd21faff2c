"""Batches of speech under a condition of the robustness suite: each row corrupted alone, whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from speechaug.data.batches import Batch
from speechaug.data.dataset import SpeechDataset

if TYPE_CHECKING:
    from speechaug.robustness.suite import Condition


class RenderedDataset(Dataset[dict[str, Any]]):
    """What :class:`speechaug.data.SpeechDataset` gives, as a condition of the suite makes it.

    Args:
        speech: of float32 samples.
        condition: of a suite of the same sample rate.
        seed: of the corruptions.
    """

    def __init__(self, speech: SpeechDataset, condition: Condition, *, seed: int = 0) -> None:
        """Read nothing yet; see the class."""
        self.speech, self.condition, self.seed = speech, condition, seed

    def __getitem__(self, rows: Batch) -> dict[str, Any]:
        """Read and corrupt a batch."""
        batch = self.speech[rows]
        waveform, lengths = render_rows(
            self.condition,
            batch["waveform"],
            batch["lengths"],
            batch["id"],
            sample_rate=self.speech.sample_rate,
            seed=self.seed,
        )
        return {**batch, "waveform": waveform, "lengths": lengths}


def render_rows(
    condition: Condition, x: Tensor, lengths: Tensor, ids: Sequence[str], *, sample_rate: int, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Render each row of a batch alone, as :func:`speechaug.robustness.render.render` does.

    Args:
        condition: of a suite of the same sample rate.
        x: waveforms.
        lengths: valid samples.
        ids: of the rows.
        sample_rate: in Hz.
        seed: of the corruptions.

    Shape: ``(B, T)`` and ``(B,)`` -> ``(B, T')`` and ``(B,)``, on the device they were on.
    """
    from speechaug.robustness.render import render

    given = [row[:length] for row, length in zip(x.float().cpu().numpy(), lengths.tolist(), strict=True)]
    made = [
        torch.from_numpy(render(condition, samples, sample_rate, id=name, seed=seed).samples)
        for samples, name in zip(given, ids, strict=True)
    ]
    rendered = torch.tensor([len(row) for row in made], dtype=lengths.dtype, device=lengths.device)
    return nn.utils.rnn.pad_sequence(made, batch_first=True).to(x.device, x.dtype), rendered
