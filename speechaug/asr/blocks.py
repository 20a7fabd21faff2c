"""What the acoustic models share: layers that keep padding out of what is valid, and the way to the scores."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MaskedBatchNorm(nn.Module):
    """Batch normalisation over the valid frames of ``(B, T, C)``; padding must be zero and stays zero.

    Statistics are float32 in every precision; the result has the type of the input.

    Args:
        channels: size of the last dimension.
        momentum: share of the newest batch in the running statistics, which evaluation uses.
        eps: added to the variance.

    Source: Ioffe and Szegedy (2015); equal to ``torch.nn.BatchNorm1d`` over the valid frames laid end to end.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise x ``(B, T, C)`` where mask ``(B, T, 1)`` is one."""
        if not self.training:
            scale = self.weight.float() * torch.rsqrt(self.running_var.float() + self.eps)
            shift = self.bias.float() - self.running_mean.float() * scale
            return torch.addcmul(x.float() * scale, mask, shift).to(x.dtype)
        count = mask.sum()
        mean = x.float().sum((0, 1)) / count.clamp(min=1)
        centred = (x.float() - mean) * mask
        variance = centred.square().sum((0, 1)) / count.clamp(min=1)
        self._track(mean, variance, count)
        scale = self.weight.float() * torch.rsqrt(variance + self.eps)
        return torch.addcmul(centred * scale, mask, self.bias.float()).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        share = self.momentum * (count > 0)  # a batch without a valid frame says nothing
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share.to(self.running_mean.dtype))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share.to(self.running_var.dtype))


class TimeConv(nn.Module):
    """Convolution over the time of ``(B, T, C)``, zero-padded to ``ceil(T / stride)`` frames.

    Run as a two-dimensional convolution: ``(B, T, C)`` is a channels-last image of height one, for which the CPU's
    depthwise kernels are twice as fast as ``conv1d``.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: width in frames, odd.
        stride: step in frames.
        depthwise: each channel by itself.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, depthwise: bool = False) -> None:
        super().__init__()
        self.stride, self.padding, self.groups = stride, kernel // 2, inputs if depthwise else 1
        self.weight = nn.Parameter(torch.empty(outputs, inputs // self.groups, 1, kernel))
        nn.init.kaiming_uniform_(self.weight, nonlinearity="linear" if depthwise else "relu")

    def forward(self, x: Tensor) -> Tensor:
        image = x.transpose(1, 2).unsqueeze(2)
        image = F.conv2d(image, self.weight, None, (1, self.stride), (0, self.padding), groups=self.groups)
        return image.squeeze(2).transpose(1, 2)


def frame_multiple(device: torch.device) -> int:
    """Return what the number of frames of a batch is brought to a multiple of, by padding.

    cuDNN takes up to half a second to plan a convolution of a new width, and speed changes give every batch its own.
    """
    return 64 if device.type == "cuda" else 1


class AcousticModel(nn.Module):
    """From spectrograms to a score per token and frame; a subclass has ``encode`` and the linear layer ``head``.

    Args:
        size: name of a preset.
        sizes: the presets there are.
        subsampling: spectrogram frames per output frame.
        dropout: share of activations set to zero in training.

    Raises: ValueError: if an argument is out of range.
    """

    head: nn.Linear

    def __init__(self, size: str, sizes: Iterable[str], *, subsampling: int, dropout: float) -> None:
        super().__init__()
        owner = type(self).__name__
        if size not in sizes:
            raise ValueError(f"{owner}: size must be one of {list(sizes)}, got {size!r}")
        if not isinstance(subsampling, int) or subsampling < 1:
            raise ValueError(f"{owner}: subsampling must be a whole number >= 1, got {subsampling!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"{owner}: dropout must be in [0, 1), got {dropout}")
        self.subsampling = subsampling

    def encode(self, spec: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the head sees, ``(B, frames, channels)`` with zeros as padding, and its lengths."""
        raise NotImplementedError

    def forward(self, spec: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities and their lengths."""
        frames = (spec.shape[-1] + self.subsampling - 1) // self.subsampling
        if beyond := -spec.shape[-1] % frame_multiple(spec.device):
            spec = F.pad(spec, (0, beyond))
        x, lengths = self.encode(spec, lengths)
        log_probs: Tensor = self.head(x[:, :frames]).float().log_softmax(-1)
        return log_probs, lengths

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return ``ceil(lengths / subsampling)``: the output frames of spectrograms so long."""
        return (lengths + self.subsampling - 1) // self.subsampling
