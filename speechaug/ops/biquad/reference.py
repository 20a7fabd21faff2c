"""Second-order sections by blocks: inside a block a matrix product, from block to block recursive doubling."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 64


def biquad(x: Tensor, sections: Tensor, lengths: Tensor, reverse: bool) -> Tensor:
    """Filter ``(B, C, T)`` row by row, in double precision; nothing wraps around and nothing is truncated."""
    valid = torch.arange(x.shape[-1], device=x.device) < lengths[:, None, None]
    if x.numel() == 0:
        return x.clone()
    y = x.double()
    y = torch.where(valid, y, 0.0).flip(-1) if reverse else y
    for section in sections.double().unbind(1):
        y = _section(y, section)
    y = y.flip(-1) if reverse else y
    return torch.where(valid, y, 0.0).to(x.dtype)


def _section(x: Tensor, section: Tensor) -> Tensor:
    """Run one section over each row: transposed direct form II, written as a state-space system of two numbers."""
    b0, b1, b2, a1, a2 = section.unbind(-1)
    zero, one = torch.zeros_like(a1), torch.ones_like(a1)
    step = torch.stack([torch.stack([-a1, one], -1), torch.stack([-a2, zero], -1)], dim=-2)
    enter = torch.stack([b1 - a1 * b0, b2 - a2 * b0], dim=-1)
    powers = _powers(step)
    block, passes = powers[:, _BLOCK], (powers[:, :_BLOCK] @ enter[:, None, :, None])[..., 0]
    rows, channels, width = x.shape
    blocks = torch.nn.functional.pad(x, (0, -width % _BLOCK)).reshape(rows, -1, _BLOCK)
    inside = blocks @ _toeplitz(torch.cat([b0[:, None], passes[:, :-1, 0]], dim=-1))
    injected = (blocks @ passes.flip(1)).reshape(rows, channels, -1, 2)
    state = _carry(injected, block).reshape(rows, -1, 2)
    y = inside + state @ powers[:, :_BLOCK, 0].mT
    return y.reshape(rows, channels, -1)[..., :width]


def _powers(step: Tensor) -> Tensor:
    """The powers 0 to ``_BLOCK`` of ``(B, 2, 2)``, by doubling."""
    powers = torch.eye(2, dtype=step.dtype, device=step.device).expand(step.shape[0], 1, 2, 2)
    highest = step
    while powers.shape[1] < _BLOCK:
        powers = torch.cat([powers, powers @ highest[:, None]], dim=1)
        highest = highest @ highest
    return torch.cat([powers, highest[:, None]], dim=1)


def _toeplitz(response: Tensor) -> Tensor:
    """What each sample of a block adds to each sample of the same block, ``(B, _BLOCK, _BLOCK)``."""
    place = torch.arange(_BLOCK, device=response.device)
    whole = torch.nn.functional.pad(response, (_BLOCK - 1, 0))
    return whole[:, place - place[:, None] + _BLOCK - 1]


def _carry(injected: Tensor, block: Tensor) -> Tensor:
    """The state at the start of each block, ``(B, C, blocks, 2)``, by doubling."""
    left, step = injected, 1
    while step < injected.shape[2]:
        left = left + _delay(left, step) @ block[:, None].mT
        block = block @ block
        step *= 2
    return _delay(left, 1)


def _delay(left: Tensor, step: int) -> Tensor:
    return torch.cat([torch.zeros_like(left[:, :, :step]), left[:, :, : left.shape[2] - step]], dim=2)
