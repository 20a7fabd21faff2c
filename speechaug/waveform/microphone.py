"""Microphones: every device colours what it records."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from speechaug.banks import Bank
from speechaug.draws import Values
from speechaug.functional.linear import respond
from speechaug.rng import Rng
from speechaug.transform import Context, Range, Transform, span


@dataclass(frozen=True, kw_only=True)
class Microphone(Transform):
    """Record each example with a random device, by its measured impulse response.

    Responses are aligned to their largest sample, whose sign is made positive, and scaled to unit energy, so that
    times, polarity and about the level stay. For random colours without measurements there is :class:`Equalizer`.

    Args:
        bank: impulse responses of devices, such as those of the Microphone Impulse Response Project.
        amount: range of how much of the colour there is: 1 is the device, 0 changes nothing, between them the
            responses are mixed.
        p: probability per example.

    Shape:
        ``(B, T)`` or ``(B, C, T)``, the same out; one device for all channels of an example.

    Length: kept, the tail is cut. Gradient: through x. Silence: stays silence.

    Raises:
        ValueError: if ``amount`` is not a finite (low, high) of at least 0; at the call, if the bank has another rate
            than the batch.

    Source: Borsos et al., "MicAugment: one-shot microphone style transfer", ICASSP 2021: devices as augmentation.

    Example:
        >>> import numpy as np, torch, speechaug as sa
        >>> dull = sa.Microphone(bank=sa.Bank.from_arrays([np.array([0.5, 1.0, 0.5])], sample_rate=16_000))
        >>> draws = dull.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=["a"]))
        >>> y, _ = dull(torch.eye(1, 8), None, draws, sample_rate=16_000)
        >>> [round(value, 3) for value in y[0, :2].tolist()]
        [0.816, 0.408]
    """

    fusion = "linear"

    bank: Bank
    amount: Range = span((1.0, 1.0), neutral=0.0, limit=(1.0, 1.0), lowest=0.0)

    def draw(self, rng: Rng) -> Values:
        """Draw a device and how much of it there is for each row."""
        return {"clip": self.bank.draw(rng), "amount": rng.uniform(*self.amount)}

    def reach(self, sample_rate: int) -> tuple[int, int]:
        """How far the bank's responses reach before and after their largest sample, in samples."""
        return self.bank.reach

    def response(self, size: int, context: Context, *, clip: Tensor, amount: Tensor) -> Tensor:
        """Return the devices' transfer functions, complex64 ``(B, size // 2 + 1)``."""
        share = amount[:, None]
        device = self.bank.response(clip, share * self.bank.sign(clip)[:, None] * self.bank.gains(clip, None), size)
        return device if self.amount == (1.0, 1.0) else device + (1.0 - share).float()

    def apply(
        self, x: Tensor, lengths: Tensor, context: Context, *, clip: Tensor, amount: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Convolve."""
        return respond(self, x, lengths, context, clip=clip, amount=amount), lengths
