"""A Conformer small enough for a CPU: self-attention and convolutions in turn, trained with CTC."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechaug.asr.blocks import AcousticModel, MaskedBatchNorm, TimeConv


@dataclass(frozen=True)
class ConformerSize:
    """Width and depth.

    Args:
        channels: width of every layer, a multiple of ``HEAD_CHANNELS``.
        blocks: number of Conformer blocks.
    """

    channels: int
    blocks: int


CONFORMER_SIZES = {
    "xs": ConformerSize(48, 2),
    "s": ConformerSize(64, 2),
    "m": ConformerSize(80, 3),
    "l": ConformerSize(96, 4),
}
"""Presets of about 100, 160, 330 and 600 thousand parameters with 40 mels."""

HEAD_CHANNELS = 16
_STEM_KERNEL = 11
_KERNEL = 15  # frames; the paper's 31 are wider than most utterances of a small vocabulary
_EXPANSION = 2  # of the feed-forward layers; 4 in the paper, which at this size would leave room for half the blocks


def rotation(frames: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines that turn the channels of an attention head by their frame's number.

    Args:
        frames: number of frames.
        size: channels of a head, even.
        device: where the result lies.

    Shape: both ``(frames, size / 2)``, float32.
    Source: Su et al., "RoFormer" (2021), section 3.2.2, base 10000.
    """
    rates = 10_000.0 ** (torch.arange(0, size, 2, device=device) / -size)
    angles = torch.arange(frames, device=device)[:, None] * rates
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn channel i together with channel ``i + size / 2``, frame by frame.

    The product of two turned vectors depends on the difference of their frame numbers alone.

    Args:
        x: queries or keys.
        cos: cosines of the angles.
        sin: sines of the angles.

    Shape: x ``(..., frames, size)``, cos and sin ``(frames, size / 2)``; the result is like x.
    Half precision: computed in float32; the result has the type of x.
    """
    first, second = x.float().chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1).to(x.dtype)


class FeedForward(nn.Module):
    """Two linear layers with a swish between them, frame by frame.

    Args:
        channels: width of the input and the output.
        dropout: share of activations set to zero.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, _EXPANSION * channels)
        self.contract = nn.Linear(_EXPANSION * channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.contract(self.dropout(F.silu(self.expand(self.norm(x))))))
        return y


class SelfAttention(nn.Module):
    """Self-attention of several heads over the valid frames, which know their distances by rotary positions.

    Rotary positions rather than those of Transformer-XL: these add a bias of frames x frames per head, which takes
    the memory that ``scaled_dot_product_attention`` saves. Attention weights are not dropped out for the same reason.

    Args:
        channels: width of the input and the output, a multiple of ``HEAD_CHANNELS``.
        dropout: share of activations set to zero.

    Source: Vaswani et al. (2017); Su et al., "RoFormer" (2021).
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.heads = channels // HEAD_CHANNELS
        self.norm = nn.LayerNorm(channels)
        self.inputs = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, attended: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Let each frame of x ``(B, T, C)`` look where attended ``(B, 1, 1, T)`` is true."""
        heads = self.inputs(self.norm(x)).unflatten(-1, (3, self.heads, HEAD_CHANNELS))
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(rotate(queries, cos, sin), rotate(keys, cos, sin), values, attended)
        y: Tensor = self.dropout(self.output(seen.transpose(1, 2).flatten(2)))
        return y


class Convolution(nn.Module):
    """Gated mix of the channels, depthwise convolution over time, batch normalisation, and a second mix.

    Args:
        channels: width of the input and the output.
        dropout: share of activations set to zero.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.inputs = nn.Linear(channels, 2 * channels)
        self.over_time = TimeConv(channels, channels, _KERNEL, depthwise=True)
        self.batch_norm = MaskedBatchNorm(channels)
        self.output = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Compute on x ``(B, T, C)`` where mask ``(B, T, 1)`` is one; the layer norm's bias must not leak in."""
        y = F.glu(self.inputs(self.norm(x)))
        y = y * mask.to(y.dtype)
        y = self.over_time(y) * mask.to(y.dtype)
        out: Tensor = self.dropout(self.output(F.silu(self.batch_norm(y, mask))))
        return out


