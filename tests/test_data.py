"""Data loading: what is read, who trains, what a batch holds, and what training and testing receive."""

from __future__ import annotations

import csv
import json
import logging
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import soundfile
import soxr
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch.utils.data import DistributedSampler

import speechaug as sa
from speechaug import audio
from speechaug.data import (
    BucketSampler,
    Joined,
    SpeechDataModule,
    SpeechDataset,
    Utterance,
    plan_strings,
    read_manifest,
    scan,
    write_manifest,
)
from speechaug.data.split import hold_out_takes, split_speakers

RATE = 8_000
PATTERN = "{text}_{speaker}_{take}.wav"
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def noise(seed: int, samples: int = 400, level: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (np.rint(level * rng.standard_normal(samples) * 32768) / 32768).astype(np.float32)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers say three digits four times; takes are numbered 8 to 11."""
    folder = tmp_path_factory.mktemp("tree")
    seed = 0
    for speaker in ("ann", "ben", "cem"):
        for text in ("0", "1", "2"):
            for take in (8, 9, 10, 11):
                seed += 1
                audio.write(folder / f"{text}_{speaker}_{take}.wav", noise(seed, 300 + 20 * seed), RATE)
    return folder


@pytest.fixture(scope="session")
def banks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders train, test and rooms of noise and of a room response."""
    folder = tmp_path_factory.mktemp("banks")
    for place, side in enumerate(("train", "test")):
        for number in range(3):
            audio.write(folder / side / f"n{number}.wav", noise(100 * place + number + 1000, 4000), RATE)
    response = np.zeros(400, np.float32)
    response[[0, 150, 300]] = 0.5, 0.25, 0.125
    audio.write(folder / "rooms" / "hall.wav", response, RATE)
    return folder


def module(tree: Path, **arguments: Any) -> SpeechDataModule:
    defaults = {"pattern": PATTERN, "sample_rate": RATE, "test_speakers": ["cem"], "batch_size": 4}
    return SpeechDataModule(tree, **{**defaults, **arguments})


def spoken(count: int, speakers: int = 2) -> list[Utterance]:
    return [
        Utterance(f"u{i}", f"u{i}.wav", str(i % 10), speaker=f"s{i % speakers}", duration=0.3 + 0.01 * (i * 7 % 13))
        for i in range(count)
    ]


# Manifests


def test_jsonl_csv_and_tsv_read_alike(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "audio": "wav/a.wav", "text": 'say "hi", ann', "speaker": "ann", "offset": 0.5, "duration": 1.25},
        {"id": "b", "audio": str(tmp_path / "b.flac"), "text": "zwölf", "speaker": "ben"},
    ]
    (tmp_path / "m.jsonl").write_text("\n\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    for name, dialect in (("m.csv", "excel"), ("m.tsv", "excel-tab")):
        with (tmp_path / name).open("w", encoding="utf-8-sig", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), dialect=dialect)
            table.writeheader()
            table.writerows(rows)
    expected = [
        Utterance("a", str(tmp_path / "wav" / "a.wav"), 'say "hi", ann', "ann", 0.5, 1.25),
        Utterance("b", str(tmp_path / "b.flac"), "zwölf", "ben"),
    ]
    for name in ("m.jsonl", "m.csv", "m.tsv"):
        assert read_manifest(tmp_path / name) == expected


def test_numbers_are_text_and_ids_default_to_paths(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"audio": "x/0.wav", "text": 0, "speaker": 0, "take": 0, "other": [1]}\n')
    assert read_manifest(tmp_path / "m.jsonl") == [
        Utterance("x/0", str(tmp_path / "x" / "0.wav"), "0", speaker="0", take="0")
    ]


def test_manifest_round_trip_and_move(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    given = [
        Utterance("a", str(folder / "wav" / "a.wav"), "né", "ann", 0.5, 1.25, "3"),
        Utterance("b", str(tmp_path / "elsewhere" / "b.wav"), ""),
    ]
    write_manifest(folder / "m.jsonl", given)
    assert read_manifest(folder / "m.jsonl") == given
    assert [json.loads(line)["audio"] for line in (folder / "m.jsonl").read_text("utf-8").splitlines()] == [
        "wav/a.wav",
        "../elsewhere/b.wav",
    ]
    shutil.move(folder, tmp_path / "there")
    assert read_manifest(tmp_path / "there" / "m.jsonl")[0].audio == str(tmp_path / "there" / "wav" / "a.wav")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_pattern_reads_names_below_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "7_ann_1.wav", "more/0_ben_10.WAV", ".7_ann_2.wav", ".git/7_ann_3.wav", "notes.txt", "7_ann_1.flac")
    assert read_manifest(tmp_path, PATTERN) == [
        Utterance("7_ann_1", str(tmp_path / "7_ann_1.wav"), "7", "ann", take="1"),
        Utterance("more/0_ben_10", str(tmp_path / "more" / "0_ben_10.WAV"), "0", "ben", take="10"),
    ]


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("ann/seven-2.flac", "{speaker}/{text}-{take}.flac", ("ann/seven-2", "ann", "seven", "2")),
        ("x/y/ann/seven.flac", "{speaker}/{text}.flac", ("x/y/ann/seven", "ann", "seven", "")),
        ("ann_1_good day.wav", "{speaker}_{take}_{text}.wav", ("ann_1_good day", "ann", "good day", "1")),
        ("digit(7)[u1].wav", "digit({text})[{id}].wav", ("u1", "", "7", "")),
        ("u.1.wav", "{id}.wav", ("u.1", "", "", "")),
    ],
)
def test_patterns(tmp_path: Path, name: str, pattern: str, expected: tuple[str, ...]) -> None:
    touch(tmp_path, name)
    (found,) = read_manifest(tmp_path, pattern)
    assert (found.id, found.speaker, found.text, found.take) == expected


def test_names_that_do_not_fit_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "7_ann_1.wav", "7_ann_smith_1.wav", "seven.wav")
    with pytest.warns(UserWarning, match=r"2 files do not fit .* 7_ann_smith_1\.wav, seven\.wav"):
        assert len(read_manifest(tmp_path, "{text}_{speaker}_{take}.wav")) == 1


