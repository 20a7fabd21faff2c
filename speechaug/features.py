"""Log-mel features of ragged batches: what the recognizer hears."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from speechaug.ops.mel import mel, reference


def _hz_to_mel(frequency_hz: Tensor) -> Tensor:
    return 2595.0 * torch.log10(1.0 + frequency_hz / 700.0)


def _mel_to_hz(mel: Tensor) -> Tensor:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def mel_filters(sample_rate: int, n_fft: int, n_mels: int, f_min_hz: float, f_max_hz: float) -> Tensor:
    """Triangular filters, equally spaced on the HTK mel scale, peak one.

    Args:
        sample_rate: samples per second.
        n_fft: length of the transform the filters are applied to.
        n_mels: number of filters.
        f_min_hz: lower end of the first filter.
        f_max_hz: upper end of the last filter.

    Returns:
        float64 ``(n_fft // 2 + 1, n_mels)``.

    Source: Young et al., The HTK Book, section 5.4; equal to ``librosa.filters.mel(htk=True, norm=None)``.

    Example:
        >>> mel_filters(8_000, 256, 40, 20.0, 4_000.0).shape
        torch.Size([129, 40])
    """
    bins_hz = torch.linspace(0.0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    ends = _hz_to_mel(torch.tensor([f_min_hz, f_max_hz], dtype=torch.float64))
    edges_hz = _mel_to_hz(ends[0] + (ends[1] - ends[0]) * torch.linspace(0.0, 1.0, n_mels + 2, dtype=torch.float64))
    rising = (bins_hz[:, None] - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[2:] - bins_hz[:, None]) / (edges_hz[2:] - edges_hz[1:-1])
    return torch.minimum(rising, falling).clamp(min=0.0)


class LogMel(nn.Module):
    """Natural logarithm of the energy in mel bands, over time, for a batch of utterances of different lengths.

    An utterance gives the same features alone and in a padded batch, to rounding: both sides are padded with zeros,
    whatever lies beyond ``lengths`` is ignored, and levels come from valid frames only. A quiet recording gives the
    features of a loud one: the floor of the logarithm is set below the loudest band of each utterance.

    Args:
        sample_rate: samples per second of the waveforms.
        n_mels: number of mel bands; ``None`` chooses 40 up to 8 kHz, 64 up to 16 kHz, 80 above.
        window_ms: length of the Hann window.
        hop_ms: step from frame to frame.
        f_min_hz: lower end of the lowest band.
        f_max_hz: upper end of the highest band; ``None`` is half the sample rate.
        dynamic_range_db: energies further than this below the loudest one of the utterance are raised to that floor.
        normalisation: ``"utterance"`` gives each band of an utterance mean zero and standard deviation one over its
            valid frames; ``"none"`` leaves the logarithm as it is.

    Shape: x ``(B, T)``, lengths ``(B,)`` -> spectrogram ``(B, n_mels, 1 + T // hop_length)``, frame lengths ``(B,)``.
    Length: an utterance of n samples has ``1 + n // hop_length`` frames, one without samples has none; frames
        beyond are exactly zero.
    Gradient: x.    Silence: finite; zero after normalisation.
    Half precision: computed in float32, autocast or not; the result has the type of x.
    Raises: ValueError: if an argument is out of range, or ``n_mels`` is so high that a band holds no frequency.
    Source: Davis and Mermelstein (1980); HTK mel scale, equal to ``librosa.feature.melspectrogram(htk=True,
        norm=None, pad_mode="constant")`` and ``librosa.power_to_db(top_db=...)`` but for the unit (nepers of power).

    Example:
        >>> features = LogMel(8_000)
        >>> spec, frames = features(torch.zeros(2, 8_000), torch.tensor([8_000, 4_000]))
        >>> spec.shape, frames.tolist()
        (torch.Size([2, 40, 101]), [101, 51])
    """

    def __init__(
        self,
        sample_rate: int,
        n_mels: int | None = None,
        *,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        f_min_hz: float = 20.0,
        f_max_hz: float | None = None,
        dynamic_range_db: float = 80.0,
        normalisation: str = "utterance",
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        default = 40 if sample_rate <= 8_000 else 64 if sample_rate <= 16_000 else 80
        self.n_mels = default if n_mels is None else n_mels
        self.window_length = round(sample_rate * window_ms / 1_000)
        self.hop_length = round(sample_rate * hop_ms / 1_000)
        self.f_min_hz = f_min_hz
        self.f_max_hz = sample_rate / 2 if f_max_hz is None else f_max_hz
        self.dynamic_range_db = dynamic_range_db
        self.normalisation = normalisation
        self._check()
        self.n_fft = 1 << (self.window_length - 1).bit_length()
        filters = mel_filters(sample_rate, self.n_fft, self.n_mels, f_min_hz, self.f_max_hz)
        if bool((filters.amax(0) == 0).any()):
            raise ValueError(
                f"LogMel: n_mels must leave a frequency in every band ({sample_rate} Hz, window {window_ms} ms), "
                f"got {self.n_mels}"
            )
        # Kept as bits: Module.to(bfloat16) rounds every floating-point buffer, and a rounded window leaks.
        window = torch.hann_window(self.window_length).clone()  # the original is part of a longer storage
        self.register_buffer("_window_bits", window.view(torch.int32), persistent=False)
        self.register_buffer("_filter_bits", filters.float().view(torch.int32), persistent=False)

    def _check(self) -> None:
        if self.hop_length < 1 or self.window_length < 2:
            raise ValueError(
                f"LogMel: window_ms and hop_ms must span at least 2 samples and 1 sample, "
                f"got {self.window_length} and {self.hop_length} samples"
            )
        if self.n_mels < 1:
            raise ValueError(f"LogMel: n_mels must be positive, got {self.n_mels}")
        if not 0 <= self.f_min_hz < self.f_max_hz <= self.sample_rate / 2:
            raise ValueError(
                f"LogMel: f_min_hz and f_max_hz must satisfy 0 <= f_min_hz < f_max_hz <= {self.sample_rate / 2}, "
                f"got {self.f_min_hz} and {self.f_max_hz}"
            )
        if not self.dynamic_range_db > 0:
            raise ValueError(f"LogMel: dynamic_range_db must be positive, got {self.dynamic_range_db}")
        if self.normalisation not in ("utterance", "none"):
            raise ValueError(f"LogMel: normalisation must be 'utterance' or 'none', got {self.normalisation!r}")

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def extra_repr(self) -> str:
        return f"{self.sample_rate} Hz, {self.n_mels} mels, window {self.window_length}, hop {self.hop_length} samples"

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the spectrograms and the number of valid frames of each."""
        if x.ndim != 2 or not x.is_floating_point():
            raise ValueError(f"LogMel: x must be floating point (B, T), got {x.dtype} {tuple(x.shape)}")
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1], dtype=torch.int64, device=x.device)
        if lengths.shape != x.shape[:1]:
            raise ValueError(f"LogMel: lengths must be ({x.shape[0]},), got {tuple(lengths.shape)}")
        with torch.autocast(x.device.type, enabled=False):
            spec = self._log_mel(x if x.dtype == torch.float64 else x.float(), lengths)
        return spec.to(x.dtype), reference.frame_counts(lengths, self.hop_length)

    def _log_mel(self, x: Tensor, lengths: Tensor) -> Tensor:
        floor, normalise = 10.0 ** (-self.dynamic_range_db / 10.0), self.normalisation == "utterance"
        if torch.compiler.is_exporting():  # what is exported runs where our op does not exist
            energy = self._mel_energy(reference.padded(x, lengths, self.n_fft))
            return reference.logarithm(energy, lengths, self.hop_length, floor, normalise)
        spec: Tensor = mel(x, lengths.long(), *self._constants(), self.n_fft, self.hop_length, floor, normalise)
        return spec

    def _mel_energy(self, x: Tensor) -> Tensor:
        return reference.mel_energy(x, *self._constants(), self.n_fft, self.hop_length)

    def _constants(self) -> tuple[Tensor, Tensor]:
        """Return the window and the filters."""
        bits: tuple[Any, Any] = self._window_bits, self._filter_bits
        return bits[0].view(torch.float32), bits[1].view(torch.float32)
