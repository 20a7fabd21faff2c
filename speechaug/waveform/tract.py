"""Vocal tract and source of a voice: another head, a whisper."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span

_MOST = 2.0  # and the least is one over it


@dataclass(frozen=True, kw_only=True)
class VocalTractLength(Transform):
    """Move each voice's formants, as a shorter or longer vocal tract would; pitch and tempo stay.

    The other half of what makes a speaker: ``PitchShift(keep_formants=True)`` moves the pitch alone, ``Speed`` moves
    all. The spectral envelope is warped, not the spectrum: partials stay where they are and change in level only, so
    that, unlike in the paper below, which warps mel filters, F0 is exactly what it was.

    Args:
        alpha: range of the factor formants are multiplied by, up to 4.8 kHz (0.85 of the Nyquist frequency, if that is
            less), drawn on a logarithmic scale; above 1 the tract is shorter, within [0.5, 2].
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; channels are treated alike.

    Length: kept. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``alpha`` is not a (low, high) within [0.5, 2].

    Source: Jaitly and Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition", ICML workshop 2013;
        envelopes by linear prediction, see :func:`speechaug.functional.vocal_tract_length`.

    Example:
        >>> import torch, speechaug as sa
        >>> child = sa.VocalTractLength(alpha=(1.2, 1.2))
        >>> draws = child.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> tone = torch.sin(torch.arange(4_000) * (2 * torch.pi * 500 / 16_000))[None]
        >>> y, _ = child(tone, None, draws, sample_rate=16_000)
        >>> int(torch.fft.rfft(y).abs().argmax()) * 16_000 / 4_000
        500.0
    """

    alpha: Range = span((0.9, 1.1), neutral=1.0, limit=(0.77, 1.3), scale="log", lowest=1.0 / _MOST)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.alpha[1] <= _MOST, "alpha", f"at most {_MOST:g}")

    def draw(self, rng: Rng) -> Values:
        """Draw a factor for each row."""
        return {"alpha": rng.log_uniform(*self.alpha)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Warp the envelopes."""
        return F.vocal_tract_length(x, lengths, alpha, context.sample_rate), lengths


@dataclass(frozen=True, kw_only=True)
class Whisper(Transform):
    """Replace what the vocal folds do by breath: speech with less and less pitch, in the end whispered.

    Vowels stay the same vowels, as loud as before: formants and the level of each frame are kept. Whispering people
    also open the mouth further (formants rise by some per cent) and are softer; combine with
    :class:`VocalTractLength` and :class:`Gain` where that matters.

    Args:
        amount: range of the share of the excitation's energy that becomes noise, within [0, 1]; 1 is a whisper.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; the same noise in all channels.

    Length: kept. Gradient: through x. Silence: stays silence.

    By-products: ``noise_share``, the share of noise in the energy of each example.

    Raises:
        ValueError: if ``amount`` is not a (low, high) within [0, 1].

    Source: linear prediction, Atal and Hanauer 1971, see :func:`speechaug.functional.whisper`.

    Example:
        >>> import torch, speechaug as sa
        >>> hush = sa.Whisper(amount=(0.5, 0.5))
        >>> draws = hush.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> out = hush.run(torch.sin(torch.arange(16_000) * 0.1)[None], None, draws, sample_rate=16_000)
        >>> bool((out.extras["noise_share"] - 0.5).abs() < 0.1)
        True
    """

    by_products = ("noise_share",)

    amount: Range = span((0.2, 1.0), neutral=0.0, limit=(1.0, 1.0), lowest=0.0)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.amount[1] <= 1.0, "amount", "at most 1")

    def draw(self, rng: Rng) -> Values:
        """Draw a key for the generator on the device and a share for each row."""
        return {"key": rng.key(), "amount": rng.uniform(*self.amount)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, key: Tensor, amount: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict, make the noise and mix."""
        y, share = F.whisper(x, lengths, key, amount, context.sample_rate)
        context.record("noise_share", share)
        return y, lengths
