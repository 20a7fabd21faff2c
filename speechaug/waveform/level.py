"""Level: gain and polarity."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.functional.powers import amplitude
from speechaug.ops.pointwise.reference import Stage
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class Gain(Transform):
    """Make each example louder or softer.

    Recognizers meet speech at many levels; features without level normalisation need to have heard them.

    Args:
        gain_db: range of the gain, in dB.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``gain_db`` is not a finite (low, high).

    Source: amplitude ratio 10^(dB/20), IEC 60027-3.

    Example:
        >>> import torch, speechaug as sa
        >>> louder = sa.Gain(gain_db=(20.0, 20.0))
        >>> draws = louder.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> louder(torch.full((1, 2), 0.01), None, draws, sample_rate=16_000)[0]
        tensor([[0.1000, 0.1000]])
    """

    fusion = "pointwise"

    gain_db: Range = span((-6.0, 6.0), neutral=0.0, limit=(-24.0, 24.0))

    def draw(self, rng: Rng) -> Values:
        """Draw a gain for each row."""
        return {"gain_db": rng.uniform(*self.gain_db)}

    def apply(self, x: Tensor, lengths: Tensor, context: Context, *, gain_db: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply."""
        return F.gain(x, gain_db), lengths

    def stage(self, *, gain_db: Tensor) -> tuple[Stage, Tensor]:
        """Say the same for one pass with others."""
        return Stage.GAIN, amplitude(gain_db)


@dataclass(frozen=True, kw_only=True)
class Polarity(Transform):
    """Turn the waveform upside down.

    Inaudible, but a network on waveforms can learn the polarity of one microphone.

    Args:
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x. Silence: stays silence.

    Source: sign inversion, as ``PolarityInversion`` of audiomentations.

    Example:
        >>> import torch, speechaug as sa
        >>> flip = sa.Polarity(p=1.0)
        >>> draws = flip.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> flip(torch.tensor([[0.5, -0.25]]), None, draws, sample_rate=16_000)[0]
        tensor([[-0.5000,  0.2500]])
    """

    fusion = "pointwise"

    p: float = 0.5

    def draw(self, rng: Rng) -> Values:
        """Draw nothing: whether a row is on says all."""
        return {}

    def apply(self, x: Tensor, lengths: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Change the sign."""
        return F.polarity(x), lengths

    def stage(self) -> tuple[Stage, float]:
        """Say the same for one pass with others."""
        return Stage.GAIN, -1.0


@dataclass(frozen=True, kw_only=True)
class Rescale(Transform):
    """Scale down each example whose peak is beyond full scale, so that it just fits.

    Within a policy, in front of what would clip: a codec, a converter. At its end ``range_policy="rescale"`` does it.

    Args:
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out.

    Length: kept. Gradient: through x, the peak being a constant. Silence: stays silence.

    Source: peak normalisation, of what is too loud only.

    Example:
        >>> import torch, speechaug as sa
        >>> fit = sa.Rescale()
        >>> draws = fit.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["loud", "soft"]))
        >>> fit(torch.tensor([[2.0, -4.0], [0.5, -0.25]]), None, draws, sample_rate=16_000)[0]
        tensor([[ 0.5000, -1.0000],
                [ 0.5000, -0.2500]])
    """

    fusion = "pointwise"

    def draw(self, rng: Rng) -> Values:
        """Draw nothing: whether a row is on says all."""
        return {}

    def apply(self, x: Tensor, lengths: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Divide by the peak."""
        return F.apply_stages(x, [(Stage.RESCALE, 1.0, None)]), lengths

    def stage(self) -> tuple[Stage, float]:
        """Say the same for one pass with others."""
        return Stage.RESCALE, 1.0
