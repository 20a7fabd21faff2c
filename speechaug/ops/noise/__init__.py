"""Mixing noise in at a signal-to-noise ratio: noise that is given, made from a key, or from a bank of recordings.

The ops measure and mix in two passes over the batch. Noise that is not given exists in the cache alone: made from its
key, or read as the bank keeps it, in 16 bits. Where the ratio is kept, more of ``x`` makes more noise: gradients count
that.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from speechaug.functional.level import cut, over_channels, per_row, power_db, power_of_cut
from speechaug.ops._op import use_kernels
from speechaug.ops.noise import reference


@torch.library.custom_op("speechaug::mix", mutates_args=())
def mix(x: Tensor, lengths: Tensor, noise: Tensor, snr_db: Tensor, above_db: Tensor) -> tuple[Tensor, Tensor]:
    """Add noise that is given.

    Args:
        x: speech, ``(B, T)`` or ``(B, C, T)``.
        lengths: int64 ``(B,)`` valid samples; what lies beyond is not read, and zero in the output.
        noise: ``(B, T)``, the same in every channel, or of the shape of ``x``; in its precision.
        snr_db: ``(B,)``, in dB.
        above_db: ``(B,)``, how far the level of the speech lies above its RMS level, in dB.

    Returns:
        The mixture, and the ratio reached in dB, float64 ``(B,)``.
    """
    return reference.mix(x, lengths, noise, snr_db, above_db)


@torch.library.custom_op("speechaug::add_generated", mutates_args=())
def add_generated(
    x: Tensor, lengths: Tensor, key: Tensor, exponent: Tensor, snr_db: Tensor, above_db: Tensor, sample_rate: int
) -> tuple[Tensor, Tensor]:
    """Add Gaussian noise of a colour, made from a key.

    Args:
        x: speech, ``(B, T)`` or ``(B, C, T)``.
        lengths: int64 ``(B,)`` valid samples; what lies beyond is not read, and zero in the output.
        key: int64 ``(B,)``, 64 random bits a row.
        exponent: ``(B,)`` of the power density; 0 for white noise, which costs less than the others.
        snr_db: ``(B,)``, in dB.
        above_db: ``(B,)``, how far the level of the speech lies above its RMS level, in dB.
        sample_rate: in Hz.

    Returns:
        The mixture, and the ratio reached in dB, float64 ``(B,)``.
    """
    return reference.add_generated(x, lengths, key, exponent, snr_db, above_db, sample_rate)


@torch.library.custom_op("speechaug::add_recorded", mutates_args=())
def add_recorded(
    x: Tensor,
    lengths: Tensor,
    pcm: Tensor,
    start: Tensor,
    period: Tensor,
    scale: Tensor,
    clip: Tensor,
    offset: Tensor,
    snr_db: Tensor,
    above_db: Tensor,
) -> tuple[Tensor, Tensor]:
    """Add a stretch of a recording, again from its beginning where it ends.

    Args:
        x: speech, ``(B, T)`` or ``(B, C, T)``.
        lengths: int64 ``(B,)`` valid samples; what lies beyond is not read, and zero in the output.
        pcm: int16, the recordings one after the other.
        start: int64 ``(N,)``, where in ``pcm`` each recording starts.
        period: int64 ``(N,)``, after how many samples it starts again.
        scale: float32 ``(N,)``, what its numbers are multiplied by.
        clip: int64 ``(B,)``, the recording of each row.
        offset: ``(B,)`` in [0, 1), where in it to start, as a fraction of the period.
        snr_db: ``(B,)``, in dB.
        above_db: ``(B,)``, how far the level of the speech lies above its RMS level, in dB.

    Returns:
        The mixture, and the ratio reached in dB, float64 ``(B,)``.
    """
    return reference.add_recorded(x, lengths, pcm, start, period, scale, clip, offset, snr_db, above_db)


@torch.library.custom_op("speechaug::add_generated_", mutates_args={"x"})
def add_generated_(
    x: Tensor,
    rows: Tensor,
    lengths: Tensor,
    key: Tensor,
    exponent: Tensor,
    snr_db: Tensor,
    above_db: Tensor,
    sample_rate: int,
) -> Tensor:
    """Do the same to some rows of ``x``, contiguous, in place and without a gradient.

    Args:
        x: as there, the whole batch.
        rows: int64 ``(N,)``, which of them.
        lengths: ``(N,)``, as are the others.
        key: as there.
        exponent: as there.
        snr_db: as there.
        above_db: as there.
        sample_rate: in Hz.

    Returns:
        The ratio reached in dB, float64 ``(N,)``.
    """
    noise = lengths, key, exponent, snr_db, above_db, sample_rate
    mixed: tuple[Tensor, Tensor] = add_generated(x.index_select(0, rows), *noise)
    x.index_copy_(0, rows, mixed[0])
    return mixed[1]


@torch.library.custom_op("speechaug::add_recorded_", mutates_args={"x"})
def add_recorded_(
    x: Tensor,
    rows: Tensor,
    lengths: Tensor,
    pcm: Tensor,
    start: Tensor,
    period: Tensor,
    scale: Tensor,
    clip: Tensor,
    offset: Tensor,
    snr_db: Tensor,
    above_db: Tensor,
) -> Tensor:
    """Do the same to some rows of ``x``, contiguous, in place and without a gradient.

    Args:
        x: as there, the whole batch.
        rows: int64 ``(N,)``, which of them.
        lengths: ``(N,)``, as are those without another shape.
        pcm: as there.
        start: as there, for each recording.
        period: as there, for each recording.
        scale: as there, for each recording.
        clip: as there.
        offset: as there.
        snr_db: as there.
        above_db: as there.

    Returns:
        The ratio reached in dB, float64 ``(N,)``.
    """
    noise = lengths, pcm, start, period, scale, clip, offset, snr_db, above_db
    mixed: tuple[Tensor, Tensor] = add_recorded(x.index_select(0, rows), *noise)
    x.index_copy_(0, rows, mixed[0])
    return mixed[1]


@mix.register_fake
@add_generated.register_fake
@add_recorded.register_fake
def _fake(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape[:1], dtype=torch.float64)


@add_generated_.register_fake
@add_recorded_.register_fake
def _fake_ratio(x: Tensor, rows: Tensor, *_: Any) -> Tensor:
    return x.new_empty(rows.shape, dtype=torch.float64)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.arguments = len(inputs)
    ctx.levels = {5: (3, 4), 7: (4, 5), 10: (8, 9)}[ctx.arguments]
    given = [inputs[2]] if ctx.arguments == 5 else []
    ctx.save_for_backward(inputs[0], inputs[1], output[0], *given)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    """What was added follows the RMS level of the speech, unless that is silent: ``added = noise * rms(x) * c``."""
    x, lengths, y, *given = ctx.saved_tensors
    x, grad = cut(x, lengths), cut(grad, lengths)
    toward = (grad * (y - x)).flatten(1).sum(dim=-1, dtype=torch.float64)
    own = power_of_cut(x, lengths)
    following = torch.where(power_db(own) < reference.SILENCE_DB, 0.0, toward)
    energy = own * lengths * (1 if x.ndim == 2 else x.shape[1])
    per_db = math.log(10.0) / 20.0
    grads: list[Tensor | None] = [None] * ctx.arguments
    grads[0] = torch.addcmul(grad, x, per_row(following / energy.clamp(min=torch.finfo(torch.float64).tiny), x))
    for place, change in zip(ctx.levels, (-toward, following), strict=True):
        if ctx.needs_input_grad[place]:
            grads[place] = per_db * change
    if given and ctx.needs_input_grad[2]:
        grads[2] = _toward_noise(cut(given[0], lengths), y - x, grad, lengths)
    return tuple(grads)


def _toward_noise(noise: Tensor, added: Tensor, grad: Tensor, lengths: Tensor) -> Tensor:
    """The gradient of the noise, as loud as it was added, without what only changes its level, which is fixed."""
    if noise.ndim < grad.ndim:
        added, grad = added[:, 0], over_channels(grad)
    level, own = power_of_cut(added, lengths), power_of_cut(noise, lengths)
    tiny = torch.finfo(torch.float64).tiny
    along = (grad * noise).flatten(1).sum(dim=-1, dtype=torch.float64)
    samples = lengths * (noise[0].numel() // max(noise.shape[-1], 1))
    rest = grad - noise * per_row(along / (own * samples).clamp(min=tiny), noise)
    return rest * per_row((level / own.clamp(min=tiny)).sqrt(), noise)


for _op in (mix, add_generated, add_recorded):
    _op.register_autograd(_backward, setup_context=_keep)

for _op in (add_generated, add_recorded):
    use_kernels(_op, _op._init_fn, __package__)

for _op in (mix, add_generated_, add_recorded_):
    use_kernels(_op, _op._init_fn, __package__, devices=("cpu",))
