"""Effects on single samples: stages that run together, however many."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from speechaug.ops.pointwise import pointwise, pointwise_
from speechaug.ops.pointwise.reference import Stage

Stages = Sequence[tuple[Stage, Tensor | float, Tensor | None]]
"""What is done, how much (``(B,)`` or one number), on which rows (bool ``(B,)``, or None for all)."""


def apply_stages(x: Tensor, stages: Stages, *, owned: bool = False) -> Tensor:
    """Apply stages one after the other, in one pass over the samples.

    Args:
        x: ``(B, ..., T)``; a row's peak is over all its samples.
        stages: in order; an empty list copies.
        owned: whether ``x`` may be written into, where it asks for no gradient: rows that are off then cost nothing.

    Returns:
        The shape of ``x``. Gradients reach ``x``, as each :class:`Stage` says.

    Example:
        >>> x = torch.tensor([[0.5, -0.25], [0.5, -0.25]])
        >>> rows = torch.tensor([True, False])
        >>> apply_stages(x, [(Stage.GAIN, 4.0, rows), (Stage.LIMIT, 1.0, None)]).tolist()
        [[1.0, -1.0], [0.5, -0.25]]
    """
    values = [_column(value, x, torch.float64) for _, value, _ in stages]
    gates = [_column(True if on is None else on, x, torch.bool) for _, _, on in stages]
    if not stages:
        return x.clone()
    codes = [int(stage) for stage, _, _ in stages]
    arguments = codes, torch.stack(values, dim=1), torch.stack(gates, dim=1)
    if owned and not x.requires_grad:
        pointwise_(x, *arguments)
        return x
    y: Tensor = pointwise(x, *arguments)
    return y


def _column(value: Tensor | float, x: Tensor, dtype: torch.dtype) -> Tensor:
    """One value per row, ``(B,)``."""
    if isinstance(value, Tensor):
        return value.to(dtype)
    return torch.full((x.shape[0],), value, dtype=dtype, device=x.device)
