"""Log-mel features in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

SMALLEST_POWER = 1e-10
"""Of a mel band; what digital silence becomes."""


def mel(
    x: Tensor, lengths: Tensor, window: Tensor, filters: Tensor, n_fft: int, hop: int, floor: float, normalise: bool
) -> Tensor:
    """Log-mel features ``(B, M, 1 + T // hop)`` of waveforms ``(B, T)``, see the op."""
    if x.numel() == 0:  # the FFT refuses empty batches
        return x.new_zeros(x.shape[0], filters.shape[1], 1 + x.shape[1] // hop)
    energy = mel_energy(padded(x, lengths, n_fft), window, filters, n_fft, hop)
    return logarithm(energy, lengths, hop, floor, normalise).contiguous()


def padded(x: Tensor, lengths: Tensor, n_fft: int) -> Tensor:
    """Silence what lies beyond each row, and add half a frame of silence at both ends."""
    x = x.masked_fill(torch.arange(x.shape[1], device=x.device) >= lengths[:, None], 0.0)
    return pad(x, (n_fft // 2, n_fft // 2))


def mel_energy(x: Tensor, window: Tensor, filters: Tensor, n_fft: int, hop: int) -> Tensor:
    """Sum the power in each mel band, frame by frame."""
    bins = torch.stft(x, n_fft, hop, len(window), window.to(x.dtype), center=False, return_complex=True)
    power = bins.real.square() + bins.imag.square()
    return (power.transpose(1, 2) @ filters.to(x.dtype)).transpose(1, 2)


def frame_counts(lengths: Tensor, hop: int) -> Tensor:
    """Frames of rows of so many samples: centred on every ``hop``-th sample, the first and the end included."""
    return torch.where(lengths > 0, 1 + lengths // hop, 0)


def logarithm(energy: Tensor, lengths: Tensor, hop: int, floor: float, normalise: bool) -> Tensor:
    """Take the logarithm of the energies of mel bands, above a floor relative to each row's loudest, and normalise."""
    counts = frame_counts(lengths, hop)[:, None, None]
    valid = torch.arange(energy.shape[-1], device=energy.device) < counts
    energy = torch.where(valid, energy, 0.0)
    lowest = (energy.amax((1, 2), keepdim=True) * floor).clamp(min=SMALLEST_POWER)
    spec = torch.maximum(energy, lowest).log()
    if normalise:
        count = counts.clamp(min=1)
        spec = spec - (spec * valid).sum(-1, keepdim=True) / count
        variance = (spec.square() * valid).sum(-1, keepdim=True) / count
        # The constant (speech varies a thousand times as much) keeps a band that never changes at zero.
        spec = spec * torch.rsqrt(variance + 1e-3)
    return torch.where(valid, spec, 0.0)
