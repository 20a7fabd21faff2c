"""Rooms: reverberation with measured or simulated impulse responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from speechaug import functional as F
from speechaug.banks import Bank
from speechaug.draws import Values
from speechaug.functional.linear import respond
from speechaug.rng import Rng
from speechaug.transform import Context, Fusion, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class Reverb(Transform):
    """Put each example into a random room.

    Linear convolution with the room's impulse response, the direct path at the original's own time: words stay where
    they were, so alignments and transcripts hold. The response is scaled to unit energy, so the level stays about the
    same by a gain that does not depend on the speech.

    Args:
        bank: room impulse responses.
        wet: range of the scale of all that is more than 2.5 ms away from the direct path: 1 is the room as measured,
            0 leaves the direct path, 2 has 6 dB more reverberation.
        level: ``"response"`` (linear), or ``"matched"`` to give each example the RMS level it had.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; one room for all channels of an example.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence; a silent response changes nothing.

    Raises:
        ValueError: if ``wet`` is not a finite (low, high) of at least 0 or ``level`` is neither; at the call, if the
            bank has another rate than the batch.

    Source: Ko et al., "A study on data augmentation of reverberant speech", ICASSP 2017; the direct path's window as
        in Zahorik, "Direct-to-reverberant energy ratio sensitivity", JASA 112 (2002).

    Example:
        >>> import numpy as np, torch, speechaug as sa
        >>> echo = np.zeros(800)
        >>> echo[[100, 500]] = 0.8, 0.6
        >>> room = sa.Reverb(bank=sa.Bank.from_arrays([echo], sample_rate=16_000))
        >>> draws = room.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> click = torch.eye(1, 1_000)
        >>> y, _ = room(click, None, draws, sample_rate=16_000)
        >>> [round(y[0, place].item(), 3) for place in (0, 400)]
        [0.8, 0.6]
    """

    bank: Bank
    wet: Range = span((1.0, 1.0), neutral=0.0, limit=(2.0, 2.0), lowest=0.0)
    level: Literal["response", "matched"] = "response"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        self._check(self.level in ("response", "matched"), "level", "'response' or 'matched'")

    def draw(self, rng: Rng) -> Values:
        """Draw a room and how reverberant it is for each row."""
        return {"clip": self.bank.draw(rng), "wet": rng.uniform(*self.wet)}

    @property
    def fusion(self) -> Fusion | None:  # type: ignore[override]
        """Linear where the level is the response's; matching levels looks at the speech."""
        return "linear" if self.level == "response" else None

    def reach(self, sample_rate: int) -> tuple[int, int]:
        """How far the bank's rooms reach before and after their direct path, in samples."""
        return self.bank.reach

    def response(self, size: int, context: Context, *, clip: Tensor, wet: Tensor) -> Tensor:
        """Return the rooms' transfer functions, complex64 ``(B, size // 2 + 1)``."""
        return self.bank.response(clip, self.bank.gains(clip, None if self.wet == (1.0, 1.0) else wet), size)

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, clip: Tensor, wet: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Convolve."""
        y = respond(self, x, lengths, context, clip=clip, wet=wet)
        return (F.match_level(y, x, lengths) if self.level == "matched" else y), lengths
