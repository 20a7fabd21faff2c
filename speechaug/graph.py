"""A policy as a CUDA graph: the whole augmentation of a batch launched at once."""

from __future__ import annotations

import torch
from torch import Tensor

from speechaug.draws import Draws
from speechaug.rng import Rng
from speechaug.transform import Transform


class StaticBatch:
    """Tensors that stay in place while batches of one shape and their draws come and go.

    Args:
        policy: a waveform or spectrogram policy.
        x: a batch of the shape, dtype and device of all that follow.
        lengths: its valid samples or frames, ``(B,)``; None when all are valid, here and later.
        sample_rate: in Hz; required for waveforms.

    Example:
        >>> import speechaug as sa
        >>> policy = sa.Gain(gain_db=(6.0, 6.0))
        >>> static = StaticBatch(policy, torch.zeros(1, 2), None, sample_rate=16_000)
        >>> static.fill(torch.ones(1, 2), None, policy.sample(Rng.from_ids(seed=1, epoch=0, ids=["a"])))
        >>> static.run()[0]
        tensor([[1.9953, 1.9953]])
    """

    def __init__(self, policy: Transform, x: Tensor, lengths: Tensor | None, *, sample_rate: int | None = None) -> None:
        """Make the tensors; see the class."""
        self._policy, self._sample_rate = policy, sample_rate
        self._x = x.clone()
        self._lengths = None if lengths is None else lengths.clone()
        self._draws = policy.sample(Rng.from_ids(seed=0, epoch=0, ids=[str(row) for row in range(x.shape[0])]))
        self._packed = self._draws.pack().to(x.device)

    def fill(self, x: Tensor, lengths: Tensor | None, draws: Draws) -> None:
        """Copy a batch and its draws into place, without waiting for the device.

        Raises:
            ValueError: if the shape differs, lengths are given only now or then, or the draws are of another policy.
        """
        packed = draws.pack()
        if x.shape != self._x.shape or packed.shape != self._packed.shape:
            raise ValueError(
                f"StaticBatch: x and draws must be of shape {tuple(self._x.shape)} and {tuple(self._packed.shape)}, "
                f"got {tuple(x.shape)} and {tuple(packed.shape)}"
            )
        if (lengths is None) != (self._lengths is None):
            raise ValueError("StaticBatch: lengths must be given always or never")
        self._x.copy_(x, non_blocking=True)
        if lengths is not None and self._lengths is not None:
            self._lengths.copy_(lengths, non_blocking=True)
        self._packed.copy_(packed.pin_memory() if self._x.is_cuda else packed, non_blocking=True)

    def run(self) -> tuple[Tensor, Tensor]:
        """Augment what is in place, with fixed shapes."""
        tree = self._draws.unpack(self._packed).tensors(self._x.device)  # here, since it computes which rows are on
        return self._policy(self._x, self._lengths, tree, sample_rate=self._sample_rate)


class CapturedPolicy:
    """A policy for batches of one shape on a CUDA device, captured once and replayed for each batch.

    Every row is computed and gated (see ``Transform.__call__``), so it pays where launching many small kernels is what
    costs: small batches, policies with many members. The result lies in the same memory each time.

    Args:
        policy: a waveform or spectrogram policy.
        x: a batch of the shape, dtype and device of all that follow.
        lengths: its valid samples or frames, ``(B,)``; None when all are valid, here and later.
        sample_rate: in Hz; required for waveforms.

    Raises:
        ValueError: if ``x`` is not on a CUDA device, or the policy computes on the host (a codec).

    Example:
        >>> import speechaug as sa
        >>> CapturedPolicy(sa.Gain(), torch.zeros(1, 2), None, sample_rate=16_000)
        Traceback (most recent call last):
        ValueError: CapturedPolicy: x must be on a CUDA device, got cpu
    """

    def __init__(self, policy: Transform, x: Tensor, lengths: Tensor | None, *, sample_rate: int | None = None) -> None:
        """Capture; see the class."""
        if policy.on_host:
            raise ValueError(f"CapturedPolicy: policy must compute on the device alone, got {policy!r}")
        if not x.is_cuda:
            raise ValueError(f"CapturedPolicy: x must be on a CUDA device, got {x.device}")
        self._static = StaticBatch(policy, x, lengths, sample_rate=sample_rate)
        self._device = x.device
        self._graph = torch.cuda.CUDAGraph()
        with torch.no_grad(), torch.cuda.device(x.device):
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                self._static.run()  # compiles kernels, moves banks and tables
            torch.cuda.current_stream().wait_stream(aside)
            with torch.cuda.graph(self._graph):
                self._out = self._static.run()

    def __call__(self, x: Tensor, lengths: Tensor | None, draws: Draws) -> tuple[Tensor, Tensor]:
        """Augment a batch; the result is overwritten by the next call.

        Raises:
            ValueError: if the shape differs, lengths are given only now or then, or the draws are of another policy.
        """
        with torch.cuda.device(self._device):
            self._static.fill(x, lengths, draws)
            self._graph.replay()
        return self._out
