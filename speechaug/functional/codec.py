"""Codecs: companding, lower sample rates, MP3 and Opus; every row by its own amount."""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from speechaug import audio
from speechaug.functional.level import cut
from speechaug.functional.pointwise import apply_stages
from speechaug.functional.powers import exp2
from speechaug.functional.resample import resample, scaled_lengths
from speechaug.ops.pointwise.reference import Stage

FloatArray = npt.NDArray[np.float32]

MP3_KBPS = (8.0, 64.0)
"""The bit rates, in steps of 8, that MP3 has at every sample rate, for one channel."""

MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""The sample rates that MP3 has, in Hz."""

OPUS_KBPS = (6.0, 256.0)
"""The bit rates libsndfile asks Opus for."""

LOWEST_RATE_FACTOR = 1.0 / 16.0
"""The most :func:`downsample` lowers a sample rate: two resamplings, of a factor of 4 each."""

_ROUNDING = 1e-6  # of a sample, so that 10 * 0.7 is 7
_STEP = 4.0
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_MP3_DELAY = 1_105  # samples, of LAME (576) and of any decoder (529)


def mu_law(x: Tensor, bits: Tensor) -> Tensor:
    """Round on a logarithmic scale, as digital telephones do: soft sounds get finer steps than loud ones.

    The curve ``sign(x) ln(1 + 255 |x|) / ln(256)`` is rounded to ``2 ** (bits - 1) - 1`` steps on either side of zero
    and undone. Computed in float64, so that a GPU decides as a CPU does.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, full scale at 1; what is beyond is clipped.
        bits: ``(B,)``, at least 2; need not be whole.

    Returns:
        The shape of ``x``. The gradient passes as if nothing had been rounded.

    Source: ITU-T G.711 (mu-law), whose piecewise linear segments approximate this curve.

    Example:
        >>> mu_law(torch.tensor([[0.0, 0.001, 0.5, -2.0]]), torch.tensor([8.0])).round(decimals=4)
        tensor([[ 0.0000,  0.0010,  0.4953, -1.0000]])
    """
    return apply_stages(x, [(Stage.MU_LAW, mu_law_steps(bits), None)])


def mu_law_steps(bits: Tensor) -> Tensor:
    """How many steps :func:`mu_law` has on either side of zero, float64.

    Example:
        >>> mu_law_steps(torch.tensor([8.0])).tolist()
        [127.0]
    """
    return exp2(bits.double() - 1.0) - 1.0


def downsample(x: Tensor, lengths: Tensor, factor: Tensor) -> Tensor:
    """Bring each row to a lower sample rate and back: what lies above the new Nyquist frequency is gone.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, zero beyond ``lengths``.
        lengths: ``(B,)`` valid samples.
        factor: ``(B,)`` in [1/16, 1]: the new rate over the old one; 1 changes nothing.

    Returns:
        The shape of ``x``, as precise as :func:`speechaug.functional.resample`. Gradients reach ``x``.

    Example:
        >>> tone = torch.sin(torch.arange(8_000) * 2.5)[None]
        >>> y = downsample(tone, torch.tensor([8_000]), torch.tensor([0.5]))
        >>> bool(y[0, 100:-100].abs().max() < 1e-3)
        True
    """
    slower = 1.0 / factor.double()
    first = slower.clamp(max=_STEP)
    steps = (first, slower / first)
    margin = math.ceil(1.0 / LOWEST_RATE_FACTOR)  # so that the last samples are read between two of the lower rate
    y, inner = pad(x, (0, 2 * margin)), lengths + 2 * margin
    sizes = []
    for step in steps:
        sizes.append((y.shape[-1], inner))
        y = resample(y, inner, step, y.shape[-1])
        inner = scaled_lengths(inner, step)
    for step, (width, _) in zip(reversed(steps), reversed(sizes), strict=True):
        y = resample(y, inner, 1.0 / step, width)
        inner = scaled_lengths(inner, 1.0 / step)
    return cut(y[..., : x.shape[-1]], lengths)


def sample_and_hold(x: Tensor, lengths: Tensor, factor: Tensor) -> Tensor:
    """Keep some samples of each row and hold each until the next: a lower rate without any filter.

    What lies above the new Nyquist frequency folds down into the speech, and the speech is mirrored above it.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``.
        lengths: ``(B,)`` valid samples.
        factor: ``(B,)`` in (0, 1]: the new rate over the old one; 1 changes nothing.

    Returns:
        The shape of ``x``. Gradients reach ``x``.

    Example:
        >>> sample_and_hold(torch.arange(1.0, 8.0)[None], torch.tensor([6]), torch.tensor([0.4]))
        tensor([[1., 1., 1., 4., 4., 6., 0.]])
    """
    place = torch.arange(x.shape[-1], device=x.device)
    factor = factor.double()[:, None]
    ticks = torch.floor(place * factor + _ROUNDING)
    kept = torch.ceil(ticks / factor - _ROUNDING).long().clamp(min=0).minimum(place)
    return cut(x.gather(-1, (kept if x.ndim == 2 else kept[:, None]).expand_as(x)), lengths)


def mp3(x: Tensor, lengths: Tensor, bitrate_kbps: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Code each channel of each row as MP3 at a constant bit rate, and decode it; in place and of the same length.

    Runs on the host, row by row. Bit rates are rounded to multiples of 8 kb/s. The sample rate is that of the data, or
    the next higher one that MP3 has; below 32 kb/s it is at most 24 kHz.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, full scale at 1; what is beyond is clipped.
        lengths: ``(B,)`` valid samples.
        bitrate_kbps: ``(B,)`` in [8, 64], for each channel.
        sample_rate: in Hz.

    Returns:
        The shape of ``x``, without gradient, and the bit rates, float64 ``(B,)``. Rows that hold NaN or infinity come
        back as they are, at 0 kb/s, as do rows without samples.

    Raises:
        RuntimeError: if soundfile or its libsndfile is too old.

    Example:
        >>> x = 0.1 * torch.sin(torch.arange(8_000) * 0.5)[None]
        >>> y, kbps = mp3(x, torch.tensor([8_000]), torch.tensor([31.0]), 16_000)
        >>> bool((y - x)[0, 1_000:-1_000].abs().max() < 0.01), kbps.tolist()
        (True, [32.0])
    """
    return _row_by_row(_through_mp3, x, lengths, bitrate_kbps, sample_rate)


