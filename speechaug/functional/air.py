"""Air: how much of each frequency it absorbs on the way."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.functional.powers import power_of


def absorption_db(frequency_hz: Tensor, distance_m: Tensor, temperature_c: Tensor, humidity_percent: Tensor) -> Tensor:
    """Attenuation of pure tones by the air between a talker and a microphone, at sea level.

    Args:
        frequency_hz: ``(K,)``.
        distance_m: ``(B,)``.
        temperature_c: ``(B,)``, in degrees Celsius.
        humidity_percent: ``(B,)``, relative.

    Returns:
        ``(B, K)``, in dB, in the dtype of ``frequency_hz``. The distance's own loss of level is not part of it.

    Source: ISO 9613-1:1993, equations (3) to (5), and (B.2) and (B.3) for the vapour's pressure.

    Example:
        >>> kilohertz, one = torch.tensor([1_000.0, 3_981.0]), torch.ones(1)
        >>> absorption_db(kilohertz, 1_000.0 * one, 20.0 * one, 70.0 * one).round(decimals=1)
        tensor([[ 5.0000, 22.9000]])
    """
    kelvin = temperature_c.double() + 273.15
    warmth = kelvin / 293.15
    saturation = power_of(10.0, 4.6151 - 6.8346 * power_of(273.16 / kelvin, 1.261))
    vapour = humidity_percent.double() * saturation
    oxygen = 24.0 + 4.04e4 * vapour * (0.02 + vapour) / (0.391 + vapour)
    nitrogen = warmth**-0.5 * (9.0 + 280.0 * vapour * torch.exp(-4.170 * (power_of(warmth, -1.0 / 3.0) - 1.0)))
    classical = 1.84e-11 * warmth**0.5
    of_oxygen = power_of(warmth, -2.5) * 0.01275 * torch.exp(-2239.1 / kelvin)
    of_nitrogen = power_of(warmth, -2.5) * 0.1068 * torch.exp(-3352.0 / kelvin)
    path = 8.686 * distance_m.double()
    # Per row all that follows is numbers times f ** 2: few passes over (B, K), in place and in the caller's dtype.
    squared = frequency_hz.square()
    loss = (path * classical)[:, None].to(squared.dtype) * squared
    for relaxing, strength in ((oxygen, of_oxygen), (nitrogen, of_nitrogen)):
        share = squared + relaxing.square()[:, None].to(squared.dtype)
        loss.addcmul_(torch.div(squared, share, out=share), (path * strength * relaxing)[:, None].to(squared.dtype))
    return loss