class ConformerBlock(nn.Module):
    """Half a feed-forward layer, self-attention, convolution, the other half; each with a shortcut around it.

    Args:
        channels: width of the layers.
        dropout: share of activations set to zero.

    Source: Gulati et al., "Conformer" (2020), section 2; equal to ``torchaudio.models.Conformer``'s layer but for
        the positions, which that one lacks, and for batches with padding, which its convolution does not mask.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.first = FeedForward(channels, dropout)
        self.attention = SelfAttention(channels, dropout)
        self.convolution = Convolution(channels, dropout)
        self.second = FeedForward(channels, dropout)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, mask: Tensor, attended: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + 0.5 * self.first(x)
        x = x + self.attention(x, attended, cos, sin)
        x = x + self.convolution(x, mask)
        out: Tensor = self.norm(x + 0.5 * self.second(x))
        return out


class Conformer(AcousticModel):
    """Mini-Conformer: a strided convolution, Conformer blocks, and a score per token and frame.

    Padding is masked out of attention, convolutions and statistics, so that in evaluation an utterance gives the same
    scores alone and in a batch. Attention compares every frame with every other: time grows with the square of the
    utterance's length, memory does not where torch has a fused attention (CPU, CUDA).

    Args:
        n_mels: bands of the spectrogram.
        tokens: outputs per frame, the blank included.
        size: ``"xs"``, ``"s"``, ``"m"`` or ``"l"``: about 100, 160, 330 or 600 thousand parameters.
        subsampling: spectrogram frames per output frame, see ``QuartzNet``.
        dropout: share of activations set to zero in training.

    Shape: spec ``(B, n_mels, frames)``, lengths ``(B,)`` -> log-probabilities
        ``(B, ceil(frames / subsampling), tokens)`` in float32, lengths ``ceil(lengths / subsampling)``.
    Raises: ValueError: if an argument is out of range.
    Source: Gulati et al., "Conformer" (2020), with rotary positions (Su et al., "RoFormer", 2021).

    Example:
        >>> model = Conformer(n_mels=40, tokens=11, size="xs").eval()
        >>> log_probs, frames = model(torch.zeros(2, 40, 101), torch.tensor([101, 50]))
        >>> log_probs.shape, frames.tolist()
        (torch.Size([2, 51, 11]), [51, 25])
    """

    def __init__(
        self, n_mels: int, tokens: int, *, size: str = "s", subsampling: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__(size, CONFORMER_SIZES, subsampling=subsampling, dropout=dropout)
        channels = CONFORMER_SIZES[size].channels
        self.stem = TimeConv(n_mels, channels, _STEM_KERNEL, stride=subsampling)
        self.stem_norm = MaskedBatchNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(ConformerBlock(channels, dropout) for _ in range(CONFORMER_SIZES[size].blocks))
        self.head = nn.Linear(channels, tokens)

    def encode(self, spec: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        lengths = self.output_lengths(lengths)
        frames = (spec.shape[-1] + self.subsampling - 1) // self.subsampling  # ONNX divides towards zero
        valid = torch.arange(frames, device=spec.device) < lengths[:, None]
        mask = valid.unsqueeze(-1).float()
        x = spec.transpose(1, 2).to(self.stem.weight.dtype)
        if not x.numel():  # convolutions refuse empty batches
            return x.new_zeros(*valid.shape, self.head.in_features), lengths
        x = self.dropout(self.stem_norm(self.stem(x) * mask.to(x.dtype), mask).relu())
        # An utterance without frames looks at its padding: a softmax over nothing has no value.
        attended = (valid | (lengths == 0)[:, None])[:, None, None]
        cos, sin = rotation(frames, HEAD_CHANNELS, spec.device)
        for block in self.blocks:
            x = block(x, mask, attended, cos, sin)
        return x * mask.to(x.dtype), lengths
