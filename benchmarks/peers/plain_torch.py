"""What one would write oneself in a few lines of PyTorch, and NeMo's SpecAugment from its description."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.batch import Batch
from benchmarks.peers import BOTH, peer

NAME = "plain torch"


def _mixed(x: Tensor, noise: Tensor) -> Tensor:
    snr_db = torch.empty(len(x), device=x.device).uniform_(5.0, 30.0)
    level = torch.sqrt(x.square().mean(-1) / noise.square().mean(-1)) * 10.0 ** (-snr_db / 20.0)
    return torch.addcmul(x, noise, level[:, None])


@peer("white-noise", NAME, devices=BOTH)
def _white_noise(batch: Batch) -> Callable[[], object]:
    return lambda: _mixed(batch.x, torch.randn_like(batch.x))


@peer("background-noise", NAME, note="float bank in memory", devices=BOTH)
def _background_noise(batch: Batch) -> Callable[[], object]:
    bank = torch.from_numpy(np.stack(batch.noises)).to(batch.device)
    last = bank.shape[1] - batch.samples

    def run() -> Tensor:
        places = [(random.randrange(len(bank)), random.randint(0, last)) for _ in range(batch.rows)]
        return _mixed(batch.x, torch.stack([bank[clip, start : start + batch.samples] for clip, start in places]))

    return run


@peer("Gain", NAME, devices=BOTH)
def _gain(batch: Batch) -> Callable[[], object]:
    return lambda: batch.x * 10.0 ** (torch.empty(batch.rows, 1, device=batch.device).uniform_(-6.0, 6.0) / 20.0)


def _good_size(least: int) -> int:
    """The next size that is made of twos, threes and fives alone."""
    size = least
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1


@peer("reverb", NAME, note="one FFT of a good size", devices=BOTH)
def _reverb(batch: Batch) -> Callable[[], object]:
    rooms = torch.from_numpy(np.stack(batch.rooms)).to(batch.device)
    size = _good_size(batch.samples + rooms.shape[1] - 1)

    def run() -> Tensor:
        chosen = torch.randint(len(rooms), (batch.rows,), device=batch.device)
        product = torch.fft.rfft(batch.x, size) * torch.fft.rfft(rooms[chosen], size)
        wet: Tensor = torch.fft.irfft(product, size)[:, : batch.samples]
        return wet

    return run


@peer("masks", "NeMo vectorised", note="rewritten from its description", devices=BOTH)
def _masks(batch: Batch) -> Callable[[], object]:
    """All masks of an axis from one comparison ``(B, masks, size)``, then one ``masked_fill`` per axis."""
    lengths = torch.full((batch.rows,), batch.spec.shape[-1], device=batch.device)

    def masked(x: Tensor, sizes: Tensor, masks: int, most: int, axis: int) -> Tensor:
        width = (torch.rand(len(x), masks, device=x.device) * most).long()
        first = (torch.rand(len(x), masks, device=x.device) * (sizes[:, None] - width)).long()
        index = torch.arange(x.shape[axis], device=x.device)
        hidden = ((index >= first[..., None]) & (index < (first + width)[..., None])).any(1)
        whole = torch.zeros_like(x, dtype=torch.bool)
        whole[:] = hidden[:, None, :] if axis == 2 else hidden[:, :, None]
        return x.masked_fill(whole, 0.0)

    def run() -> Tensor:
        spec = masked(batch.spec, lengths, 5, max(1, batch.spec.shape[-1] // 20), 2)
        return masked(spec, torch.full_like(lengths, spec.shape[1]), 2, 27, 1)

    return run
