"""A QuartzNet small enough for a CPU: depthwise-separable convolutions over time, trained with CTC."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechaug.asr.blocks import AcousticModel, MaskedBatchNorm, TimeConv
from speechaug.asr.conformer import Conformer


@dataclass(frozen=True)
class Size:
    """Channels of all layers, and the kernel width of each residual block.

    Args:
        channels: width of every hidden layer.
        kernels: one block per entry, its kernel width in frames, odd.
    """

    channels: int
    kernels: tuple[int, ...]


SIZES = {
    "xs": Size(80, (5, 7, 9, 11)),
    "s": Size(112, (5, 7, 9, 11)),
    "m": Size(144, (5, 7, 9, 11, 13)),
    "l": Size(192, (5, 7, 9, 11, 13, 15)),
}
"""Presets of about 100, 180, 320 and 600 thousand parameters with 40 mels."""

_STEM_KERNEL = 11
_EPILOGUE_KERNEL = 29


class Separable(nn.Module):
    """Depthwise convolution over time, then a mix of the channels, then batch normalisation.

    Args:
        channels: width of the layer.
        kernel: width in frames, odd.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.over_time = TimeConv(channels, channels, kernel, depthwise=True)
        self.over_channels = nn.Linear(channels, channels, bias=False)
        nn.init.kaiming_uniform_(self.over_channels.weight, nonlinearity="relu")
        self.norm = MaskedBatchNorm(channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y: Tensor = self.norm(self.over_channels(self.over_time(x) * mask.to(x.dtype)), mask)
        return y


class Block(nn.Module):
    """Two separable convolutions with a shortcut around them.

    Args:
        channels: width of the layers.
        kernel: width in frames, odd.
        dropout: share of activations set to zero.
    """

    def __init__(self, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.first = Separable(channels, kernel)
        self.second = Separable(channels, kernel)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.dropout(self.first(x, mask).relu())
        out: Tensor = self.dropout((self.second(y, mask) + x).relu())
        return out


class QuartzNet(AcousticModel):
    """Mini-QuartzNet: stem, depthwise-separable residual blocks, epilogue, and a score per token and frame.

    Every layer keeps padding at zero and takes its statistics from valid frames, so that in evaluation an utterance
    gives the same scores alone and in a batch.

    Args:
        n_mels: bands of the spectrogram.
        tokens: outputs per frame, the blank included.
        size: ``"xs"``, ``"s"``, ``"m"`` or ``"l"``: about 100, 180, 320 or 600 thousand parameters.
        subsampling: spectrogram frames per output frame. CTC needs an output frame for every token and one between
            two equal tokens, so characters want 2 and words can take 4, which is faster.
        dropout: share of activations set to zero in training.

    Shape: spec ``(B, n_mels, frames)``, lengths ``(B,)`` -> log-probabilities
        ``(B, ceil(frames / subsampling), tokens)`` in float32, lengths ``ceil(lengths / subsampling)``.
    Raises: ValueError: if an argument is out of range.
    Source: Kriman et al., "QuartzNet" (2020); Majumdar and Ginsburg, "MatchboxNet" (2020).

    Example:
        >>> model = QuartzNet(n_mels=40, tokens=11, size="xs").eval()
        >>> log_probs, frames = model(torch.zeros(2, 40, 101), torch.tensor([101, 50]))
        >>> log_probs.shape, frames.tolist()
        (torch.Size([2, 51, 11]), [51, 25])
    """

    def __init__(
        self, n_mels: int, tokens: int, *, size: str = "s", subsampling: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__(size, SIZES, subsampling=subsampling, dropout=dropout)
        channels = SIZES[size].channels
        self.stem = TimeConv(n_mels, channels, _STEM_KERNEL, stride=subsampling)
        self.stem_norm = MaskedBatchNorm(channels)
        self.blocks = nn.ModuleList(Block(channels, kernel, dropout) for kernel in SIZES[size].kernels)
        self.epilogue = Separable(channels, _EPILOGUE_KERNEL)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, tokens)

    def encode(self, spec: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        lengths = self.output_lengths(lengths)
        frames = (spec.shape[-1] + self.subsampling - 1) // self.subsampling  # ONNX divides towards zero
        mask = (torch.arange(frames, device=spec.device) < lengths[:, None]).unsqueeze(-1).float()
        x = spec.transpose(1, 2).to(self.stem.weight.dtype)
        if x.numel():  # convolutions refuse empty batches
            x = self.stem_norm(self.stem(x) * mask.to(x.dtype), mask).relu()
            for block in self.blocks:
                x = block(x, mask)
            x = self.dropout(self.epilogue(x, mask).relu())
        else:
            x = x.new_zeros(*mask.shape[:2], self.head.in_features)
        return x, lengths


ARCHITECTURES: dict[str, type[QuartzNet] | type[Conformer]] = {"quartznet": QuartzNet, "conformer": Conformer}
"""Acoustic models by name: the same arguments, inputs and outputs."""

PEAK_LR = {"quartznet": 6e-3, "conformer": 3e-3}
"""Learning rates that suit every size; a Conformer of size ``"l"`` hardly learns with twice as much."""


def peak_lr(owner: str, architecture: str, lr: float | None) -> float:
    """Return ``lr``, or if that is None what suits the architecture.

    Args:
        owner: whose settings they are, for the message.
        architecture: name of an acoustic model.
        lr: peak learning rate.

    Raises: ValueError: if there is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"{owner}: architecture must be one of {list(ARCHITECTURES)}, got {architecture!r}")
    return PEAK_LR[architecture] if lr is None else lr
