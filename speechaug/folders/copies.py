"""One copy of one recording: read, augmented, written, told in a line of the manifest."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from speechaug._recent import recent
from speechaug._threads import one_thread
from speechaug.audio import FloatArray
from speechaug.banks import RATES_KEPT
from speechaug.draws import Draws
from speechaug.folders.formats import Target, choose
from speechaug.folders.items import Item, Made, Recording, Row
from speechaug.folders.policies import at_rate
from speechaug.folders.sidecars import carry_over
from speechaug.folders.sounds import Header, Sound, Writer, copy_writer, make_folder, read_header
from speechaug.folders.times import Piece, timeline
from speechaug.rng import Rng
from speechaug.transform import Transform

_DIGITS = 3  # of a measured ratio


class Done(NamedTuple):
    """A piece that was augmented: where it was, what was drawn, and the ratio of speech to noise that came of it."""

    piece: Piece
    snr_db: float | None


@dataclass(frozen=True)
class CopyWork:
    """Makes copies; what a worker does. A copy depends on policy, seed, id, number and sound alone.

    Args:
        folder: to write to.
        policy: waveform policy.
        seed: of the draws.
        format: of the copies.
        sample_rate: of the copies, in Hz; None for that of each recording.
    """

    folder: Path
    policy: Transform
    seed: int
    format: str
    sample_rate: int | None
    _policies: dict[int, Transform] = field(default_factory=dict, init=False, repr=False, compare=False)
    _last: list[Sound] = field(default_factory=list, init=False, repr=False, compare=False)
    _folders: set[Path] = field(default_factory=set, init=False, repr=False, compare=False)

    def __call__(self, item: Item) -> Made:
        """Write a copy and its sidecars; whatever is wrong with it is told, and the others can be made."""
        try:
            with one_thread():
                return Made(item, self._make(item))
        except Exception as error:
            return failed(item, error)

    def target(self, header: Header) -> Target:
        """Say what a copy of a recording is written as."""
        heard = header.sample_rate, header.channels
        return choose(self.format, self.sample_rate, header.container, header.subtype, heard)

    def _make(self, item: Item) -> Row:
        sound = self._sound(item.recording)
        target = self.target(sound.header)
        path = self.folder / f"{item.id}.{target.ending}"
        if path.parent not in self._folders:
            make_folder(self.folder, path)
            self._folders.add(path.parent)
        with copy_writer(path, target, sound.header.tags) as writer:
            done = self._augment(item, sound, target.sample_rate, writer)
            duration_s = writer.frames / target.sample_rate
            move = timeline(self.policy, [one.piece for one in done], target.sample_rate)
            said = carry_over(item.recording, path, move, duration_s)
        return {
            "id": item.id,
            "audio": path.relative_to(self.folder).as_posix(),
            **said,
            "source": item.recording.id,
            "source_hash": sound.hash,
            "copy": item.copy,
            "sample_rate": target.sample_rate,
            "duration": duration_s,
            "clipped": writer.clipped,
            **_told(done),
        }

    def rate_of(self, recording: Recording) -> int | None:
        """Say at which rate copies of a recording are made, in Hz; None where it cannot be read."""
        try:
            return self.target(read_header(recording)).sample_rate
        except (OSError, ValueError):
            return None

    def at_rate(self, sample_rate: int) -> Transform:
        """Return the policy with its banks at a rate; the last few are kept."""
        return recent(self._policies, sample_rate, lambda: at_rate(self.policy, sample_rate), RATES_KEPT)

    def _sound(self, recording: Recording) -> Sound:
        """Open a recording, unless it is the last one again."""
        if not self._last or self._last[0].recording != recording:
            self._last[:] = [Sound(recording)]
        return self._last[0]

    def _augment(self, item: Item, sound: Sound, sample_rate: int, writer: Writer) -> list[Done]:
        policy, pieces, done = self.at_rate(sample_rate), sound.pieces(sample_rate), list[Done]()
        id, copy = item.recording.id, item.copy
        for y, one in augment_pieces(policy, pieces, sample_rate, seed=self.seed, id=id, copy=copy):
            writer.write(y)
            done.append(one)
        return done


def augment_pieces(
    policy: Transform, pieces: Iterable[FloatArray], sample_rate: int, *, seed: int, id: str, copy: int
) -> Iterator[tuple[FloatArray, Done]]:
    """Yield the pieces of a recording augmented, and what was done; the first has the id of the recording.

    Args:
        policy: waveform policy, with banks of the rate.
        pieces: ``(C, T)`` each.
        sample_rate: in Hz.
        seed: of the draws.
        id: of the recording.
        copy: its number, from 1.
    """
    first = 0
    for number, samples in enumerate(pieces):
        name = f"{id}#{number}" if number else id
        draws = policy.sample(Rng.from_ids(seed=seed, epoch=copy - 1, ids=[name]))
        y, extras = _apply(policy, samples, draws, sample_rate)
        yield y, Done(Piece(first, samples.shape[1], y.shape[1], draws), _snr_db(extras) if samples.any() else None)
        first += samples.shape[1]


def failed(item: Item, error: Exception) -> Made:
    """Say that an item could not be made, and why."""
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Made(item, None, explain(error), is_full)


def explain(error: Exception) -> str:
    """Say in a line what went wrong."""
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"


def _apply(
    policy: Transform, samples: FloatArray, draws: Draws, sample_rate: int
) -> tuple[FloatArray, Mapping[str, Tensor]]:
    with torch.inference_mode():
        out = policy.run(torch.from_numpy(samples)[None], None, draws, sample_rate=sample_rate)
    y: FloatArray = out.x[0, :, : int(out.lengths[0])].numpy()
    if y.shape[1] == 0:  # a sample that was played faster
        y = np.zeros((len(y), 1), np.float32)
    return y, out.extras


def _snr_db(extras: Mapping[str, Tensor]) -> float | None:
    """Return the ratio of the speech to all noise that was added, as the transforms measured it."""
    ratios = [float(values[0]) for name, values in extras.items() if name.rpartition(".")[2] == "snr_db"]
    noise = math.fsum(10.0 ** (-ratio / 10.0) for ratio in ratios if math.isfinite(ratio))
    return round(-10.0 * math.log10(noise), _DIGITS) if noise > 0.0 else None


def _told(done: list[Done]) -> Row:
    """Tell what was done: in lists, one for each piece, where a recording was long."""
    transforms, ratios = [one.piece.draws.to_dict() for one in done], [one.snr_db for one in done]
    measured = any(ratio is not None for ratio in ratios)
    if len(done) == 1:
        return {"transforms": transforms[0], **({"snr_db": ratios[0]} if measured else {})}
    cuts = [one.piece.first for one in done]
    return {"transforms": transforms, **({"snr_db": ratios} if measured else {}), "cuts": cuts}