@pytest.mark.parametrize(
    ("names", "pattern", "match"),
    [
        ([], PATTERN, "the folder is empty"),
        (
            ["a.wav"],
            PATTERN,
            r"no file fits the pattern '\{text\}_\{speaker\}_\{take\}\.wav'; a file there is 'a\.wav'",
        ),
        (["a.mp3"], PATTERN, r"a file there is 'a\.mp3'"),
        (["a.wav"], None, "no known layout, .* any other folder needs a pattern"),
        (["a.wav"], "{text}", "must end in a file ending"),
        (["a.wav"], "{text}{take}.wav", "needs a character between two fields"),
        (["a.wav"], "{word}.wav", "must name fields out of id, text, speaker, take"),
        (["a.wav"], "{text}_{text}.wav", "each once"),
        (["a.wav"], "x.wav", "must name fields"),
        (["x/a.wav", "y/a.wav"], "{id}.wav", "ids must be unique, got more than one of a"),
    ],
)
def test_folders_that_are_refused(tmp_path: Path, names: list[str], pattern: str | None, match: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(ValueError, match=match):
        read_manifest(tmp_path, pattern)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        (
            "m.csv",
            b"id,wave,words\na,a.wav,x\n",
            r"columns \['audio', 'text'\] are missing, found \['id', 'wave', 'words'\]",
        ),
        ("m.csv", b"", r"columns \['audio', 'text'\] are missing, found \[\]"),
        ("m.csv", b"audio;text\na.wav;x\n", r"are missing, found \['audio;text'\] between commas"),
        (
            "m.csv",
            b"audio,text,text\na.wav,x,y\n",
            r"columns must have different names, got \['audio', 'text', 'text'\]",
        ),
        ("m.tsv", b'audio\ttext\na.wav\t"Yes" he said\n', r"m\.tsv:2: is malformed .*; or write JSONL$"),
        ("m.tsv", b'audio\ttext\na.wav\t"x\nb.wav\ty\n', r"m\.tsv:2: is malformed \(unexpected end of data\)"),
        ("m.tsv", b'audio\ttext\na.wav\t"x\nb.wav\ty"\n', r"m\.tsv:3: has a line break within a cell, got 'x\\nb"),
        ("m.csv", b"audio,text\na.wav," + b"x" * 140_000, r"m\.csv:2: is malformed \(field larger"),
        ("m.csv", b"audio,text\n", "holds no utterances"),
        ("m.csv", b"audio,text\na.wav,hello, you\n", r"m\.csv:2: has more values than columns"),
        ("m.csv", b"audio,text\n,hello\n", r"m\.csv:2: audio must be a path"),
        ("m.csv", b"audio,text\na.wav,x\na.wav,y\n", "ids must be unique, got more than one of a"),
        ("m.csv", b"audio,text\na.wav,caf\xe9\n", "is not UTF-8 text"),
        ("m.csv", b"audio,text,offset\na.wav,x,soon\n", r"m\.csv:2: offset and duration must be seconds"),
        ("m.jsonl", b"", "holds no utterances"),
        ("m.jsonl", b'{"audio": "a.wav"}\nhello\n', r"m\.jsonl:2: is not JSON"),
        ("m.jsonl", b'["a.wav"]\n', r"m\.jsonl:1: must be one object on each line, got \["),
        ("m.json", b'[\n{"audio": "a.wav"}\n]', r"m\.json:1: is not JSON, one object on each line"),
        ("m.jsonl", b'{"audio": "a.wav", "text": ["x"]}\n', r"m\.jsonl:1: text: must be text or a number, got \['x'\]"),
        ("m.jsonl", b'{"audio": "a.wav", "offset": Infinity}\n', r"m\.jsonl:1: Utterance: offset must be >= 0"),
        ("m.jsonl", b'{"text": "x"}\n', r"m\.jsonl:1: audio must be a path, got \{'text': 'x'\}"),
        ("m.jsonl", b'{"audio": "a.wav", "duration": 0}\n', "duration > 0"),
        ("m.jsonl", b'{"audio": "a.wav", "offset": -1}\n', "offset must be >= 0"),
        ("m.txt", b"", r"source must be a folder, end in \.jsonl, \.csv, \.tsv or \.tar"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=match):
        read_manifest(tmp_path / name)


def test_missing_manifest_and_useless_pattern(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such manifest or folder"):
        read_manifest(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_text('{"audio": "a.wav"}')
    with pytest.raises(ValueError, match="pattern is for folders"):
        read_manifest(tmp_path / "m.jsonl", PATTERN)


# Strings


@pytest.mark.parametrize("concat", [(1, 1), (1, 6), (2, 2), (3, 5), (7, 7)])
@pytest.mark.parametrize("count", [1, 2, 13, 60])
def test_every_recording_once_a_pass(concat: tuple[int, int], count: int) -> None:
    utterances = spoken(count)
    numbers = set()
    for epoch in range(4):
        strings = plan_strings(utterances, concat=concat, passes=3, seed=1, epoch=epoch)
        numbers.add(len(strings))
        for suffix in ("#1", "#2", "#3"):
            used = [part for s in strings if s.id.endswith(suffix) for part in s.parts]
            assert sorted(used) == list(range(count))
        for string in strings:
            said = [utterances[part] for part in string.parts]
            assert len({utterance.speaker for utterance in said}) == 1
            assert string.id.split("#")[0] == "+".join(utterance.id for utterance in said)
            assert len(said) <= concat[1]
            assert len(string.gaps_s) == len(said) - 1
            assert all(0.05 <= gap < 0.3 for gap in string.gaps_s)
            assert string.duration_s == pytest.approx(sum(u.duration or 0 for u in said) + sum(string.gaps_s))
    assert len(numbers) == 1  # epochs have equally many strings


def test_string_sizes_fill_their_range_evenly() -> None:
    sizes = Counter(
        len(s.parts) for epoch in range(100) for s in plan_strings(spoken(300, 1), concat=(1, 6), epoch=epoch)
    )
    assert set(sizes) == {1, 2, 3, 4, 5, 6}
    assert all(abs(count - 8600 / 6) < 173 for count in sizes.values())  # five standard deviations


def test_strings_depend_on_seed_and_epoch_alone() -> None:
    utterances = spoken(40)
    plan = plan_strings(utterances, concat=(1, 6), seed=3, epoch=5)
    assert plan == plan_strings(utterances, concat=(1, 6), seed=3, epoch=5)
    others = [plan_strings(utterances, concat=(1, 6), seed=s, epoch=e) for s, e in ((3, 6), (4, 5))]
    assert len({tuple(s.id for s in p) for p in (plan, *others)}) == 3
    backwards = plan_strings(utterances[::-1], concat=(1, 6), seed=3, epoch=5)
    assert [s.id for s in backwards] == [s.id for s in plan]


def test_joining_needs_speakers() -> None:
    unknown = [Utterance("u1", "", "x", duration=1.0)]
    assert [s.id for s in plan_strings(unknown)] == ["u1"]
    with pytest.raises(ValueError, match="needs to know who speaks, got 1 utterances without a speaker, such as 'u1'"):
        plan_strings(unknown, concat=(1, 2))


# Sampler


def rows(count: int, seed: int = 0) -> list[Joined]:
    lengths = np.random.default_rng(seed).uniform(1, 10, count)
    return [Joined(f"r{i}", (i,), (), float(length)) for i, length in enumerate(lengths)]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("count", "ranks"), [(100, 1), (101, 2), (97, 3), (3, 3), (33, 2)])
def test_ranks_share_nothing_and_lose_nothing(count: int, ranks: int, shuffle: bool) -> None:
    samplers = [
        BucketSampler(lambda _: rows(count), 8, shuffle=shuffle, num_replicas=ranks, rank=rank) for rank in range(ranks)
    ]
    for epoch in (0, 1):
        seen: list[str] = []
        for sampler in samplers:
            sampler.set_epoch(epoch)
            batches = list(sampler)
            assert len(batches) == len(sampler) == len(samplers[0])
            assert all(1 <= len(batch) <= 8 for batch in batches)
            seen += [row.id for batch in batches for row in batch]
        assert Counter(seen) == Counter(row.id for row in rows(count))


def test_batches_hold_rows_of_similar_length() -> None:
    def padding(batches: Iterable[tuple[Joined, ...]]) -> float:
        kept = [[row.duration_s for row in batch] for batch in batches]
        return 1 - sum(map(sum, kept)) / sum(len(batch) * max(batch) for batch in kept)

    unsorted = [tuple(rows(1000)[i : i + 8]) for i in range(0, 1000, 8)]
    assert padding(unsorted) > 0.3
    ranks = [BucketSampler(lambda _: rows(1000), 8, num_replicas=2, rank=rank) for rank in (0, 1)]
    assert padding(ranks[0]) < 0.05
    steps = [tuple(r for batch in step for r in batch) for step in zip(*ranks, strict=True)]
    assert padding(steps) < 0.05  # no rank waits for another


def test_batches_are_shuffled_by_epoch_and_resume() -> None:
    def ids(epoch: int, start: int = 0) -> list[tuple[str, ...]]:
        sampler = BucketSampler(lambda _: rows(100), 8)
        sampler.set_epoch(epoch)
        sampler.start = start
        assert len(sampler) == 13
        return [tuple(row.id for row in batch) for batch in sampler]

    assert ids(0) == ids(0)
    assert ids(0) != ids(1)
    assert ids(1, start=4) == ids(1)[4:]


def test_lightning_leaves_the_sampler_alone() -> None:
    assert issubclass(BucketSampler, DistributedSampler)
    with pytest.raises(ValueError, match="each of 3 ranks needs a row, got 2 in all"):
        list(BucketSampler(lambda _: rows(2), 8, num_replicas=3, rank=0))


# Files and batches


def dataset(utterances: list[Utterance], cache_bytes: int = 10**6, **arguments: Any) -> SpeechDataset:
    recordings, findings = scan(utterances, sample_rate=RATE, cache_bytes=cache_bytes, **arguments)
    assert {finding.kind for finding in findings} <= {"resampled"}
    return SpeechDataset(recordings, sample_rate=RATE, **arguments)


@pytest.mark.parametrize("cache_bytes", [0, 1_300, 10**6])
def test_batch_holds_the_samples_of_the_files(tmp_path: Path, cache_bytes: int) -> None:
    x = [noise(i, 400 + 100 * i) for i in range(3)]
    for i in range(3):
        audio.write(tmp_path / f"{i}.wav", x[i], RATE)
    data = dataset([Utterance(f"u{i}", str(tmp_path / f"{i}.wav"), f" t{i} ", "ann") for i in range(3)], cache_bytes)
    assert [u.duration for u in data.utterances] == [400 / RATE, 500 / RATE, 600 / RATE]
    batch = data[(Joined("u2+u0", (2, 0), (0.01,), 0.0), Joined("u1", (1,), (), 0.0))]
    assert batch["waveform"].dtype == torch.int16
    first = np.concatenate([x[2], np.zeros(80, np.float32), x[0]])
    expected = np.stack([first, np.pad(x[1], (0, len(first) - 500))])
    np.testing.assert_array_equal(batch["waveform"].numpy() / 32768, expected)
    assert batch["lengths"].tolist() == [1080, 500]
    assert batch["lengths"].dtype == torch.int64
    assert {name: batch[name] for name in ("text", "id", "speaker")} == {
        "text": ["t2 t0", "t1"],
        "id": ["u2+u0", "u1"],
        "speaker": ["ann", "ann"],
    }
    assert data[1]["id"] == ["u1"]
    assert pickle.loads(pickle.dumps(data))[1]["waveform"].equal(data[1]["waveform"])


def test_stereo_other_rates_and_parts(tmp_path: Path) -> None:
    x = np.stack([noise(1, 4_410), noise(2, 4_410)])
    audio.write(tmp_path / "x.flac", x, 44_100)
    part = Utterance("u", str(tmp_path / "x.flac"), "t", offset=0.02, duration=0.05)
    data = dataset([part], transport="float32")
    expected = soxr.resample(x.mean(axis=0)[882 : 882 + 2205], 44_100, RATE, quality="HQ")
    batch = data[0]
    assert batch["waveform"].dtype == torch.float32
    np.testing.assert_allclose(batch["waveform"][0].numpy(), expected, atol=1e-6)  # float32 rounding of the mean
    np.testing.assert_array_equal(
        dataset([part])[0]["waveform"][0].numpy(), np.rint(32768 * batch["waveform"][0].numpy())
    )


def test_silence_and_one_sample_are_kept(tmp_path: Path) -> None:
    audio.write(tmp_path / "silent.wav", np.zeros(400), RATE)
    audio.write(tmp_path / "one.wav", [0.5], RATE)
    audio.write(tmp_path / "one48.wav", [0.5], 48_000)
    data = dataset([Utterance(name, str(tmp_path / f"{name}.wav"), "t", "s") for name in ("silent", "one", "one48")])
    batch = data[(Joined("a", (0,), (), 0.0), Joined("b", (1,), (), 0.0), Joined("c", (2,), (), 0.0))]
    assert batch["lengths"].tolist() == [400, 1, 1]
    assert batch["waveform"].abs().sum(1).tolist() == [0, 16384, 0]


def spoil(folder: Path) -> dict[str, str]:
    """Put files into a folder that cannot be used; returns why."""
    x = noise(0)
    (folder / "0_ann_empty.wav").touch()
    (folder / "0_ann_text.wav").write_text("not sound at all, just words and words\n" * 5)
    audio.write(folder / "0_ann_corrupt.wav", x, RATE)
    (folder / "0_ann_corrupt.wav").write_bytes((folder / "0_ann_corrupt.wav").read_bytes()[:200])
    x[7] = np.nan
    soundfile.write(folder / "0_ann_nan.wav", x, RATE, subtype="FLOAT")
    return {"empty": r"is empty", "text": "is not an audio file", "corrupt": "cut short", "nan": "non-finite samples"}


def test_bad_files_are_left_out_and_named_once(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    shutil.copytree(tree, folder)
    reasons = spoil(folder)
    for cache_mb in (0.0, 1.0):
        data = module(folder, cache_mb=cache_mb)
        with pytest.warns(UserWarning, match="4 of 40 recordings are left out") as caught:
            data.setup("fit")
        (warning,) = caught
        for name, reason in reasons.items():
            assert f"0_ann_{name}.wav: " in str(warning.message)
            assert reason in str(warning.message)
        assert {u.id for u in data.train_utterances} == {
            u.id for u in read_manifest(tree, PATTERN) if u.speaker != "cem"
        }
        assert sum(len(batch["id"]) for batch in data.train_dataloader()) == 24
        assert data.left_out == {"train": 4, "val": 0, "test": 0}


def test_missing_file_and_late_offset_are_left_out_too(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", noise(0), RATE)
    given = [
        Utterance("a", str(tmp_path / "a.wav"), "x"),
        Utterance("b", str(tmp_path / "b.wav"), "x", duration=1.0),
        Utterance("c", str(tmp_path / "a.wav"), "x", offset=1.0),
    ]
    recordings, findings = scan(given, sample_rate=RATE)
    assert [r.utterance.id for r in recordings] == ["a"]
    assert [finding.kind for finding in findings] == ["missing", "beyond_end"]
    assert findings[0].text == f"{tmp_path / 'b.wav'}: no such file"
    assert findings[1].text == "c: ends at 0.050 s, before offset 1.0 s"


def test_a_file_that_disappears_later_is_named(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", noise(0), RATE)
    data = dataset([Utterance("a", str(tmp_path / "a.wav"), "x")], cache_bytes=0)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.wav: no such file"):
        data[0]


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    spoil(tmp_path)
    with pytest.raises(ValueError, match=r"train: none of 4 recordings can be used: .*0_ann_corrupt\.wav"):
        SpeechDataModule(tmp_path, pattern=PATTERN, sample_rate=RATE).setup("fit")


def test_missing_transcripts_are_an_error(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", noise(0), RATE)
    (tmp_path / "m.jsonl").write_text('{"id": "u1", "audio": "a.wav"}\n{"id": "u2", "audio": "a.wav", "text": "x"}')
    with pytest.raises(ValueError, match="train: 1 of 2 utterances have no transcript: u1"):
        SpeechDataModule(tmp_path / "m.jsonl", sample_rate=RATE).setup("fit")


# Splits


def test_speakers_and_takes(tree: Path) -> None:
    data = module(tree, takes=2, val_takes=1)
    assert {u.speaker for u in data.train_utterances} == {u.speaker for u in data.val_utterances} == {"ann", "ben"}
    assert {u.speaker for u in data.test_utterances} == {"cem"}
    assert Counter(u.take for u in data.val_utterances) == {"8": 6}
    assert Counter(u.take for u in data.train_utterances) == {"9": 6, "10": 6}  # 10 comes after 9
    assert Counter(u.take for u in data.test_utterances) == {"8": 3, "9": 3, "10": 3, "11": 3}
    assert sorted(set(data.texts)) == ["0", "1", "2"]
    assert len(data.texts) == 12


@pytest.mark.parametrize(("concat", "characters"), [((1, 1), "012"), ((1, 3), "012 ")])
def test_texts_hold_every_character_that_is_trained_on(tree: Path, concat: tuple[int, int], characters: str) -> None:
    assert set("".join(module(tree, concat=concat).texts)) == set(characters)


def test_the_rest_goes_to_the_other_side(tree: Path) -> None:
    every = read_manifest(tree, PATTERN)
    for lists in ((["ann", "ben"], None), (None, ["cem"]), (["ann", "ben"], ["cem"])):
        train, test = split_speakers(every, *lists)
        assert ({u.speaker for u in train}, {u.speaker for u in test}) == ({"ann", "ben"}, {"cem"})
    train, test = split_speakers(every, ["ann"], ["cem"])
    assert (len(train), len(test)) == (12, 12)


@pytest.mark.parametrize(
    ("train", "test", "match"),
    [
        (None, None, "train_speakers or test_speakers must be given"),
        (["dan"], None, "train_speakers: must be among ann, ben, cem, got dan"),
        (None, ["dan"], "test_speakers: must be among ann, ben, cem, got dan"),
        (["ann"], ["ann", "ben"], "must not share anyone, got ann"),
        (["ann", "ben", "cem"], None, r"all speakers \(ann, ben, cem\) train, nobody is left to test"),
        (None, ["ann", "ben", "cem"], r"all speakers \(ann, ben, cem\) are tested, nobody is left to train"),
        ([], ["ann"], "train_speakers: must be among ann, ben, cem, got nobody"),
        (["ann"], "cem", "test_speakers must be a list, got 'cem'"),
    ],
)
def test_speaker_lists_that_are_refused(tree: Path, train: list[str], test: list[str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SpeechDataModule(tree, tree, pattern=PATTERN, sample_rate=RATE, train_speakers=train, test_speakers=test).setup(
            "fit"
        )


def test_numbers_name_speakers() -> None:
    data = SpeechDataModule("t.jsonl", train_speakers=["01"], test_speakers=[1, "2"])
    assert (data.train_speakers, data.test_speakers) == (["01"], ["1", "2"])


def test_a_text_said_once_stays_in_training() -> None:
    once = [Utterance("a", "", "x"), Utterance("b", "", "y", take="2"), Utterance("c", "", "y", take="1")]
    train, val = hold_out_takes(once, takes=None, val_takes=3)
    assert ([u.id for u in train], [u.id for u in val]) == (["a", "b"], ["c"])
    with pytest.raises(ValueError, match="needs texts that a speaker says twice"):
        hold_out_takes(once[:2], takes=None, val_takes=1)


def test_separate_sources_and_validation_source(tree: Path, tmp_path: Path) -> None:
    every = read_manifest(tree, PATTERN)
    for name, speaker in (("train", "ann"), ("val", "ben"), ("test", "cem")):
        write_manifest(tmp_path / f"{name}.jsonl", [u for u in every if u.speaker == speaker])
    sides = [tmp_path / f"{name}.jsonl" for name in ("train", "test", "val")]
    data = SpeechDataModule(*sides, sample_rate=RATE)
    found = [{u.speaker for u in side} for side in (data.train_utterances, data.val_utterances, data.test_utterances)]
    assert found == [{"ann"}, {"ben"}, {"cem"}]
    only_test = SpeechDataModule(test=tmp_path / "test.jsonl", sample_rate=RATE)
    assert (len(only_test.train_utterances), len(only_test.test_utterances)) == (0, 12)
    with pytest.raises(ValueError, match="train must be given to train"):
        only_test.train_dataloader()
    with pytest.raises(ValueError, match="test or test_speakers must be given to test"):
        SpeechDataModule(tmp_path / "train.jsonl", sample_rate=RATE).test_dataloader()


# Leaks


def test_a_recording_on_both_sides_is_an_error(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    shutil.copytree(tree, folder)
    x, rate = audio.read(folder / "0_ann_8.wav")
    audio.write(folder / "2_cem_99.wav", x, rate)
    with pytest.raises(ValueError, match=r"leak: 1 test recordings are trained on .*: 0_ann_8 = 2_cem_99"):
        module(folder).setup("fit")
    audio.write(folder / "2_cem_99.wav", np.zeros(300), rate)
    audio.write(folder / "2_ann_99.wav", np.zeros(300), rate)
    module(folder).setup("fit")  # silence tells nothing


@pytest.mark.parametrize("where", ["folder", "policy", "condition"])
def test_noise_on_both_sides_is_an_error(tree: Path, banks: Path, tmp_path: Path, where: str) -> None:
    shutil.copytree(banks / "test", tmp_path / "test")
    x, rate = audio.read(banks / "train" / "n1.wav")
    audio.write(tmp_path / "test" / "renamed.flac", x, rate)
    train = sa.Bank.from_folder(banks / "train", sample_rate=RATE)
    arguments: dict[str, Any] = {"noise": str(banks / "train"), "test_noise": str(tmp_path / "test")}
    if where == "policy":
        arguments["noise"] = None
        arguments["policy"] = sa.Compose([sa.Gain(), sa.OneOf([sa.AddNoise(bank=train), sa.Polarity()])])
    if where == "condition":
        bank = sa.Bank.from_folder(tmp_path / "test", sample_rate=RATE)
        arguments = {"noise": train, "test_conditions": {"hard": sa.AddNoise(bank=bank)}}
    with pytest.raises(ValueError, match=r"leak: 1 clips are in banks of both sides .*: n1\.wav = renamed\.flac"):
        module(tree, **arguments).setup("fit")


# DataModule


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"train": None}, "train must be given, or test, got None"),
        ({"sample_rate": 0}, "sample_rate must be a whole number >= 1, got 0"),
        ({"takes": 0}, "takes must be a whole number >= 1 or None, got 0"),
        ({"val_takes": -1}, "val_takes must be a whole number >= 0"),
        ({"val": "dev.jsonl", "val_takes": 1}, "val_takes must be 0 with val, got 1"),
        ({"concat": (0, 3)}, r"concat must be .* got \(0, 3\)"),
        ({"concat": (3,)}, r"concat must be .* got \(3,\)"),
        ({"concat": (1, 2, 3)}, r"concat must be .* got \(1, 2, 3\)"),
        ({"concat": (1.0, 2.0)}, "concat must be .* whole numbers"),
        ({"concat": 3}, "concat must be"),
        ({"gap_s": (0.1,)}, "gap_s must be"),
        ({"gap_s": (0.1, float("inf"))}, "gap_s must be"),
        ({"concat": (4, 3)}, "concat must be"),
        ({"gap_s": (0.3, 0.1)}, "gap_s must be"),
        ({"passes": 0}, "passes must be a whole number >= 1"),
        ({"passes": 1.5}, "passes must be a whole number >= 1, got 1.5"),
        ({"test_strings": 0}, "test_strings must be a whole number >= 1 or None"),
        ({"batch_size": 0}, "batch_size must be a whole number >= 1"),
        ({"batch_size": True}, "batch_size must be a whole number >= 1, got True"),
        ({"num_workers": -1}, "num_workers must be a whole number >= 0"),
        ({"prefetch_factor": 0}, "prefetch_factor must be a whole number >= 1"),
        ({"seed": -1}, r"seed must be a whole number in \[0, 2\*\*32 - 1\], got -1"),
        ({"seed": 2**32}, "seed must be a whole number in"),
        ({"test_conditions": {}}, r"test_conditions must hold at least one, or be None, got \{\}"),
        ({"test_conditions": {"hard": "hrad.yaml"}}, "test_conditions.hard must be none, .* got 'hrad.yaml'"),
        ({"policy": "smal_sample"}, "policy must be none, small_sample or an existing YAML file, got 'smal_sample'"),
        ({"transport": "int8"}, "transport must be int16 or float32, got 'int8'"),
        ({"cache_mb": -1.0}, "cache_mb must be >= 0"),
        ({"policy": sa.presets.specaugment("LD")}, "policy must act on waveforms, got spectrograms"),
    ],
)
def test_configuration_that_is_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=f"^SpeechDataModule: {match}"):
        SpeechDataModule(**{"train": "train.jsonl", **arguments})


def test_banks_of_another_rate_are_refused(banks: Path) -> None:
    bank = sa.Bank.from_folder(banks / "train", sample_rate=RATE)
    with pytest.raises(ValueError, match="a bank must have the sample_rate 16000, got 8000"):
        SpeechDataModule("train.jsonl", noise=bank)


@pytest.mark.parametrize("name", ["noise", "rooms", "test_noise", "test_rooms"])
def test_folders_that_are_absent_are_named_with_their_argument(tree: Path, name: str) -> None:
    data = module(tree, **{name: "nowhere/"})
    with pytest.raises(ValueError, match=f"SpeechDataModule: {name} must be an existing folder .* got 'nowhere/'"):
        data.setup("fit")


def test_policy_as_object_data_file_and_name(banks: Path, tmp_path: Path) -> None:
    policy = sa.Compose(
        [sa.Gain(gain_db=(-3.0, 3.0)), sa.AddNoise(bank=sa.Bank("absent", sample_rate=RATE, digest="0"))]
    )
    sa.save_policy(policy, tmp_path / "policy.yaml")
    for given in (policy, policy.to_dict(), str(tmp_path / "policy.yaml")):
        assert SpeechDataModule("train.jsonl", sample_rate=RATE, policy=given).policy == policy
    data = SpeechDataModule("t.jsonl", sample_rate=RATE, policy=policy, noise=str(banks / "train"))
    expected = sa.Compose(
        [sa.Gain(gain_db=(-3.0, 3.0)), sa.AddNoise(bank=sa.Bank.from_folder(banks / "train", sample_rate=RATE))]
    )
    assert data.policy == expected
    bank = sa.Bank.from_folder(banks / "train", sample_rate=RATE)
    named = SpeechDataModule("t.jsonl", sample_rate=RATE, policy="small_sample", noise=bank)
    assert named.policy == sa.presets.small_sample(noises=bank)
    spoken = SpeechDataModule("t.jsonl", sample_rate=RATE, policy="small_sample", noise=bank, voices=bank)
    assert spoken.policy == sa.presets.small_sample(noises=bank, voices=bank)
    crowd = sa.Compose([sa.OneOf([sa.AddBabble(bank=bank), sa.Gain()])])
    other = sa.Bank.from_arrays([noise(3)], sample_rate=RATE)
    given = SpeechDataModule("t.jsonl", sample_rate=RATE, policy=crowd, voices=other).policy
    assert given == sa.Compose([sa.OneOf([sa.AddBabble(bank=other), sa.Gain()])])
    assert SpeechDataModule("t.jsonl").policy is None


def test_test_conditions(tree: Path, banks: Path) -> None:
    assert module(tree).test_names == ["clean"]
    noisy = module(tree, test_noise=str(banks / "test"), test_rooms=str(banks / "rooms"))
    assert noisy.test_names == ["clean", "noise_20db", "noise_10db", "noise_5db", "noise_0db", "room"]
    own = module(tree, test_conditions={"quiet": sa.Gain(gain_db=(-20.0, -20.0)), "clean": None})
    assert own.test_names == ["quiet", "clean"]
    assert len(own.test_dataloader()) == 2


def test_voices_that_are_tested_are_refused(tree: Path, tmp_path: Path) -> None:
    data = module(tree)
    data.setup()
    voices = tmp_path / "voices"
    voices.mkdir()
    for number, one in enumerate(data.train_utterances[:3]):
        shutil.copy(str(one.audio), voices / f"{number}.wav")
    module(tree, policy="small_sample", voices=str(voices)).setup()
    shutil.copy(str(data.test_utterances[0].audio), voices / "copied.wav")
    with pytest.raises(ValueError, match=r"leak: 1 test recordings are among the voices .*copied\.wav = "):
        module(tree, policy="small_sample", voices=str(voices)).setup()


def collect(loader: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(b["id"], b["text"], b["waveform"].tolist(), b["lengths"].tolist()) for b in loader]


def test_batches_do_not_depend_on_workers_or_cache(tree: Path) -> None:
    settings: list[dict[str, Any]] = [{}, {"cache_mb": 0.0}, {"num_workers": 2}]
    loaders = [module(tree, concat=(1, 4), **setting).train_dataloader() for setting in settings]
    for epoch in (0, 1):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        expected = collect(loaders[0])
        assert sorted(part for ids, *_ in expected for name in ids for part in name.split("+")) == sorted(
            u.id for u in read_manifest(tree, PATTERN) if u.speaker != "cem"
        )
        assert collect(loaders[1]) == expected
        assert collect(loaders[2]) == expected


def test_ranks_of_the_trainer_get_disjoint_batches(tree: Path) -> None:
    class FakeTrainer:
        training = False

        def __init__(self, rank: int) -> None:
            self.distributed_sampler_kwargs = {"num_replicas": 2, "rank": rank}

    seen: list[str] = []
    for rank in (0, 1):
        data = module(tree, batch_size=3)
        data.trainer = FakeTrainer(rank)  # type: ignore[assignment]
        assert len(data.train_dataloader()) == 4
        seen += [name for batch in data.train_dataloader() for name in batch["id"]]
    assert len(seen) == len(set(seen)) == 24


def test_pickles_for_strategies_that_spawn(tree: Path) -> None:
    data = module(tree, val_takes=1, policy=sa.Gain())
    expected = collect(data.train_dataloader())
    again = pickle.loads(pickle.dumps(data))
    assert collect(again.train_dataloader()) == expected
    assert again.policy == data.policy


def test_test_strings_are_fixed_and_counted(tree: Path) -> None:
    def ids(**arguments: Any) -> list[str]:
        (loader,) = module(tree, concat=(1, 3), **arguments).test_dataloader()
        return [name for batch in loader for name in batch["id"]]

    assert ids(seed=0) == ids(seed=1, policy=sa.Gain(), num_workers=0)
    assert len(ids(test_strings=3)) == 3
    many = ids(test_strings=20)
    assert len(many) == len(set(many)) == 20
    assert all("#" in name for name in many)


# With a Trainer

IGNORED = (
    "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning",
    "ignore:You requested to overfit:UserWarning",
)


class Recorder(pl.LightningModule):
    """Keeps what its steps receive."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen: dict[str, list[tuple[Any, ...]]] = {}

    def keep(self, stage: str, batch: dict[str, Any]) -> None:
        assert batch["waveform"].dtype == torch.float32
        assert batch["lengths"].dtype == torch.int64
        assert set(batch) == {"waveform", "lengths", "text", "id", "speaker"}
        kept = (batch["id"], batch["waveform"].clone(), batch["lengths"].tolist())
        self.seen.setdefault(stage, []).append(kept)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        self.keep("train", batch)
        return self.weight * batch["waveform"].square().mean()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.keep("sanity" if self.trainer.sanity_checking else "val", batch)

    def test_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.keep(self.trainer.datamodule.test_names[dataloader_idx], batch)  # type: ignore[attr-defined]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(folder: Path, **arguments: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    defaults = {"max_epochs": 2, "num_sanity_val_steps": 1, "enable_checkpointing": False}
    return pl.Trainer(default_root_dir=folder, **{**quiet, **defaults, **arguments})  # type: ignore[arg-type]


def clean(tree: Path, name: str) -> np.ndarray:
    return soundfile.read(tree / f"{name}.wav", dtype="float32")[0]


def peak_difference(tree: Path, kept: Iterable[tuple[Any, ...]]) -> float:
    """How far what a step received is from the files, at most."""
    worst = 0.0
    for ids, waveform, lengths in kept:
        for name, x, length in zip(ids, waveform.numpy(), lengths, strict=True):
            expected = clean(tree, name)
            assert length == len(expected)
            assert not x[length:].any()
            worst = max(worst, float(np.abs(x[:length] - expected).max()))
    return worst


pytestmark_trainer = [pytest.mark.global_rng, *(pytest.mark.filterwarnings(rule) for rule in IGNORED)]


def with_trainer(test: Callable[..., None]) -> Callable[..., None]:
    for mark in pytestmark_trainer:
        test = mark(test)
    return test


@with_trainer
@pytest.mark.parametrize("setting", [{}, {"transport": "float32"}, {"num_workers": 1}])
def test_training_is_augmented_and_validation_clean(tree: Path, tmp_path: Path, setting: dict[str, Any]) -> None:
    model = Recorder()
    data = module(tree, val_takes=1, policy=sa.Gain(gain_db=(-6.0, 6.0)), seed=5, **setting)
    trainer(tmp_path).fit(model, datamodule=data)
    assert peak_difference(tree, model.seen["sanity"]) == 0.0
    assert peak_difference(tree, model.seen["val"]) == 0.0
    assert len(model.seen["train"]) == 2 * len(data.train_dataloader())
    for index, (ids, waveform, lengths) in enumerate(model.seen["train"]):
        epoch = index // (len(model.seen["train"]) // 2)
        gains_db = np.asarray(data.policy.sample(sa.Rng.from_ids(seed=5, epoch=epoch, ids=ids)).values["gain_db"])  # type: ignore[union-attr]
        for name, x, length, gain_db in zip(ids, waveform.numpy(), lengths, gains_db, strict=True):
            np.testing.assert_allclose(x[:length], clean(tree, name) * 10 ** (gain_db / 20), rtol=1e-5)
    ids = [[name for ids, *_ in model.seen["train"][part] for name in ids] for part in (slice(0, 5), slice(5, 10))]
    assert sorted(ids[0]) == sorted(ids[1]) == sorted(u.id for u in data.train_utterances)
    assert ids[0] != ids[1]  # a new order each epoch


@with_trainer
def test_lengths_follow_the_policy(tree: Path, tmp_path: Path) -> None:
    model = Recorder()
    trainer(tmp_path, max_epochs=1).fit(model, datamodule=module(tree, policy=sa.Speed(factor=(0.8, 0.8))))
    for ids, waveform, lengths in model.seen["train"]:
        assert lengths == [round(len(clean(tree, name)) / 0.8) for name in ids]
        assert waveform.shape[1] >= max(lengths)


@with_trainer
def test_predictions_are_of_the_test_speech_unaltered(tree: Path, tmp_path: Path) -> None:
    class Keeper(Recorder):
        def predict_step(self, batch: dict[str, Any], batch_idx: int) -> list[str]:
            self.keep("predict", batch)
            return list(batch["id"])

    module, loud = Keeper(), sa.Gain(gain_db=(12.0, 12.0))
    data = sa.SpeechDataModule(
        str(tree), pattern=PATTERN, sample_rate=RATE, test_speakers=["ben"], policy=loud, test_conditions={"loud": loud}
    )
    trainer(tmp_path).predict(module, datamodule=data)
    kept = module.seen["predict"]
    assert sorted(name for ids, _, _ in kept for name in ids) == sorted(path.stem for path in tree.glob("*_ben_*.wav"))
    assert peak_difference(tree, kept) <= 2**-16


@with_trainer
def test_noisy_test_sets_are_the_same_for_everyone(tree: Path, banks: Path, tmp_path: Path) -> None:
    runs = []
    for seed, workers in ((0, 0), (1, 1)):
        model = Recorder()
        data = module(
            tree, seed=seed, num_workers=workers, policy=sa.Gain(), test_noise=str(banks / "test"),
            test_rooms=str(banks / "rooms"),
        )  # fmt: skip
        trainer(tmp_path).test(model, datamodule=data, verbose=False)
        assert list(model.seen) == data.test_names
        runs.append(model.seen)
    assert peak_difference(tree, runs[0]["clean"]) == 0.0
    for name in runs[0]:
        for (ids, x, lengths), (other_ids, y, other_lengths) in zip(runs[0][name], runs[1][name], strict=True):
            assert (ids, lengths) == (other_ids, other_lengths)
            assert torch.equal(x, y)
        assert (peak_difference(tree, runs[0][name]) > 0.01) == (name != "clean")
        for index, (ids, x, lengths) in enumerate(runs[0][name]):
            batch = data.test_batch(name, index)
            assert (batch["id"], batch["lengths"].tolist()) == (ids, lengths)
            assert torch.equal(batch["waveform"], x)
    for name, snr_db in (("noise_20db", 20), ("noise_0db", 0)):
        for ids, waveform, lengths in runs[0][name]:
            for row, x, length in zip(ids, waveform.numpy(), lengths, strict=True):
                speech = clean(tree, row)
                added = x[:length] - speech
                assert 10 * np.log10((speech**2).sum() / (added**2).sum()) == pytest.approx(snr_db, abs=0.1)


def test_a_batch_to_look_at(tree: Path) -> None:
    data = module(tree, batch_size=5, test_conditions={"quiet": sa.Gain(gain_db=(-20.0, -20.0))})
    before, after = data.test_batch(None, 1), data.test_batch("quiet", 1)
    assert before["id"] == after["id"]
    assert before["waveform"].dtype == torch.float32
    assert peak_difference(tree, [(before["id"], before["waveform"], before["lengths"].tolist())]) == 0.0
    torch.testing.assert_close(after["waveform"], 0.1 * before["waveform"])
    with pytest.raises(ValueError, match=r"condition must be one of \['quiet'\], got 'loud'"):
        data.test_batch("loud")
    for index in (-1, 3):
        with pytest.raises(ValueError, match=rf"index must be in \[0, 2\], got {index}"):
            data.test_batch("quiet", index)


class Save(Checkpoint):
    """Writes a checkpoint after each step, each validation and each epoch; hooks run last, as ModelCheckpoint's do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / f"step={trainer.global_step}.ckpt")

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / f"step={trainer.global_step}-validated.ckpt")

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / f"step={trainer.global_step}-epoch.ckpt")


def fit(tree: Path, folder: Path, ckpt_path: Path | None = None, **arguments: Any) -> list[tuple[Any, ...]]:
    """Train on strings, with a checkpoint after every step and after every validation; returns what was received."""
    model = Recorder()
    data = module(tree, concat=(1, 3), val_takes=1, policy=sa.Gain(), batch_size=3)
    run = trainer(folder, num_sanity_val_steps=0, enable_checkpointing=True, callbacks=[Save(folder)], **arguments)
    run.fit(model, datamodule=data, ckpt_path=ckpt_path)
    return model.seen["train"]


@with_trainer
def test_resumes_from_any_checkpoint_at_the_next_batch(tree: Path, tmp_path: Path) -> None:
    whole = fit(tree, tmp_path, max_epochs=3)
    assert len(whole) == 9
    names = [f"step={step}" for step in range(1, 9)] + [
        f"step={3 * e}-{kind}" for e in (1, 2) for kind in ("validated", "epoch")
    ]
    for name in names:
        rest = fit(tree, tmp_path / name, tmp_path / f"{name}.ckpt", max_epochs=3)
        done = int(name.split("=")[1].split("-")[0])
        assert [ids for ids, *_ in rest] == [ids for ids, *_ in whole[done:]], name
        for (_, x, _), (_, y, _) in zip(rest, whole[done:], strict=True):
            assert torch.equal(x, y)


@with_trainer
def test_training_stopped_by_max_steps_goes_on_with_what_is_left(tree: Path, tmp_path: Path) -> None:
    first = fit(tree, tmp_path, max_epochs=-1, max_steps=4)
    rest = fit(tree, tmp_path / "rest", tmp_path / "step=4-epoch.ckpt", max_epochs=-1, max_steps=9)
    assert len(first + rest) == 9
    for epoch in range(3):
        used = [
            name
            for ids, *_ in (first + rest)[3 * epoch : 3 * epoch + 3]
            for joined in ids
            for name in joined.split("+")
        ]
        assert len(used) == len(set(used)) == 18


@with_trainer
def test_checkpoint_holds_plain_arguments(tree: Path, banks: Path, tmp_path: Path) -> None:
    policy = sa.Compose([sa.Gain(), sa.AddNoise(bank=sa.Bank.from_folder(banks / "train", sample_rate=RATE))])
    data = module(tree, policy=policy, test_noise=str(banks / "test"), concat=(1, 3))
    fitted = trainer(tmp_path, max_epochs=1)
    fitted.fit(Recorder(), datamodule=data)
    fitted.save_checkpoint(tmp_path / "last.ckpt")
    again = SpeechDataModule.load_from_checkpoint(tmp_path / "last.ckpt")  # weights only: no pickled object inside
    json.dumps(dict(again.hparams))
    assert again.policy == policy
    assert again.test_conditions == data.test_conditions
    assert (again.concat, again.test_names, again.train) == ((1, 3), data.test_names, str(tree))
    assert collect(again.train_dataloader()) == collect(data.train_dataloader())


@with_trainer
def test_overfit_batches_and_half_precision(tree: Path, tmp_path: Path) -> None:
    model = Recorder()
    trainer(tmp_path, overfit_batches=2, precision="bf16-true").fit(model, datamodule=module(tree))
    assert [ids for ids, *_ in model.seen["train"][:2]] == [ids for ids, *_ in model.seen["train"][2:]]
    assert peak_difference(tree, model.seen["train"]) == 0.0  # int16 until it is on the device


# Real recordings


def test_free_spoken_digits(shared_data: Path) -> None:
    every = read_manifest(shared_data / "fsdd", PATTERN)
    assert len(every) == 2000
    assert Counter(u.speaker for u in every) == dict.fromkeys(("jackson", "nicolas", "theo", "yweweler"), 500)
    assert {u.text for u in every} == set("0123456789")
    data = SpeechDataModule(
        shared_data / "fsdd", pattern=PATTERN, sample_rate=RATE, test_speakers=["theo"], takes=10, val_takes=5,
        concat=(1, 6), test_strings=150,
    )  # fmt: skip
    assert (len(data.train_utterances), len(data.val_utterances), len(data.test_utterances)) == (300, 150, 500)
    assert {u.take for u in data.train_utterances} == {str(take) for take in range(5, 15)}
    (loader,) = data.test_dataloader()
    batches = list(loader)
    assert sum(len(batch["id"]) for batch in batches) == 150
    assert {name.split("_")[1] for batch in batches for name in batch["id"]} == {"theo"}
