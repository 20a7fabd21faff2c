"""Copies of recordings: read, augmented together, written, each told in a line of the manifest."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from speechaug._lines import complete_file
from speechaug._recent import recent
from speechaug._threads import one_thread
from speechaug.audio import FloatArray
from speechaug.banks import RATES_KEPT
from speechaug.draws import Draws
from speechaug.folders.failures import failed
from speechaug.folders.formats import Target, check_size, choose
from speechaug.folders.items import Item, Made, Recording, Row
from speechaug.folders.pieces import LONGEST_S
from speechaug.folders.policies import at_rate
from speechaug.folders.sidecars import carry_over
from speechaug.folders.sounds import Header, Sound, copy_writer, make_folder, read_header
from speechaug.folders.times import Move, Piece, timeline
from speechaug.folders.together import Changed, Part, augment_pieces, augment_together
from speechaug.transform import Transform

_TOGETHER = 2**20  # samples of a batch, padded, at most: more than that does not stay in the cache


@dataclass
class _Copy:
    """A copy on its way.

    Attributes:
        item: which.
        sound: its recording.
        target: what it is written as.
        part: the whole recording, unless it is long.
        changed: what became of the recording, piece by piece.
        error: why it cannot be made.
    """

    item: Item
    sound: Sound | None = None
    target: Target | None = None
    part: Part | None = None
    changed: Iterable[Changed] = ()
    error: Exception | None = None


class _Done(NamedTuple):
    """What is kept of a part when it was written: all but its samples.

    Attributes:
        first: where it begins in the recording, in samples.
        length: its samples.
        out_length: samples of what it became.
        transforms: what was drawn, as plain data.
        snr_db: the ratio of speech to noise that came of it.
        draws: what was drawn for it and those beside it.
        row: which of them it was.
    """

    first: int
    length: int
    out_length: int
    transforms: Row
    snr_db: float | None
    draws: Draws
    row: int

    @classmethod
    def of(cls, one: Changed) -> _Done:
        lengths = one.part.samples.shape[1], one.samples.shape[1]
        return cls(one.part.first, *lengths, one.transforms, one.snr_db, one.draws, one.row)

    def piece(self) -> Piece:
        return Piece(self.first, self.length, self.out_length, self.draws.take(self.row))


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
    _folders: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __call__(self, items: Sequence[Item]) -> Iterator[list[Made]]:
        """Write copies and their sidecars; whatever is wrong with one is told, and the others can be made."""
        for copies in self._opened(items):
            with one_thread():
                self._augment(copies)
                made = [self._finished(copy) for copy in copies]
            yield made

    def target(self, header: Header) -> Target:
        """Say what a copy of a recording is written as."""
        heard = header.sample_rate, header.channels
        target = choose(self.format, self.sample_rate, header.container, header.subtype, heard)
        check_size(target, round(header.duration_s * target.sample_rate))
        return target

    def rate_of(self, recording: Recording) -> int | None:
        """Say at which rate copies of a recording are made, in Hz; None where it cannot be read."""
        try:
            return self.target(read_header(recording)).sample_rate
        except (OSError, ValueError):
            return None

    def at_rate(self, sample_rate: int) -> Transform:
        """Return the policy with its banks at a rate; the last few are kept."""
        return recent(self._policies, sample_rate, lambda: at_rate(self.policy, sample_rate), RATES_KEPT)

    def _opened(self, items: Sequence[Item]) -> Iterator[list[_Copy]]:
        """Read recordings, as many at a time as are augmented together; a long one is by itself."""
        copies, longest = list[_Copy](), 0.0
        for item in items:
            copy, samples = _Copy(item), 0.0
            try:
                samples = self._open(copy)
            except Exception as error:
                copy.error = error
            longest = max(longest, samples)
            if copies and (len(copies) + 1) * longest > _TOGETHER:
                yield copies
                copies, longest = [], samples
            copies.append(copy)
        if copies:
            yield copies

    def _open(self, copy: _Copy) -> float:
        """Read a recording, unless it is the last one again; say how many samples are held, infinity for a long one."""
        recording = copy.item.recording
        if not self._last or self._last[0].recording != recording:
            self._last[:] = [Sound(recording)]
        copy.sound = sound = self._last[0]
        copy.target = self.target(sound.header)
        pieces: Iterable[FloatArray] = sound.pieces(copy.target.sample_rate)
        if sound.header.duration_s <= LONGEST_S:
            pieces = list(pieces)
            if len(pieces) == 1:
                copy.part = Part(recording.id, copy.item.copy, pieces[0])
                return pieces[0].size
        copy.changed = self._piece_by_piece(copy.item, pieces, copy.target.sample_rate)
        return math.inf

    def _piece_by_piece(self, item: Item, pieces: Iterable[FloatArray], sample_rate: int) -> Iterator[Changed]:
        yield from augment_pieces(
            self.at_rate(sample_rate), pieces, sample_rate, seed=self.seed, id=item.recording.id, copy=item.copy
        )

    def _augment(self, copies: Sequence[_Copy]) -> None:
        """Augment what was read whole, together with others of the same form."""
        alike = defaultdict[tuple[int, int], list[_Copy]](list)
        for copy in copies:
            if copy.part is not None and copy.target is not None:
                alike[copy.target.sample_rate, len(copy.part.samples)].append(copy)
        for (sample_rate, _), some in alike.items():
            self._augment_together(some, sample_rate)

    def _augment_together(self, copies: Sequence[_Copy], sample_rate: int) -> None:
        parts = [copy.part for copy in copies if copy.part is not None]
        try:
            changed = augment_together(self.at_rate(sample_rate), parts, sample_rate, self.seed)
        except Exception as error:
            if len(copies) == 1:
                copies[0].error = error
            else:  # one by one, to find out which it was
                for copy in copies:
                    self._augment_together([copy], sample_rate)
            return
        for copy, one in zip(copies, changed, strict=True):
            copy.changed = [one]

    def _finished(self, copy: _Copy) -> Made:
        """Write a copy, unless something was wrong with it."""
        if copy.error is not None:
            return failed(copy.item, copy.error)
        try:
            return Made(copy.item, self._write(copy))
        except Exception as error:
            return failed(copy.item, error)

    def _write(self, copy: _Copy) -> Row:
        item, sound, target = copy.item, copy.sound, copy.target
        assert sound is not None and target is not None
        name = f"{item.id}.{target.ending}"
        path = self._place(name)
        done = list[_Done]()
        # What lies beside a copy is there before it, under names that are temporary until it has its own.
        with ExitStack() as beside, copy_writer(path, target, sound.header.tags) as writer:
            for one in copy.changed:
                writer.write(one.samples)
                done.append(_Done.of(one))
            duration_s = writer.frames / target.sample_rate
            move = self._move(done, target.sample_rate)
            said, files = carry_over(item.recording, sound.sidecars, path.stem, move, duration_s)
            for ending, content in files.items():
                beside.enter_context(complete_file(path.with_name(path.stem + ending))).write_bytes(content)
        return {
            "id": item.id,
            "audio": name,
            **said,
            "source": item.recording.id,
            "source_hash": sound.hash,
            "copy": item.copy,
            "sample_rate": target.sample_rate,
            "duration": duration_s,
            "clipped": writer.clipped,
            **_told(done),
        }

    def _place(self, name: str) -> Path:
        """Return where a copy goes; its folder is there."""
        path, (folder, _, _) = self.folder / name, name.rpartition("/")
        if folder not in self._folders:
            make_folder(self.folder, path)
            self._folders.add(folder)
        return path

    def _move(self, done: Sequence[_Done], sample_rate: int) -> Move:
        """Say where moments of a recording are in its copy; worked out where there are any."""
        return lambda times_s: timeline(self.policy, [one.piece() for one in done], sample_rate)(times_s)


def _told(done: Sequence[_Done]) -> Row:
    """Tell what was done: in lists, one for each piece, where a recording was long."""
    measured = any(one.snr_db is not None for one in done)
    if len(done) == 1:
        return {"transforms": done[0].transforms, **({"snr_db": done[0].snr_db} if measured else {})}
    ratios = {"snr_db": [one.snr_db for one in done]} if measured else {}
    return {"transforms": [one.transforms for one in done], **ratios, "cuts": [one.first for one in done]}
