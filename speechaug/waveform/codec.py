"""Codecs: companding, lower sample rates, MP3, Opus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.functional.codec import LOWEST_RATE_FACTOR, MP3_KBPS, OPUS_KBPS, mu_law_steps
from speechaug.ops.pointwise.reference import Stage
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class MuLaw(Transform):
    """Round each example on the logarithmic scale of digital telephones; at 8 bits, as these do.

    Args:
        bits: range of the resolution, in bits, at least 2; drawn values need not be whole.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; what is beyond full scale is clipped.

    Length: kept. Gradient: passes as if nothing had been rounded. Silence: stays silence.

    Raises:
        ValueError: if ``bits`` is not a finite (low, high) of at least 2.

    Source: ITU-T G.711 (mu-law), by the curve that its segments approximate.

    Example:
        >>> import torch, speechaug as sa
        >>> coarse = sa.MuLaw(bits=(3.0, 3.0))
        >>> draws = coarse.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> coarse(torch.tensor([[0.001, 0.05, -0.9]]), None, draws, sample_rate=8_000)[0]
        tensor([[ 0.0000,  0.0210, -1.0000]])
    """

    differentiable: ClassVar[bool] = False
    fusion = "pointwise"

    bits: Range = span((5.0, 8.0), neutral=16.0, limit=(3.0, 3.0), lowest=2.0)

    def draw(self, rng: Rng) -> Values:
        """Draw a resolution for each row."""
        return {"bits": rng.uniform(*self.bits)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Round."""
        return F.mu_law(x, bits), lengths

    def stage(self, *, bits: Tensor) -> tuple[Stage, Tensor]:
        """Say the same for one pass with others."""
        return Stage.MU_LAW, mu_law_steps(bits)


@dataclass(frozen=True, kw_only=True)
class Downsample(Transform):
    """Bring each example to a lower sample rate and back: narrow-band recordings among wide-band ones.

    Args:
        factor: range of the lower rate over the rate, drawn on a logarithmic scale, within [1/16, 1].
        aliased: leave out the filters, as bad converters do: samples are kept and held, so that what lies above the
            new Nyquist frequency folds down into the speech, and the speech is mirrored above it.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence. Where ``aliased``, a moment may come later by up to one
    sample of the lower rate, and a click may be lost.

    Raises:
        ValueError: if ``factor`` is not a (low, high) within [1/16, 1] or ``aliased`` is not a bool.

    Source: resampling down and up again, as Speech Robust Bench (Shah et al., ICLR 2025) has it; see
        :func:`speechaug.functional.resample`.

    Example:
        >>> import torch, speechaug as sa
        >>> crude = sa.Downsample(factor=(0.5, 0.5), aliased=True)
        >>> draws = crude.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> crude(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), None, draws, sample_rate=16_000)[0]
        tensor([[1., 1., 3., 3.]])
    """

    factor: Range = span((0.25, 0.75), neutral=1.0, limit=(0.125, 0.125), scale="log", lowest=LOWEST_RATE_FACTOR)
    aliased: bool = False

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.factor[1] <= 1.0, "factor", "at most 1")
        self._check(isinstance(self.aliased, bool), "aliased", "True or False")

    def draw(self, rng: Rng) -> Values:
        """Draw a lower rate for each row."""
        return {"factor": rng.log_uniform(*self.factor)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, factor: Tensor) -> tuple[Tensor, Tensor]:
        """Go down and up."""
        return (F.sample_and_hold if self.aliased else F.downsample)(x, lengths, factor), lengths

    @property
    def time_accuracy_ms(self) -> float:  # type: ignore[override]
        """Return how far a moment may land from where it belongs: a sample of the lower rate, from 8 kHz."""
        return 0.125 / self.factor[0] if self.aliased else 0.1


