"""A policy as a transform of lhotse's cuts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from speechaug.draws import Draws
from speechaug.interop.single import check_single
from speechaug.rng import Rng
from speechaug.transform import Transform

Moved = Callable[[float, float], tuple[float, float]]
"""From the start and duration of something in a cut, in seconds, to those in its augmented copy."""

_DIGITS = 8  # what lhotse rounds seconds to


class CutTransform:
    """Augment the cuts of lhotse: ``cut_transforms=[CutTransform(policy)]`` of its data sets, or on a ``CutSet``.

    The sound is read, augmented and kept in memory; supervisions and alignments move with it, and what was cut off is
    left out. A cut keeps its id, and what it gets depends on seed, epoch and id alone. Features that it had are gone,
    custom fields stay as they are.

    Args:
        policy: a waveform policy.
        seed: of the draws.

    Raises:
        ValueError: if the policy is for spectrograms or mixes rows.

    Example:
        ``K2SpeechRecognitionDataset(cut_transforms=[transform], input_strategy=OnTheFlyFeatures(Fbank()))``, with
        ``transform.set_epoch(epoch)`` beside ``sampler.set_epoch(epoch)``.
    """

    def __init__(self, policy: Transform, *, seed: int = 0) -> None:
        """Keep the configuration; see the class."""
        check_single("CutTransform", policy)
        self.policy = policy
        self.seed = seed
        self._epoch = torch.tensor(0, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0; DataLoader workers see it too."""
        self._epoch.fill_(epoch)

    def __call__(self, cuts: Iterable[Any]) -> Any:
        """Return a ``CutSet`` of the cuts, augmented."""
        from lhotse import CutSet

        return CutSet.from_cuts(self.augmented(cut) for cut in cuts)

    def augmented(self, cut: Any) -> Any:
        """Augment one cut."""
        from lhotse import Recording
        from lhotse.utils import fastcopy

        rate, samples = cut.sampling_rate, cut.load_audio()
        draws = self.policy.sample(Rng.from_ids(seed=self.seed, epoch=int(self._epoch), ids=[cut.id]))
        y, lengths = self.policy(torch.from_numpy(samples)[None], None, draws, sample_rate=rate)
        new = Recording.from_bytes(_wav(y[0, :, : int(lengths[0])].numpy(), rate), recording_id=cut.id).to_cut()
        moved = self._moved(draws, samples.shape[1], rate)
        channels = cut.channel if isinstance(getattr(cut, "channel", 0), Sequence) else [getattr(cut, "channel", 0)]
        supervisions = [_supervision(one, moved, new.recording.id, channels) for one in cut.supervisions]
        kept = [one for one in supervisions if one.duration > 0.0]
        return fastcopy(new, supervisions=kept, custom=getattr(cut, "custom", None))

    def _moved(self, draws: Draws, length: int, sample_rate: int) -> Moved:
        def moved(start: float, duration: float) -> tuple[float, float]:
            ends = self.policy.warp_times([[start, start + duration]], [length], draws, sample_rate=sample_rate)
            first, last = ends[0].tolist()
            return round(first, _DIGITS), round(last - first, _DIGITS)

        return moved


def _supervision(supervision: Any, moved: Moved, recording_id: str, channels: Sequence[int]) -> Any:
    """Move a supervision and its alignments into a new recording, whose channels count from 0."""
    from lhotse.utils import fastcopy

    start, duration = moved(supervision.start, supervision.duration)
    place = {channel: index for index, channel in enumerate(channels)}
    own = supervision.channel
    channel = [place.get(one, 0) for one in own] if isinstance(own, Sequence) else place.get(own, 0)
    alignment = supervision.alignment and {
        kind: [item for item in (_item(one, moved) for one in items) if item.duration > 0.0]
        for kind, items in supervision.alignment.items()
    }
    placed = {"recording_id": recording_id, "channel": channel, "alignment": alignment}
    return fastcopy(supervision, start=start, duration=duration, **placed)


def _item(item: Any, moved: Moved) -> Any:
    start, duration = moved(item.start, item.duration)
    return item._replace(start=start, duration=duration)


def _wav(samples: NDArray[Any], sample_rate: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, sample_rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()
