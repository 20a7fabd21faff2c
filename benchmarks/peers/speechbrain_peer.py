"""speechbrain: batches on torch; several of its effects draw once for the whole batch, then a loop is fair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.batch import MELS, RATE, Batch
from benchmarks.peers import peer

NAME = "speechbrain"


@peer("white-noise", NAME)
def _white_noise(batch: Batch) -> Callable[[], object]:
    from speechbrain.augment.time_domain import AddNoise

    noise, lengths = AddNoise(snr_low=5, snr_high=30), torch.ones(batch.rows)
    return lambda: noise(batch.x, lengths)


@peer("AddColoredNoise", NAME, note="pink")
def _coloured_noise(batch: Batch) -> Callable[[], object]:
    from speechbrain.augment.time_domain import AddNoise, pink_noise_like

    noise, lengths = AddNoise(snr_low=5, snr_high=30, noise_funct=pink_noise_like), torch.ones(batch.rows)
    return lambda: noise(batch.x, lengths)


@peer("background-noise", NAME, note="reads whole files at each call, one offset for the batch")
def _background_noise(batch: Batch) -> Callable[[], object]:
    from speechbrain.augment.time_domain import AddNoise

    rows = ["ID,duration,wav,wav_format,wav_opts"]
    seconds = len(batch.noises[0]) / RATE
    rows += [f"{path.stem},{seconds},{path},wav," for path in sorted(batch.noise_folder.glob("*.wav"))]
    listing = batch.folder / "noise.csv"
    listing.write_text("\n".join(rows) + "\n", encoding="utf-8")
    noise, lengths = AddNoise(csv_file=str(listing), snr_low=5, snr_high=30), torch.ones(batch.rows)
    return lambda: noise(batch.x, lengths)


@peer("reverb", NAME, note="loop: its transform has one response for the batch")
def _reverb(batch: Batch) -> Callable[[], object]:
    from speechbrain.processing.signal_processing import reverberate

    rooms = torch.from_numpy(np.stack(batch.rooms))

    def run() -> object:
        chosen = torch.randint(len(rooms), (batch.rows,)).tolist()
        return [reverberate(row[None], rooms[room]) for row, room in zip(batch.x, chosen, strict=True)]

    return run


@peer("speed-one", NAME, note="28 dB")
def _speed_one(batch: Batch) -> Callable[[], object]:
    from speechbrain.augment.time_domain import SpeedPerturb

    speed = SpeedPerturb(RATE, [90])
    return lambda: speed(batch.x)


@peer("masks", NAME, note="in place, so on a copy")
def _masks(batch: Batch) -> Callable[[], object]:
    from speechbrain.augment.freq_domain import SpectrogramDrop

    low_high = SpectrogramDrop(0, 27, 2, 2, dim=2)
    early_late = SpectrogramDrop(0, max(1, batch.spec.shape[-1] // 20), 5, 5, dim=1)
    return lambda: early_late(low_high(batch.spec_last.clone()))


@peer("time-warp", NAME, note="loop: its transform has one warp for the batch; bicubic")
def _time_warp(batch: Batch) -> Callable[[], object]:
    from speechbrain.augment.freq_domain import Warping

    warp = Warping(80)
    return lambda: [warp(row[None].clone()) for row in batch.spec_last]


@peer("log-mel", NAME)
def _log_mel(batch: Batch) -> Callable[[], object]:
    from speechbrain.lobes.features import Fbank

    bank = Fbank(sample_rate=RATE, n_fft=512, n_mels=MELS)
    return lambda: bank(batch.x)
