"""torchaudio: functions on batches; a loop where a parameter cannot differ between examples."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.batch import MELS, RATE, Batch
from benchmarks.peers import BOTH, peer

NAME = "torchaudio"


@peer("white-noise", NAME, devices=BOTH)
def _white_noise(batch: Batch) -> Callable[[], object]:
    import torchaudio.functional as taf

    def run() -> Tensor:
        snr_db = torch.empty(batch.rows, device=batch.device).uniform_(5.0, 30.0)
        noisy: Tensor = taf.add_noise(batch.x, torch.randn_like(batch.x), snr_db)
        return noisy

    return run


@peer("low-pass", NAME, note="loop", devices=BOTH)
def _low_pass(batch: Batch) -> Callable[[], object]:
    import torchaudio.functional as taf

    return lambda: [taf.lowpass_biquad(row, RATE, random.uniform(300.0, 7_000.0)) for row in batch.x]


@peer("HighPass", NAME, note="loop", devices=BOTH)
def _high_pass(batch: Batch) -> Callable[[], object]:
    import torchaudio.functional as taf

    return lambda: [taf.highpass_biquad(row, RATE, random.uniform(50.0, 600.0)) for row in batch.x]


@peer("speed-one", NAME, note="kernel kept; 77 dB", devices=BOTH)
def _speed_one(batch: Batch) -> Callable[[], object]:
    """The narrowest of its kernels that, like ours, has at least 75 dB up to 0.85 of Nyquist."""
    import torchaudio

    kept = torchaudio.transforms.Resample(
        9, 10, "sinc_interp_kaiser", lowpass_filter_width=24, rolloff=0.945, beta=8.0
    ).to(batch.device)
    return lambda: kept(batch.x)


@peer("speed-one", f"{NAME} Speed", note="kernel kept; 28 dB", devices=BOTH)
def _speed_one_default(batch: Batch) -> Callable[[], object]:
    import torchaudio

    kept = torchaudio.transforms.Speed(RATE, 0.9).to(batch.device)
    return lambda: kept(batch.x)


@peer("time-stretch", NAME, note="STFT, vocoder, loop", devices=BOTH)
@peer("time-stretch-high", NAME, note="STFT, vocoder, loop", devices=BOTH)
def _time_stretch(batch: Batch) -> Callable[[], object]:
    import torchaudio

    stretch = torchaudio.transforms.TimeStretch(128, 257).to(batch.device)
    window = torch.hann_window(512, device=batch.device)

    def one(row: Tensor) -> Tensor:
        spec = stretch(torch.stft(row, 512, 128, window=window, return_complex=True), random.uniform(0.8, 1.25))
        return torch.istft(spec, 512, 128, window=window)

    return lambda: [one(row) for row in batch.x]


@peer("reverb", NAME, note="responses in memory", devices=BOTH)
def _reverb(batch: Batch) -> Callable[[], object]:
    import torchaudio.functional as taf

    rooms = torch.from_numpy(np.stack(batch.rooms)).to(batch.device)

    def run() -> Tensor:
        chosen = torch.randint(len(rooms), (batch.rows,), device=batch.device)
        wet: Tensor = taf.fftconvolve(batch.x, rooms[chosen])[:, : batch.samples]
        return wet

    return run


@peer("masks", NAME, note="iid_masks", devices=BOTH)
def _masks(batch: Batch) -> Callable[[], object]:
    import torchaudio

    low_high = torchaudio.transforms.FrequencyMasking(27, iid_masks=True)
    early_late = torchaudio.transforms.TimeMasking(max(1, batch.spec.shape[-1] // 20), iid_masks=True)
    spec = batch.spec[:, None]

    def run() -> Tensor:
        y: Tensor = low_high(low_high(spec))
        for _ in range(5):
            y = early_late(y)
        return y

    return run


@peer("log-mel", NAME, devices=BOTH)
def _log_mel(batch: Batch) -> Callable[[], object]:
    import torchaudio

    mel = torchaudio.transforms.MelSpectrogram(RATE, n_fft=512, win_length=400, hop_length=160, n_mels=MELS)
    mel = mel.to(batch.device)
    return lambda: torch.log(mel(batch.x) + 1e-6)
