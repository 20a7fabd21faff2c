"""How the modules here are trained: AdamW under one cycle of the learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule


def one_cycle(step: int, steps: int, warmup_share: float) -> float:
    """Return the share of the peak learning rate: a straight rise, then half a cosine down to zero.

    Args:
        step: steps done.
        steps: steps of the whole run; later steps keep the last value.
        warmup_share: share of the steps in which the rate rises.

    Source: Smith and Topin, "Super-convergence" (2018); Loshchilov and Hutter, "SGDR" (2017).

    Example:
        >>> [round(one_cycle(step, 100, 0.1), 2) for step in (0, 9, 10, 55, 100)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    rising = max(1, round(steps * warmup_share))
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising)))


def check_optimizer(owner: str, *, lr: float, weight_decay: float, warmup_share: float) -> None:
    """Refuse settings that cannot work.

    Args:
        owner: whose settings they are, for the message.
        lr: peak learning rate.
        weight_decay: of the matrices and kernels.
        warmup_share: share of the steps in which the learning rate rises.

    Raises: ValueError: naming the first that is wrong.
    """
    for name, value in {"lr": lr, "warmup_share": warmup_share}.items():
        if not 0 < value < 1:
            raise ValueError(f"{owner}: {name} must be in (0, 1), got {value}")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"{owner}: weight_decay must be finite and not negative, got {weight_decay}")


def adamw_one_cycle(module: LightningModule, *, lr: float, weight_decay: float, warmup_share: float) -> Any:
    """Return optimizer and schedule as ``configure_optimizers`` does; biases and norms have no weight decay.

    Args:
        module: whose parameters are trained, by its Trainer.
        lr: peak learning rate.
        weight_decay: of the matrices and kernels.
        warmup_share: share of the steps in which the learning rate rises.

    Raises: ValueError: if the Trainer has no end.
    """
    steps = module.trainer.estimated_stepping_batches
    if not math.isfinite(steps):
        owner = type(module).__name__
        raise ValueError(f"{owner}: the trainer must have max_steps or max_epochs, got an endless run")
    groups = [
        {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in module.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, int(steps), warmup_share))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
