"""lhotse: SpecAugment example by example, Kaldi's filter bank on batches."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.batch import MELS, Batch
from benchmarks.peers import peer

NAME = "lhotse"


@peer("time-warp", NAME, note="loop; bicubic")
def _time_warp(batch: Batch) -> Callable[[], object]:
    from lhotse.dataset.signal_transforms import time_warp

    return lambda: torch.stack([time_warp(row, 80) for row in batch.spec_last])


@peer("masks", NAME, note="loop")
def _masks(batch: Batch) -> Callable[[], object]:
    from lhotse.dataset.signal_transforms import SpecAugment

    masks = SpecAugment(
        time_warp_factor=None,
        num_feature_masks=2,
        features_mask_size=27,
        num_frame_masks=5,
        frames_mask_size=max(1, batch.spec.shape[-1] // 20),
        max_frames_mask_fraction=1.0,
        p=1.0,
    )
    return lambda: masks(batch.spec_last)


@peer("log-mel", NAME)
def _log_mel(batch: Batch) -> Callable[[], object]:
    from lhotse.features.kaldi.layers import Wav2LogFilterBank

    bank = Wav2LogFilterBank(num_filters=MELS)
    return lambda: bank(batch.x)
