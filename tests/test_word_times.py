"""Word times: clicks are found back where moved files say; praatio reads what is written, and writes what is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from praatio import textgrid as praat

import speechaug as sa
from speechaug.folders.ctm import read_ctm, write_ctm
from speechaug.folders.sidecars import beside, carry
from speechaug.folders.textgrid import Label, Tier, move_tiers, read_textgrid, words_of, write_textgrid
from speechaug.folders.times import Move, Piece, Word, move_spans, timeline

RATE = 16_000
POLICIES = [
    sa.Speed(factor=(0.8, 1.25)),
    sa.TimeStretch(rate=(0.8, 1.25), quality="high"),
    sa.TimeStretch(rate=(0.8, 1.25)),
    sa.TimeShift(shift_ms=(-300.0, 300.0)),
    sa.Compose([sa.TimeShift(shift_ms=(-300.0, 300.0)), sa.Speed(), sa.Gain(), sa.TimeStretch(quality="high")]),
]


def bursts(middles: Sequence[float], duration_s: float) -> np.ndarray:
    """Short bursts in faint noise: what a person would call clicks."""
    away = np.arange(round(duration_s * RATE)) - np.rint(np.asarray(middles) * RATE)[:, None]
    clicks = 0.5 * np.sin(0.375 * away + 1.0) * np.exp(-((away / 64.0) ** 2))
    return clicks.sum(0) + 0.001 * np.random.default_rng(6).standard_normal(away.shape[1])


def heard(y: np.ndarray, near_s: float, reach_s: float = 0.1) -> float:
    """Find the burst nearest to a moment: the most energy in its surroundings."""
    first = max(0, round((near_s - reach_s) * RATE))
    energy = np.convolve(y[first : round((near_s + reach_s) * RATE)] ** 2, np.hanning(201), "same")
    return (first + int(np.argmax(energy))) / RATE


def in_pieces(policy: sa.Transform, x: np.ndarray, cuts: Sequence[int], id: str) -> tuple[np.ndarray, Move]:
    """Augment each piece by itself and join them."""
    pieces, parts = [], []
    for number, (first, end) in enumerate(pairwise(cuts)):
        draws = policy.sample(sa.Rng.from_ids(seed=1, epoch=0, ids=[f"{id}#{number}"]))
        batch = torch.from_numpy(x[None, first:end].astype(np.float32))
        y, lengths = policy(batch, None, draws, sample_rate=RATE)
        parts.append(y[0, : int(lengths[0])].numpy())
        pieces.append(Piece(first, end - first, int(lengths[0]), draws))
    return np.concatenate(parts), timeline(policy, pieces, RATE)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("cuts", [(0, 80_000), (0, 30_000, 62_000, 80_000)], ids=["whole", "in three pieces"])
def test_clicks_are_heard_where_moved_words_begin(policy: sa.Transform, cuts: tuple[int, ...]) -> None:
    middles = [0.5, 0.9, 1.4, 2.3, 2.9, 3.4, 4.3]
    contents = {"u.ctm": "".join(f"u 1 {middle} 0.1 w{n}\n" for n, middle in enumerate(middles)).encode()}
    for number in range(4):
        y, move = in_pieces(policy, bursts(middles, 5.0), cuts, f"u{number}")
        words = carry(contents, move, len(y) / RATE, "copy").words
        assert words is not None
        # A piece that is shifted loses what lies near its ends; no more than that is lost.
        assert len(words) == len(middles) or (len(cuts) > 2 and len(words) >= 4)
        for word in words:
            cut_off = word.end - word.start < 0.05  # its begin lies at the edge
            if not cut_off:
                assert 1000 * abs(heard(y, word.start) - word.start) <= policy.time_accuracy_ms + 1000 / RATE


def test_a_part_of_a_recording_has_its_own_times() -> None:
    """Words outside of the part are gone; one that reaches in is cut."""
    policy = sa.Speed(factor=(2.0, 2.0))
    _, move = in_pieces(policy, bursts([1.5], 5.0), (RATE, 3 * RATE), "u")
    contents = {"u.ctm": b"u 1 0 0.5 before\nu 1 0.8 0.4 into\nu 1 1.5 0.5 in\nu 1 2.8 9 out\nu 1 3 1 after\n"}
    assert carry(contents, move, 1.0, "u").words == [
        Word("into", 0.0, 0.1), Word("in", 0.25, 0.5), Word("out", 0.9, 1.0)
    ]  # fmt: skip


def test_what_is_shifted_out_is_lost_and_moments_stay_moments() -> None:
    policy = sa.TimeShift(shift_ms=(-500.0, -500.0))
    _, move = in_pieces(policy, np.zeros(2 * RATE), (0, 2 * RATE), "u")
    spans = [(0.0, 0.5), (0.2, 0.2), (0.4, 0.9), (1.0, 1.0), (2.0, 2.0)]
    moved, left = move_spans(spans, move)
    assert left == [False, False, True, True, True]
    assert [span for span, stays in zip(moved, left, strict=True) if stays] == [(0.0, 0.4), (0.5, 0.5), (1.5, 1.5)]


# TextGrids.

TIERS = [
    Tier("words", [Label(0.0, 0.5, ""), Label(0.5, 0.9, 'sev"en'), Label(0.9, 2.0, "ünï ! 1 2")]),
    Tier("phones", [Label(0.0, 2.0, "s\nn")]),
    Tier("tones", [Label(0.25, 0.25, "H*"), Label(1.5, 1.5, "L%")], points=True),
]


def as_praat(tiers: Sequence[Tier], duration_s: float) -> praat.Textgrid:
    grid = praat.Textgrid(0, duration_s)
    for tier in tiers:
        rows = [(label.start, label.text) if tier.points else tuple(label) for label in tier.labels]
        kind = praat.PointTier if tier.points else praat.IntervalTier
        grid.addTier(kind(tier.name, rows, 0, duration_s))
    return grid


def from_praat(path: Path) -> list[Tier]:
    grid = praat.openTextgrid(str(path), includeEmptyIntervals=True)
    tiers = []
    for tier in grid.tiers:
        points = isinstance(tier, praat.PointTier)
        labels = [Label(e.time, e.time, e.label) if points else Label(e.start, e.end, e.label) for e in tier.entries]
        tiers.append(Tier(tier.name, labels, points))
    return tiers


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_both_forms_are_read_as_praatio_writes_them(tmp_path: Path, form: str, encoding: str) -> None:
    path = tmp_path / "u.TextGrid"
    as_praat(TIERS, 2.0).save(str(path), form, includeBlankSpaces=True, reportingMode="error")
    assert read_textgrid(path.read_text("utf-8").encode(encoding), path) == TIERS


def test_praatio_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "u.TextGrid"
    path.write_bytes(write_textgrid(TIERS, 2.0))
    assert from_praat(path) == TIERS


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_moved_textgrid_is_a_whole_one(tmp_path: Path, policy: sa.Transform) -> None:
    """praatio finds no gap, no overlap and nothing beyond the end, and each label where its click is heard."""
    middles = np.linspace(0.6, 4.4, 9).tolist()
    labels = [Label(0.0, 0.6, ""), *(Label(m, m + 0.2, f"w{n}") for n, m in enumerate(middles))]
    tiers = [Tier("ann - words", labels), Tier("peaks", [Label(m, m, "") for m in middles], points=True)]
    y, move = in_pieces(policy, bursts(middles, 5.0), (0, 41_000, 80_000), "u")
    moved = carry({"u.TextGrid": write_textgrid(tiers, 5.0)}, move, len(y) / RATE, "u-1").files[".TextGrid"]
    path = tmp_path / "u-1.TextGrid"
    path.write_bytes(moved)
    words, peaks = from_praat(path)
    edges = [label.start for label in words.labels] + [len(y) / RATE]
    assert [label.end for label in words.labels] == edges[1:] and edges[0] == 0.0
    assert praat.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error").maxTimestamp == edges[-1]
    for label in peaks.labels:
        assert 1000 * abs(heard(y, label.start) - label.start) <= policy.time_accuracy_ms + 1000 / RATE
    assert len(peaks.labels) >= 8


def test_which_tier_holds_the_words() -> None:
    phones, words = Tier("phones", [Label(0, 1, "s")]), Tier("Ann - Words", [Label(0, 1, "sp"), Label(1, 2, "seven")])
    assert words_of([phones, words]) == [Word("seven", 1, 2)]
    assert words_of([phones, TIERS[2]]) == [Word("s", 0, 1)]  # the only tier of intervals
    assert words_of([phones, Tier("syllables", [])]) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a whole TextGrid, it ends too early"),
        (write_textgrid(TIERS, 2.0)[:300], "ends too early"),
        (b'"ooTextFile" "TextGrid" 0 1 <exists> 1e999', "is not a TextGrid"),
        (b'"ooTextFile" "Sound"', "its first lines do not say so"),
        (b"\xff\xfe\x00", "is not a TextGrid"),
        (b'"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "words" 0 1 1 1 0 "back"', "0 <= start <= end"),
        (b'"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "words" 0 1 1 0 "x" 1', "a time must be a number"),
    ],
)
def test_broken_textgrids_are_told(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"u\.TextGrid: .*{reason}"):
        read_textgrid(content, "u.TextGrid")


# CTM, JSON and transcripts.


def test_ctm_keeps_channel_and_confidence() -> None:
    lines = read_ctm(b";; by hand\nu 1 0.5 0.25 seven 0.93 lex ann\n\nu A 1.0 0.5 <eps>\n", "u.ctm")
    assert write_ctm(lines) == b"u 1 0.5000 0.2500 seven 0.93 lex ann\nu A 1.0000 0.5000 <eps>\n"
    done = carry({"u.ctm": write_ctm(lines)}, lambda times: times, 2.0, "copy")
    assert (done.words, done.text) == ([Word("seven", 0.5, 0.75)], None)
    assert done.row()["text"] == "seven"


def test_everything_beside_a_recording(tmp_path: Path) -> None:
    told = {"text": "other", "duration": 2.0, "words": [{"text": "se", "start": 0.5, "end": 1.0, "score": 0.9}], "k": 1}
    (tmp_path / "u.json").write_text(json.dumps(told))
    (tmp_path / "u.txt").write_text("\ufeffseven\n eight\n", encoding="utf-8")
    (tmp_path / "u.lab").write_text("seven eight")
    (tmp_path / "u.textgrid").write_bytes(write_textgrid([Tier("words", [Label(0.5, 1.0, "seven")])], 2.0))
    (tmp_path / "v.txt").write_text("another")
    done = carry(beside(tmp_path / "u.wav"), lambda times: times / 2, 1.0, "copy")
    assert set(done.files) == {".txt", ".lab", ".textgrid", ".json"}
    assert done.row() == {"text": "seven eight", "words": [{"word": "seven", "start": 0.25, "end": 0.5}]}
    moved = {**told, "duration": 1.0, "words": [{"text": "se", "start": 0.25, "end": 0.5, "score": 0.9}]}
    assert json.loads(done.files[".json"]) == moved
    assert done.files[".txt"] == (tmp_path / "u.txt").read_bytes()


def test_broken_sidecars_are_told_and_the_others_carried() -> None:
    contents = {
        "a/u.txt": b"\xff\xfe\xfd",
        "a/u.lab": b"0 3600000 sil\n3600000 9000000 seven\n",
        "a/u.TextGrid": b"not one",
        "a/u.ctm": b"u 1 0.5 seven\n",
        "a/u.json": b'{"text": "seven", "words": ["seven"]}',
    }
    done = carry(contents, lambda times: times, 1.0, "u")
    assert (done.text, done.words, set(done.files)) == ("seven", None, {".json"})
    assert [problem.split(": ")[0] for problem in done.problems] == [
        "a/u.txt", "a/u.lab", "a/u.TextGrid", "a/u.ctm:1"
    ]  # fmt: skip
    for words in ([{"word": "x", "start": 0.5}], [{"word": "x", "start": float("nan"), "end": 1.0}], [{}]):
        broken = {"u.json": json.dumps({"words": words}).encode()}
        (problem,) = carry(broken, lambda times: times, 1.0, "u").problems
        assert problem.startswith("u.json: ")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    contents = {"u.txt": tmp_path, "u.json": b"[" * 100_000, "u.ctm": tmp_path / "gone.ctm"}
    problems = carry(contents, lambda times: times, 1.0, "u").problems
    assert problems[:2] == ["u.txt: Is a directory", "u.ctm: No such file or directory"]
    assert problems[2].startswith("u.json: is not JSON (maximum recursion depth exceeded")


def test_nothing_beside(tmp_path: Path) -> None:
    assert beside(tmp_path / "u.wav") == {}
    assert carry({}, lambda times: times, 1.0, "u").row() == {}


def test_moving_tiers_leaves_the_source_untouched() -> None:
    before = [tier._replace(labels=list(tier.labels)) for tier in TIERS]
    move_tiers(TIERS, lambda times: times / 2, 1.0)
    assert before == TIERS


# Through a job.


def test_word_times_beside_recordings_of_a_folder(tmp_path: Path) -> None:
    """A short recording and one of a minute, which is made in pieces."""
    policy = sa.Compose([sa.TimeShift(shift_ms=(0.0, 200.0)), sa.Speed(factor=(0.8, 1.25))])
    middles = {"short": [0.5, 0.9, 1.4], "ann/long": np.arange(1.0, 61.0, 1.7).tolist()}
    for name, moments in middles.items():
        path = tmp_path / "src" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        duration_s = moments[-1] + 1.0
        soundfile.write(path, bursts(moments, duration_s), RATE)
        labels = [Label(moment, moment + 0.05, f"w{number}") for number, moment in enumerate(moments)]
        grid = as_praat([Tier("words", labels)], duration_s)
        grid.save(str(path.with_suffix(".TextGrid")), "short_textgrid", includeBlankSpaces=True)
        ctm = "".join(f"x 1 {label.start} 0.05 {label.text}\n" for label in labels)
        path.with_suffix(".ctm").write_text(ctm)
        path.with_suffix(".txt").write_text("as written\n")
    (tmp_path / "src" / "short.json").write_text("[broken")
    report = sa.augment_folder(tmp_path / "src", tmp_path / "dst", policy, copies=2, workers=0)
    assert (report.failures, len(report.problems), report.files) == ((), 1, 4)
    for row in map(json.loads, (tmp_path / "dst" / "manifest.jsonl").read_text().splitlines()):
        path = tmp_path / "dst" / row["audio"]
        y, _ = soundfile.read(path)
        (words,) = from_praat(path.with_suffix(".TextGrid"))
        told = [line.split() for line in path.with_suffix(".ctm").read_text().splitlines()]
        spoken = [label for label in words.labels if label.text]
        assert (
            [label.text for label in spoken] == [word["word"] for word in row["words"]] == [cells[4] for cells in told]
        )
        assert len(spoken) >= 0.9 * len(middles[row["id"].rpartition("_")[0]])
        for label, word, cells in zip(spoken, row["words"], told, strict=True):
            assert label.start == pytest.approx(word["start"]) == pytest.approx(float(cells[2]), abs=1e-4)
            assert 1000 * abs(heard(y, label.start) - label.start) <= policy.time_accuracy_ms + 1000 / RATE
        assert words.labels[-1].end == pytest.approx(len(y) / RATE)
        assert (row["text"], path.with_suffix(".txt").read_text()) == ("as written", "as written\n")
