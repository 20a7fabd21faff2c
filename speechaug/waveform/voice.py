"""Voice: pitch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.functional.time import stretch_accuracy_ms
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span

_MOST = 24.0


@dataclass(frozen=True, kw_only=True)
class PitchShift(Transform):
    """Make each voice higher or lower at the same tempo; formants move along, as with a smaller or larger head.

    Voices that a small sample lacks, children's above all. Beyond some 4 semitones a voice sounds made.

    Args:
        semitones: range of the shift, in semitones (a factor of 2^(1/12) each), within [-24, 24].
        quality: ``"fast"`` (WSOLA) for one voice at a time; ``"high"`` (phase vocoder) for any sound, at some five
            times the cost.
        keep_formants: whether the spectral envelope stays: the same speaker in another mood, rather than another one;
            some seven times the cost of ``"fast"`` alone.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence. Moments land within 14 ms of where they belong at up to
    3 semitones, within 36 ms at up to 12, and a click may come twice or be lost; ``"high"`` keeps clicks that stand
    out, within 5 and 20 ms.

    Raises:
        ValueError: if ``semitones`` is not a (low, high) within [-24, 24], ``quality`` is neither or ``keep_formants``
            is not a bool.

    Source: stretching in time and band-limited interpolation, see :func:`speechaug.functional.pitch_shift`.

    Example:
        >>> import torch, speechaug as sa
        >>> octave = sa.PitchShift(semitones=(12.0, 12.0))
        >>> draws = octave.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> tone = torch.sin(torch.arange(4_000) * (2 * torch.pi * 500 / 16_000))[None]
        >>> y, _ = octave(tone, None, draws, sample_rate=16_000)
        >>> int(torch.fft.rfft(y).abs().argmax()) * 16_000 / 4_000
        1000.0
    """

    semitones: Range = span((-3.0, 3.0), neutral=0.0, limit=(-12.0, 12.0), lowest=-_MOST)
    quality: Literal["fast", "high"] = "fast"
    keep_formants: bool = False

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.semitones[1] <= _MOST, "semitones", f"at most {_MOST:g}")
        self._check(self.quality in ("fast", "high"), "quality", "'fast' or 'high'")
        self._check(isinstance(self.keep_formants, bool), "keep_formants", "True or False")

    def draw(self, rng: Rng) -> Values:
        """Draw a shift for each row."""
        return {"semitones": rng.uniform(*self.semitones)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, semitones: Tensor) -> tuple[Tensor, Tensor]:
        """Shift."""
        y = F.pitch_shift(x, lengths, semitones, context.sample_rate, self.quality, self.keep_formants)
        return y, lengths

    @property
    def time_accuracy_ms(self) -> float:  # type: ignore[override]
        """Return how far a moment may land from where it belongs, at the largest shift."""
        return max(self._accuracy_ms(2.0 ** (semitones / 12.0)) for semitones in self.semitones)

    def _accuracy_ms(self, ratio: float) -> float:
        """Stretched last where the pitch goes up; else played slower after, with its errors."""
        return stretch_accuracy_ms(1.0 / ratio, self.quality) / min(ratio, 1.0)
