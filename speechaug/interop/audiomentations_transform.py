"""A policy as a transform of audiomentations."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from speechaug.clip import augment
from speechaug.interop.calls import call_id
from speechaug.interop.single import check_single
from speechaug.rng import Rng
from speechaug.transform import Transform


class AudiomentationsTransform:
    """Call a policy as transforms of audiomentations are called, alone or within their ``Compose``.

    Each call draws anew, from the seed and the number of the call, apart in each DataLoader worker and rank; no global
    generator is read. Where results shall not depend on the order of calls, use :func:`speechaug.augment` with an id.

    Args:
        policy: a waveform policy.
        seed: of the draws.

    Raises:
        ValueError: if the policy is for spectrograms or mixes rows.

    Example:
        >>> import audiomentations, numpy as np, speechaug as sa
        >>> faster = AudiomentationsTransform(sa.Speed(factor=(1.25, 1.25)))
        >>> both = audiomentations.Compose([audiomentations.PolarityInversion(p=1.0), faster])
        >>> both(samples=np.ones(1_000, np.float32), sample_rate=16_000).shape
        (800,)
        >>> faster.parameters
        {'should_apply': True, 'Speed': {'factor': 1.25}}
    """

    def __init__(self, policy: Transform, *, seed: int = 0) -> None:
        """Keep the configuration; see the class."""
        check_single("AudiomentationsTransform", policy)
        self.policy = policy
        self.seed = seed
        self.are_parameters_frozen = False
        self._calls = 0

    def __call__(self, samples: NDArray[Any], sample_rate: int) -> NDArray[Any]:
        """Augment samples ``(T,)`` or ``(C, T)``; the length may change."""
        if self._calls == 0 or not self.are_parameters_frozen:
            self.randomize_parameters(samples, sample_rate)
        return augment(samples, sample_rate, self.policy, seed=self.seed, id=call_id(self._calls))

    def randomize_parameters(self, samples: NDArray[Any], sample_rate: int) -> None:
        """Go on to the draws of the next call."""
        self._calls += 1

    def freeze_parameters(self) -> None:
        """Do from now on what the last call did."""
        self.are_parameters_frozen = True

    def unfreeze_parameters(self) -> None:
        """Draw again in each call."""
        self.are_parameters_frozen = False

    @property
    def parameters(self) -> dict[str, Any]:
        """What the last call drew, by place in the policy."""
        if self._calls == 0:
            return {"should_apply": None}
        drawn = self.policy.sample(Rng.from_ids(seed=self.seed, epoch=0, ids=[call_id(self._calls)]))
        done = {place or type(self.policy).__name__: values for place, values in drawn.row(0)}
        return {"should_apply": bool(drawn.on[0]), **done}

    def serialize_parameters(self) -> dict[str, Any]:
        """Return :attr:`parameters`, which are plain data."""
        return self.parameters

    def to_dict_private(self) -> dict[str, Any]:
        """Return plain data, as a ``Compose`` of audiomentations asks for."""
        name = f"{type(self).__module__}.{type(self).__name__}"
        return {"__class_fullname__": name, "policy": self.policy.to_dict(), "seed": self.seed}

    def __repr__(self) -> str:
        """Show the policy."""
        return f"AudiomentationsTransform({self.policy!r}, seed={self.seed})"
