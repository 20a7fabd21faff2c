"""Enhancement: what noise suppressors in phones and conferencing systems leave of speech."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from speechaug import functional as F
from speechaug.draws import Values
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class SpectralSubtraction(Transform):
    """Suppress each example's own noise as simple noise suppressors do, artefacts included.

    Weak sounds go with the noise, and of the noise remain lone peaks that come and go: "musical noise". Recognizers
    suffer from such artefacts more than from the noise that was removed. Place it after the noise.

    Args:
        over_subtraction: range of how many times the noise is subtracted, in power; 1 is what was found, 3 to 6 are
            usual.
        floor_db: range of what is left at least, in dB relative to the noise, drawn evenly; the lower, the more
            musical.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; all channels get the same gains.

    Length: kept. Gradient: through x. Silence: stays silence. Examples of less than 160 ms stay as they are, since
    noise cannot be told from speech in them.

    By-products: ``reduction_db``, by how much the level of each example fell.

    Raises:
        ValueError: if ``over_subtraction`` is not a finite (low, high) of at least 0 or ``floor_db`` not a finite one
            of at most 0.

    Source: Berouti, Schwartz and Makhoul, "Enhancement of speech corrupted by acoustic noise", ICASSP 1979; noise by
        minimum statistics after Martin 2001, see :func:`speechaug.functional.spectral_subtraction`.

    Example:
        >>> import torch, speechaug as sa
        >>> suppress = sa.SpectralSubtraction(over_subtraction=(2.0, 2.0))
        >>> draws = suppress.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> noise = sa.functional.white_noise(torch.tensor([1]), 16_000)
        >>> out = suppress.run(noise, None, draws, sample_rate=16_000)
        >>> bool(out.extras["reduction_db"] > 6.0)
        True
    """

    by_products = ("reduction_db",)

    over_subtraction: Range = span((1.0, 4.0), neutral=0.0, limit=(6.0, 6.0), lowest=0.0)
    floor_db: Range = (-30.0, -20.0)

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        low, high = self.floor_db
        self._check(-math.inf < low <= high <= 0.0, "floor_db", "a finite (low, high) of at most 0")
        object.__setattr__(self, "floor_db", (float(low), float(high)))

    def draw(self, rng: Rng) -> Values:
        """Draw a factor and a floor for each row."""
        return {"over_subtraction": rng.uniform(*self.over_subtraction), "floor_db": rng.uniform(*self.floor_db)}

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, over_subtraction: Tensor, floor_db: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Subtract and measure."""
        y = F.spectral_subtraction(x, lengths, over_subtraction, floor_db, context.sample_rate)
        context.record("reduction_db", F.rms_db(x.detach(), lengths) - F.rms_db(y.detach(), lengths))
        return y, lengths