@dataclass(frozen=True, kw_only=True)
class Mp3(Transform):
    """Code each example as MP3 at a low bit rate, and decode it.

    Runs on the host, one example after the other: some 10 ms for a second of speech. What is on a GPU is copied there
    and back. Channels are coded each on its own.

    Args:
        bitrate_kbps: range of the bit rate of a channel, in kb/s, drawn on a logarithmic scale and rounded to a
            multiple of 8; within [8, 64], what MP3 has at every sample rate. Below 32 kb/s MP3 has sample rates of at
            most 24 kHz, and examples of a higher one are resampled there and back, as are those of a rate that it
            lacks.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; what is beyond full scale is clipped.

    Length: kept, and the delay of the codec is taken off. Gradient: none. Silence: stays silence. Examples that hold
    NaN or infinity are left as they are.

    By-products: ``bitrate_kbps``, of the file.

    Raises:
        ValueError: if ``bitrate_kbps`` is not a (low, high) within [8, 64].
        RuntimeError: at the call, if soundfile or its libsndfile is too old.

    Source: ISO/IEC 11172-3 and 13818-3, by LAME and mpg123 within libsndfile.

    Example:
        >>> import torch, speechaug as sa
        >>> coded = sa.Mp3(bitrate_kbps=(16.0, 16.0))
        >>> draws = coded.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> out = coded.run(torch.zeros(1, 4_000), None, draws, sample_rate=16_000)
        >>> out.x.shape, out.extras["bitrate_kbps"]
        (torch.Size([1, 4000]), tensor([16.], dtype=torch.float64))
    """

    differentiable: ClassVar[bool] = False
    on_host: ClassVar[bool] = True
    time_accuracy_ms: ClassVar[float] = 1.0
    by_products = ("bitrate_kbps",)

    bitrate_kbps: Range = span((16.0, 48.0), neutral=64.0, limit=(8.0, 8.0), scale="log", lowest=MP3_KBPS[0])

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.bitrate_kbps[1] <= MP3_KBPS[1], "bitrate_kbps", f"at most {MP3_KBPS[1]:g}")

    def draw(self, rng: Rng) -> Values:
        """Draw a bit rate for each row."""
        return {"bitrate_kbps": rng.log_uniform(*self.bitrate_kbps)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, bitrate_kbps: Tensor) -> tuple[Tensor, Tensor]:
        """Code and decode."""
        y, reached = F.mp3(x, lengths, bitrate_kbps, context.sample_rate)
        context.record("bitrate_kbps", reached)
        return y, lengths


@dataclass(frozen=True, kw_only=True)
class Opus(Transform):
    """Code each example as Opus at a low bit rate, and decode it: internet calls and voice messages.

    Runs on the host, one example after the other: some 30 ms for a second of speech. What is on a GPU is copied there
    and back. Channels are coded each on its own. Below 9 kb/s Opus keeps the band of a telephone.

    Args:
        bitrate_kbps: range of the bit rate of a channel, in kb/s, drawn on a logarithmic scale, within [6, 256].
            Opus spends fewer bits than it may where speech is easy, up to a quarter fewer on speech with pauses.
            Examples of a rate other than 8, 12, 16, 24 and 48 kHz are resampled and back.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; what is beyond full scale is clipped.

    Length: kept, and the delay of the codec is taken off. Gradient: none. Silence: stays silence, to a step of 16 bits.
    Examples that hold NaN or infinity are left as they are.

    By-products: ``bitrate_kbps``, of the packets made.

    Raises:
        ValueError: if ``bitrate_kbps`` is not a (low, high) within [6, 256].
        RuntimeError: at the call, if soundfile or its libsndfile is too old.

    Source: RFC 6716, by libopus within libsndfile.

    Example:
        >>> import torch, speechaug as sa
        >>> call = sa.Opus(bitrate_kbps=(12.0, 12.0))
        >>> draws = call.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> call(torch.zeros(1, 4_000), None, draws, sample_rate=16_000)[0].shape
        torch.Size([1, 4000])
    """

    differentiable: ClassVar[bool] = False
    on_host: ClassVar[bool] = True
    time_accuracy_ms: ClassVar[float] = 1.0
    by_products = ("bitrate_kbps",)

    bitrate_kbps: Range = span((8.0, 24.0), neutral=64.0, limit=(6.0, 6.0), scale="log", lowest=OPUS_KBPS[0])

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.bitrate_kbps[1] <= OPUS_KBPS[1], "bitrate_kbps", f"at most {OPUS_KBPS[1]:g}")

    def draw(self, rng: Rng) -> Values:
        """Draw a bit rate for each row."""
        return {"bitrate_kbps": rng.log_uniform(*self.bitrate_kbps)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, bitrate_kbps: Tensor) -> tuple[Tensor, Tensor]:
        """Code and decode."""
        y, reached = F.opus(x, lengths, bitrate_kbps, context.sample_rate)
        context.record("bitrate_kbps", reached)
        return y, lengths
