"""Stages on single samples in plain torch."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor


class Stage(IntEnum):
    """What a stage does to a sample ``v`` of a row whose largest magnitude is ``peak`` by then."""

    GAIN = 0
    """``v * value``."""

    CLIP = 1
    """``v``, at most ``value * peak`` in magnitude; ``value`` in [0, 1]."""

    TANH = 2
    """``peak * tanh(value * v / peak) / tanh(value)``; ``value`` above 0."""

    QUANTIZE = 3
    """``round(v * value) / value``, halves to even; for the gradient, nothing."""

    RESCALE = 4
    """``v / max(1, peak)``; for the gradient, the peak is a constant."""

    LIMIT = 5
    """``v``, at most ``value`` in magnitude."""

    MU_LAW = 6
    """``v``, at most 1 in magnitude, to the nearest of ``value`` steps of :data:`MU`'s curve on either side of zero, in
    float64, so that all devices decide alike; for the gradient, only the limit."""


MU = 255.0
"""Of the curve ``sign(v) ln(1 + MU |v|) / ln(1 + MU)``."""


class _Dual(NamedTuple):
    """A value with its derivatives along the sample it came from and along the row's peak."""

    value: Tensor
    along_x: Tensor
    along_peak: Tensor


def pointwise(x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> Tensor:
    """See :func:`speechaug.ops.pointwise.pointwise`."""
    if x.numel() == 0 or not codes:
        return x.clone(memory_format=torch.contiguous_format)
    y = x.flatten(1)
    peak = y.abs().amax(dim=1, keepdim=True)
    for stage, code in enumerate(codes):
        value, gate = values[:, stage, None].to(x.dtype), on[:, stage, None]
        y, peak = (torch.where(gate, _stage(code, v, value, peak), v) for v in (y, peak))
        peak = peak.abs()
    return y.view(x.shape)


def pointwise_(x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> None:
    """See :func:`speechaug.ops.pointwise.pointwise_`."""
    x.copy_(pointwise(x, codes, values, on))


def _stage(code: int, v: Tensor, value: Tensor, peak: Tensor) -> Tensor:
    if code == Stage.GAIN:
        y = v * value
    elif code == Stage.CLIP:
        y = torch.clamp(v, -value * peak, value * peak)
    elif code == Stage.TANH:
        loud = peak > 0.0
        y = torch.where(loud, peak * torch.tanh(value * (v / torch.where(loud, peak, 1.0))) / torch.tanh(value), v)
    elif code == Stage.QUANTIZE:
        y = torch.round(v * value) / value
    elif code == Stage.RESCALE:
        y = v / peak.clamp(min=1.0)
    elif code == Stage.LIMIT:
        y = torch.clamp(v, -value, value)
    else:
        y = _mu_law(v, value)
    return y


def _mu_law(v: Tensor, steps: Tensor) -> Tensor:
    curve = torch.log1p(MU * v.double().abs().clamp(max=1.0)) / math.log1p(MU)
    rounded = (torch.round(curve * steps) / steps).clamp(max=1.0)
    return torch.sign(v) * (torch.expm1(math.log1p(MU) * rounded) / MU).to(v.dtype)


def pointwise_backward(grad: Tensor, x: Tensor, codes: list[int], values: Tensor, on: Tensor) -> Tensor:
    """See :func:`speechaug.ops.pointwise.pointwise_backward`: dual numbers through the stages, exact."""
    if x.numel() == 0 or not codes:
        return grad.clone(memory_format=torch.contiguous_format)
    samples = x.flatten(1)
    top = samples.abs().amax(dim=1, keepdim=True)
    v = _Dual(samples, torch.ones_like(samples), torch.zeros_like(samples))
    peak = _Dual(top, torch.zeros_like(top), torch.ones_like(top))
    for stage, code in enumerate(codes):
        value, gate = values[:, stage, None].to(x.dtype), on[:, stage, None]
        moved = _dual_stage(code, v, value, peak), _dual_stage(code, peak, value, peak)
        v, peak = (
            _Dual(*(torch.where(gate, after, before) for after, before in zip(new, old, strict=True)))
            for new, old in zip(moved, (v, peak), strict=True)
        )
        peak = _Dual(*(part * torch.where(peak.value < 0.0, -1.0, 1.0) for part in peak))
    flat = grad.flatten(1)
    loudest = (samples.abs() == top).to(x.dtype)
    through_peak = (flat * v.along_peak).sum(dim=1, keepdim=True) / loudest.sum(dim=1, keepdim=True)
    return (flat * v.along_x + loudest * torch.sign(samples) * through_peak).view(x.shape)


def _dual_stage(code: int, v: _Dual, value: Tensor, peak: _Dual) -> _Dual:
    y = _stage(code, v.value, value, peak.value)
    if code == Stage.GAIN:
        return _Dual(y, v.along_x * value, v.along_peak * value)
    if code == Stage.CLIP:
        over = v.value.abs() > value * peak.value
        held = torch.sign(v.value) * value * peak.along_peak
        return _Dual(y, torch.where(over, 0.0, v.along_x), torch.where(over, held, v.along_peak))
    if code == Stage.TANH:
        loud = torch.where(peak.value > 0.0, peak.value, 1.0)
        curve = torch.tanh(value * (v.value / loud))
        slope = value * (1.0 - curve.square()) / torch.tanh(value)
        along_peak = curve / torch.tanh(value) * peak.along_peak
        along_peak = along_peak + slope * (v.along_peak - v.value / loud * peak.along_peak)
        return _Dual(y, slope * v.along_x, along_peak)
    if code == Stage.QUANTIZE:
        return v._replace(value=y)
    if code == Stage.RESCALE:
        scale = peak.value.clamp(min=1.0)
        return _Dual(y, v.along_x / scale, v.along_peak / scale)
    over = v.value.abs() > (value if code == Stage.LIMIT else 1.0)
    return _Dual(y, torch.where(over, 0.0, v.along_x), torch.where(over, 0.0, v.along_peak))
