"""A policy as a layer."""

from __future__ import annotations

from typing import overload

from torch import Tensor, nn

from speechaug.interop.calls import call_id
from speechaug.rng import Rng
from speechaug.transform import Transform


class PolicyModule(nn.Module):
    """A policy as a ``torch.nn.Module``: batches in, batches out while training, untouched in ``eval`` mode.

    It has no parameters, buffers or keys in the ``state_dict``: checkpoints fit with it and without. Each call draws
    anew, from the seed and the number of the call, apart in each rank. What a row gets therefore depends on its batch:
    a run that is resumed draws other numbers, and whoever has ids calls the policy itself.

    Args:
        policy: a waveform or spectrogram policy.
        sample_rate: of waveforms, in Hz; None for spectrograms.
        seed: of the draws.

    Raises:
        ValueError: if it is no policy or there is no sample rate for waveforms; on a call without lengths, if the
            policy changes them.

    Example:
        >>> import torch, speechaug as sa
        >>> layer = PolicyModule(sa.Gain(gain_db=(6.0, 6.0)), sample_rate=16_000)
        >>> layer(torch.ones(1, 2)), layer.eval()(torch.ones(1, 2))
        (tensor([[1.9953, 1.9953]]), tensor([[1., 1.]]))
    """

    def __init__(self, policy: Transform, *, sample_rate: int | None = None, seed: int = 0) -> None:
        """Keep the configuration; see the class."""
        super().__init__()
        if not isinstance(policy, Transform):
            raise ValueError(f"PolicyModule: policy must be a Transform, got {type(policy).__name__}")
        if policy.domain == "waveform" and sample_rate is None:
            raise ValueError("PolicyModule: sample_rate must be given for waveforms, got None")
        self.policy = policy
        self.sample_rate = sample_rate
        self.seed = seed
        self._calls = 0

    @overload
    def forward(self, x: Tensor) -> Tensor: ...

    @overload
    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]: ...

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            x: waveforms ``(B, T)`` or ``(B, C, T)``, or spectrograms ``(B, F, T)``.
            lengths: valid samples or frames, ``(B,)``; they may be left out where the policy keeps them.

        Returns:
            The batch; with its lengths where those were given.
        """
        if lengths is None and self.policy.changes_length:
            raise ValueError("PolicyModule: lengths must be given to a policy that changes them, got None")
        if not self.training:
            return x if lengths is None else (x, lengths)
        self._calls += 1
        ids = [f"{call_id(self._calls)}/row-{row}" for row in range(len(x))]
        draws = self.policy.sample(Rng.from_ids(seed=self.seed, epoch=0, ids=ids))
        y, y_lengths = self.policy(x, lengths, draws, sample_rate=self.sample_rate)
        return y if lengths is None else (y, y_lengths)

    def extra_repr(self) -> str:
        """Show the policy."""
        return f"{self.policy!r}, sample_rate={self.sample_rate}, seed={self.seed}"