def opus(x: Tensor, lengths: Tensor, bitrate_kbps: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Code each channel of each row as Opus at a variable bit rate, and decode it; in place and of the same length.

    Runs on the host, row by row, in packets of 20 ms. The sample rate is that of the data, or the next higher one that
    Opus has. Opus spends fewer bits than it may where speech is easy: on speech with pauses, up to a quarter fewer.

    Args:
        x: ``(B, T)`` or ``(B, C, T)``, full scale at 1; what is beyond is clipped.
        lengths: ``(B,)`` valid samples.
        bitrate_kbps: ``(B,)`` in [6, 256], for each channel.
        sample_rate: in Hz.

    Returns:
        The shape of ``x``, without gradient, and the bit rates of the packets made, float64 ``(B,)``. Rows that hold
        NaN or infinity come back as they are, at 0 kb/s, as do rows without samples.

    Raises:
        RuntimeError: if soundfile or its libsndfile is too old.

    Source: RFC 6716, by libopus within libsndfile.

    Example:
        >>> x = 0.1 * torch.sin(torch.arange(8_000) * 0.5)[None]
        >>> y, kbps = opus(x, torch.tensor([8_000]), torch.tensor([64.0]), 16_000)
        >>> y.shape, bool(30.0 < kbps < 80.0)
        (torch.Size([1, 8000]), True)
    """
    return _row_by_row(_through_opus, x, lengths, bitrate_kbps, sample_rate)


Coder = Callable[[FloatArray, float, int], tuple[FloatArray, float]]
"""From samples, a bit rate in kb/s and a sample rate in Hz to samples and the bit rate reached."""


def _row_by_row(
    coder: Coder, x: Tensor, lengths: Tensor, bitrate_kbps: Tensor, sample_rate: int
) -> tuple[Tensor, Tensor]:
    """Send the channels of each row through a codec."""
    samples = (x if x.ndim == 3 else x[:, None]).detach().float().cpu().numpy()
    coded, reached = samples.copy(), torch.zeros(x.shape[0], dtype=torch.float64)
    for row, (length, kbps) in enumerate(zip(lengths.tolist(), bitrate_kbps.tolist(), strict=True)):
        if length == 0 or not np.isfinite(samples[row]).all():
            continue  # the encoders stop the whole process at a NaN
        channels = [coder(channel[:length].clip(-1.0, 1.0), kbps, sample_rate) for channel in samples[row]]
        coded[row, :, :length] = [decoded for decoded, _ in channels]
        reached[row] = sum(kbps for _, kbps in channels) / len(channels)
    return torch.from_numpy(coded).view(x.shape).to(x.device, x.dtype), reached.to(x.device)


def _through_mp3(samples: FloatArray, kbps: float, sample_rate: int) -> tuple[FloatArray, float]:
    kbps = 8.0 * round(kbps / 8.0)
    rate = coding_rate(sample_rate, MP3_RATES if kbps >= 32.0 else MP3_RATES[:6])
    low, high = (8.0, 64.0) if rate < 16_000 else (8.0, 160.0) if rate < 32_000 else (32.0, 320.0)
    level = min((high - kbps) / (high - low), 0.999)  # 1 itself is refused
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": level, "bitrate_mode": "CONSTANT"}
    given = audio.resample(samples[None], sample_rate, rate)[0]
    decoded = _decode(_encode(given, rate, options))
    # The note on the delay, which decoders go by, does not fit into the first frame of a low bit rate.
    decoded = decoded if len(decoded) == len(given) else decoded[_MP3_DELAY:]
    return _as_before(decoded[: len(given)], rate, sample_rate, len(samples)), kbps


def _through_opus(samples: FloatArray, kbps: float, sample_rate: int) -> tuple[FloatArray, float]:
    rate = coding_rate(sample_rate, _OPUS_RATES)
    options = {"format": "OGG", "subtype": "OPUS", "compression_level": (OPUS_KBPS[1] - kbps) / np.ptp(OPUS_KBPS)}
    given = audio.resample(samples[None], sample_rate, rate)[0]
    encoded = _encode(given, rate, options)
    packets = _ogg_packets(encoded)[2:]  # the first two describe the stream
    reached = sum(packets) * 8.0 / (0.02 * len(packets)) / 1_000.0
    return _as_before(_decode(encoded), rate, sample_rate, len(samples)), reached


def coding_rate(sample_rate: int, rates: tuple[int, ...]) -> int:
    """Return the lowest rate that keeps all of the signal, else the highest there is."""
    return next((rate for rate in rates if rate >= sample_rate), rates[-1])


def _encode(samples: FloatArray, rate: int, options: dict[str, Any]) -> bytes:
    soundfile = _soundfile(options["format"], options["subtype"])
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, rate, **options)
    return encoded.getvalue()


def _decode(encoded: bytes) -> FloatArray:
    import soundfile

    decoded: FloatArray = soundfile.read(io.BytesIO(encoded), dtype="float32")[0]
    return decoded


def _as_before(samples: FloatArray, rate: int, sample_rate: int, length: int) -> FloatArray:
    """Bring decoded samples to the rate and length of what was encoded."""
    back = audio.resample(samples[None], rate, sample_rate)[0][:length]
    return np.pad(back, (0, length - len(back)))


def _ogg_packets(stream: bytes) -> list[int]:
    """Return the sizes of the packets in an Ogg stream, in bytes (RFC 3533, section 6)."""
    sizes, open_size, position = [], 0, 0
    while position < len(stream):
        segments = stream[position + 27 : position + 27 + stream[position + 26]]
        for segment in segments:
            open_size += segment
            if segment < 255:
                sizes.append(open_size)
                open_size = 0
        position += 27 + len(segments) + sum(segments)
    return sizes


def _soundfile(file_format: str, subtype: str) -> Any:
    """Return the soundfile module, which must know the format and take its options."""
    import soundfile

    takes_options = "bitrate_mode" in inspect.signature(soundfile.write).parameters
    if not takes_options or not soundfile.check_format(file_format, subtype):
        raise RuntimeError(
            f"{subtype} needs soundfile 0.13 or newer with libsndfile 1.1 or newer, got soundfile "
            f"{soundfile.__version__} with libsndfile {soundfile.__libsndfile_version__}: pip install -U soundfile"
        )
    return soundfile
