"""The policy that is shown: where it comes from, at any sample rate, and how to get the same draw in Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechaug import presets
from speechaug.augmenter import leaves
from speechaug.banks import Bank
from speechaug.folders.policies import BANK_RATE, Sounds, at_rate, with_sounds
from speechaug.policy_file import load_policy
from speechaug.preview.excerpts import Excerpt
from speechaug.transform import Transform

_SOUND = """\
augmented = sa.augment(samples, rate, policy, seed={seed}, id={id!r})"""

_FEATURES = """\
features, frames = sa.LogMel(rate)(torch.from_numpy(samples[:1]), torch.tensor([samples.shape[1]]))
draws = policy.sample(sa.Rng.from_ids(seed={seed}, epoch=0, ids=[{id!r}]))
masked, frames = policy(features, frames, draws)"""


@dataclass(frozen=True)
class Source:
    """A policy and where it comes from.

    Args:
        policy: the policy.
        name: what it is called on the page.
        loads: Python that makes it.
    """

    policy: Transform
    name: str
    loads: str

    @classmethod
    def of(
        cls, given: Transform | str | Path, *, noise: Sounds = None, rooms: Sounds = None, voices: Sounds = None
    ) -> Source:
        """Find a policy: a transform, a YAML file or the name of a preset, such as ``specaugment:small``.

        Args:
            given: which.
            noise: folder or bank of recorded noise for ``small_sample``.
            rooms: folder or bank of room responses for ``small_sample``.
            voices: folder or bank of single talkers for ``small_sample``.

        Raises:
            ValueError: if there is none, it mixes the examples of a batch, or noise, rooms or voices are not for it.

        Example:
            >>> Source.of("specaugment:small").loads
            "sa.presets.specaugment('small')"
        """
        policy: Any = with_sounds(given, "preview", noise=noise, rooms=rooms, voices=voices)
        made = _made(noises=noise, rooms=rooms, voices=voices)
        source = cls._find(given) if policy is given else cls(policy, str(given), made)
        mixing = sorted({type(leaf).__name__ for _, leaf in leaves(source.policy) if leaf.mixes_rows})
        if mixing:
            raise ValueError(
                f"preview: policy must act on each recording alone, {', '.join(mixing)} mixes the rows of a batch"
            )
        return source

    @classmethod
    def _find(cls, given: Transform | str | Path) -> Source:
        if isinstance(given, Transform):
            name = "the policy" if hasattr(given, "members") else type(given).__name__
            return cls(given, name, "...  # the one that was previewed")
        if given == "small_sample":
            return cls(presets.small_sample(), "small_sample", "sa.presets.small_sample()")
        preset, _, kind = str(given).partition(":")
        if preset == "specaugment":
            kind = kind or "LD"
            return cls(presets.specaugment(kind), f"SpecAugment {kind}", f"sa.presets.specaugment({kind!r})")
        if not Path(given).is_file():
            raise ValueError(
                f"preview: policy must be small_sample, specaugment:NAME or an existing YAML file, got {str(given)!r}"
            )
        return cls(load_policy(given), Path(given).name, f"sa.load_policy({str(given)!r})")

    def at(self, sample_rate: int) -> Transform:
        """Return the policy with its banks at a sample rate, in Hz."""
        return at_rate(self.policy, sample_rate)

    def replay(self, excerpt: Excerpt, seed: int) -> str:
        """Return Python that does the same as the page at strength 1."""
        is_sound = self.policy.domain == "waveform"
        resampled = self.at(excerpt.sample_rate) is not self.policy
        part = f", duration_s={excerpt.duration_s!r}" if excerpt.is_cut else ""
        lines = [
            "import speechaug as sa",
            *([] if is_sound else ["import torch"]),
            *(["from speechaug.folders.policies import at_rate"] if resampled else []),
            "",
            f"policy = {self.loads}",
            f"samples, rate = sa.audio.read({str(excerpt.path)!r}{part})",
            *(["policy = at_rate(policy, rate)  # its banks"] if resampled else []),
            (_SOUND if is_sound else _FEATURES).format(seed=seed, id=excerpt.id),
        ]
        return "\n".join(lines)


def _made(**sounds: Sounds) -> str:
    """Return Python that makes the preset; banks that came from Python are not told."""
    told = [
        f"{name}={'...' if isinstance(source, Bank) else f'sa.Bank({str(source)!r}, sample_rate={BANK_RATE})'}"
        for name, source in sounds.items()
        if source is not None
    ]
    return f"sa.presets.small_sample({', '.join(told)})"
