"""Data sets of torchaudio and of Hugging Face, on tiny trees of the same layout; both libraries are the oracles."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader
from trees import RATE, commands, librispeech

import speechaug as sa
from speechaug import _torchaudio, audio
from speechaug.data import Joined, SpeechDataModule, SpeechDataset, Utterance, read_hugging_face, read_manifest, scan

with_torchaudio = pytest.mark.skipif(not _torchaudio.available(), reason=f"no torchaudio: {_torchaudio.why_not()}")


def samples(seed: int, count: int = 800) -> np.ndarray:
    return (np.random.default_rng(seed).integers(-9_000, 9_000, count) / 32768).astype(np.float32)


# torchaudio


@with_torchaudio
def test_torchaudio_librispeech(tmp_path: Path) -> None:
    from torchaudio.datasets import LIBRISPEECH

    root = librispeech(tmp_path / "LibriSpeech" / "dev-clean")
    dataset = LIBRISPEECH(tmp_path, url="dev-clean")
    found = read_manifest(dataset)
    assert sorted(found, key=lambda u: u.id) == sorted(read_manifest(root), key=lambda u: u.id)
    for index, said in enumerate(found):
        path, _, text, speaker, chapter, number = dataset.get_metadata(index)
        assert said.id == f"{speaker}-{chapter}-{number:04d}"
        assert (said.text, said.speaker) == (text, str(speaker))
        assert Path(said.audio).samefile(tmp_path / "LibriSpeech" / path)


@with_torchaudio
@pytest.mark.parametrize("subset", [None, "training", "validation", "testing"])
def test_torchaudio_speech_commands(tmp_path: Path, subset: str | None) -> None:
    from torchaudio.datasets import SPEECHCOMMANDS

    root = commands(tmp_path / "SpeechCommands" / "speech_commands_v0.02")
    found = read_manifest(SPEECHCOMMANDS(tmp_path, subset=subset))
    own = {
        "training": lambda: read_manifest(root),
        "validation": lambda: read_manifest(root / "validation_list.txt"),
        "testing": lambda: read_manifest(root / "testing_list.txt"),
    }
    if subset is None:
        assert len(found) == 12
    else:
        assert sorted(found, key=lambda u: u.id) == sorted(own[subset](), key=lambda u: u.id)


@with_torchaudio
def test_torchaudio_yesno(tmp_path: Path) -> None:
    from torchaudio.datasets import YESNO

    for name in ("0_1_1", "1_0_0"):
        audio.write(tmp_path / "waves_yesno" / f"{name}.wav", samples(0), RATE)
    found = read_manifest(YESNO(tmp_path))
    assert [(u.id, u.text) for u in found] == [("0_1_1", "no yes yes"), ("1_0_0", "yes no no")]
    data = SpeechDataModule(YESNO(tmp_path), sample_rate=RATE)
    data.setup("fit")
    (batch,) = data.train_dataloader()
    assert batch["waveform"].shape == (2, 800)
    assert data.hparams["train"] == "<YESNO of 2>"


@with_torchaudio
def test_a_class_of_ones_own_and_another_data_set(tmp_path: Path) -> None:
    from torchaudio.datasets import CMUARCTIC, LIBRISPEECH

    class Mine(LIBRISPEECH):
        """A user's own."""

    librispeech(tmp_path / "LibriSpeech" / "dev-clean")
    assert len(read_manifest(Mine(tmp_path, url="dev-clean"))) == 6
    other = CMUARCTIC.__new__(CMUARCTIC)
    other._walker = []
    with pytest.raises(ValueError, match="must be LIBRISPEECH, SPEECHCOMMANDS or YESNO, got CMUARCTIC"):
        read_manifest(other)


def test_torchaudio_that_does_not_import_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_torchaudio, "_load", lambda: (None, "OSError: libc10_cuda.so"))
    kind = type("LIBRISPEECH", (), {"__module__": "torchaudio.datasets.librispeech", "__len__": lambda self: 0})
    with pytest.raises(ImportError, match="a data set of torchaudio needs torchaudio, which cannot be imported here"):
        read_manifest(kind())


# Hugging Face


@pytest.fixture
def hf() -> Any:
    try:
        import datasets
    except ImportError as error:
        pytest.skip(f"no datasets: {error}")
    datasets.disable_progress_bars()
    return datasets


def encoded(x: np.ndarray, kind: str = "FLAC") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, x, RATE, format=kind)
    return buffer.getvalue()


def table(hf: Any, count: int = 4, **columns: list[Any]) -> Any:
    """Make a data set with encoded sound; ``from_dict`` of an Audio feature would need torchcodec."""
    sounds = [{"bytes": encoded(samples(i, 400 + 10 * i)), "path": f"clip{i}.flac"} for i in range(count)]
    return hf.Dataset.from_dict({"audio": sounds, **columns}).cast_column("audio", hf.Audio(sampling_rate=16_000))


def test_hugging_face_rows(hf: Any) -> None:
    dataset = table(hf, sentence=["a", "b", None, "d"], client_id=[1, 2, 3, 4], age=[0] * 4)
    found = read_manifest(dataset)
    assert [(u.id, u.text, u.speaker) for u in found] == [
        ("0", "a", "1"),
        ("1", "b", "2"),
        ("2", "", "3"),
        ("3", "d", "4"),
    ]
    for index, said in enumerate(found):
        x, rate = audio.read(said.audio)
        np.testing.assert_array_equal(x[0], samples(index, 400 + 10 * index))
        assert (rate, str(said.audio)) == (RATE, f"row {index} (clip{index}.flac)")
    with pytest.raises(ValueError, match=r"audio must be a path, got row 0 \(clip0\.flac\) for '0'"):
        sa.write_manifest("m.jsonl", found)


def test_hugging_face_classes_ids_and_formats(hf: Any) -> None:
    dataset = table(hf, label=[1, 0, -1, 1], id=["w", "x", "y", "z"])
    dataset = dataset.cast_column("label", hf.ClassLabel(names=["no", "yes"]))
    assert [(u.id, u.text) for u in read_manifest(dataset)] == [("w", "yes"), ("x", "no"), ("y", ""), ("z", "yes")]
    assert read_manifest(dataset.with_format("torch"))[0].text == "yes"
    chosen = dataset.select([3, 1])
    assert [(u.id, u.text) for u in read_manifest(chosen)] == [("z", "yes"), ("x", "no")]
    np.testing.assert_array_equal(audio.read(read_manifest(chosen)[0].audio)[0][0], samples(3, 430))


def test_hugging_face_paths_are_plain_files(hf: Any, tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", samples(1), RATE)
    rows = [{"bytes": None, "path": str(tmp_path / "a.wav")}, {"bytes": encoded(samples(2)), "path": None}]
    dataset = hf.Dataset.from_dict({"sound": rows, "text": ["x", "y"]}).cast_column("sound", hf.Audio(decode=False))
    first, second = read_manifest(dataset)
    assert first == Utterance("0", str(tmp_path / "a.wav"), "x")
    np.testing.assert_array_equal(audio.read(second.audio)[0][0], samples(2))
    strings = hf.Dataset.from_dict({"file": [str(tmp_path / "a.wav")], "text": ["x"]}).cast_column("file", hf.Audio())
    assert read_manifest(strings) == [first]


def test_hugging_face_relative_paths_stay_where_they_were(
    hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio.write(tmp_path / "a.wav", samples(1), RATE)
    monkeypatch.chdir(tmp_path)
    names = ["a.wav", "https://host/a.wav"]
    found = read_manifest(hf.Dataset.from_dict({"file": names, "text": ["x", "y"]}).cast_column("file", hf.Audio()))
    assert [u.audio for u in found] == [str(tmp_path / "a.wav"), "https://host/a.wav"]


def test_hugging_face_text_columns(hf: Any) -> None:
    two = table(hf, sentence=list("abcd"), transcription=list("efgh"), english_transcription=list("ijkl"))
    with pytest.raises(ValueError, match=r"columns \['sentence', 'transcription'\] could each be the text"):
        read_manifest(two)
    with pytest.raises(ValueError, match=r"text must be a column, looked for 'words' in \['audio'"):
        read_hugging_face(table(hf), text="words")
    with pytest.raises(ValueError, match=r"text must be a column, looked for text, sentence, .*label in"):
        read_manifest(table(hf, intent=list("abcd")))
    with pytest.raises(ValueError, match=r"column 'text': must be text or a number, got \['a', 'b'\]"):
        read_manifest(table(hf, text=[["a", "b"]] * 4))
    one = two.remove_columns("sentence")
    assert [u.text for u in read_manifest(one)] == list("efgh")
    assert [u.text for u in read_hugging_face(one, text="english_transcription")] == list("ijkl")


def test_hugging_face_sources_that_are_refused(hf: Any) -> None:
    dataset = table(hf, text=list("abcd"))
    with pytest.raises(ValueError, match=r"must be one split .* got DatasetDict"):
        read_manifest(hf.DatasetDict({"train": dataset}))
    with pytest.raises(ValueError, match=r"not streamed, .* got IterableDataset"):
        read_manifest(dataset.to_iterable_dataset())
    with pytest.raises(ValueError, match=r"must have one Audio column, got \[\] in \['text'\]"):
        read_manifest(dataset.remove_columns("audio"))
    with pytest.raises(ValueError, match=r"<Dataset of 0>: holds no utterances"):
        read_manifest(dataset.select([]))


def test_hugging_face_rows_that_cannot_be_used(hf: Any) -> None:
    rows = [{"bytes": content, "path": None} for content in (encoded(samples(0)), b"", b"nonsense" * 40)]
    dataset = hf.Dataset.from_dict({"audio": [*rows, None], "text": list("abcd")})
    recordings, findings = scan(read_manifest(dataset.cast_column("audio", hf.Audio())), sample_rate=RATE)
    assert [r.utterance.id for r in recordings] == ["0"]
    assert [(f.kind, f.text.split(":")[0]) for f in findings] == [("empty", "1"), ("unreadable", "2"), ("empty", "3")]


def test_hugging_face_in_the_data_module(hf: Any, tmp_path: Path) -> None:
    dataset = table(hf, text=list("abcd"), speaker=["ann", "ben", "ann", "ben"])
    dataset.save_to_disk(tmp_path / "saved")
    saved = hf.load_from_disk(tmp_path / "saved")  # mapped from disk
    data = SpeechDataModule(saved, saved, sample_rate=RATE, test_speakers=["ben"], cache_mb=0.0)
    data.setup("fit")
    assert ([u.text for u in data.train_utterances], [u.text for u in data.test_utterances]) == (["a", "c"], ["b", "d"])
    assert data.hparams["train"] == "<Dataset of 4>"
    assert len(pickle.dumps(data.train_utterances)) < 10_000  # the table is not copied
    (batch,) = data.train_dataloader()
    for text, row, length in zip(batch["text"], batch["waveform"], batch["lengths"], strict=True):
        index = "abcd".index(text)
        np.testing.assert_array_equal(row[: int(length)].numpy() / 32768, samples(index, 400 + 10 * index))


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_hugging_face_rows_in_workers(hf: Any, start: str) -> None:
    recordings, _ = scan(read_manifest(table(hf, text=list("abcd"))), sample_rate=RATE)
    data = SpeechDataset(recordings, sample_rate=RATE)
    rows = [(Joined(str(index), (index,), (), 0.0),) for index in range(4)]
    expected = [data[row]["waveform"] for row in rows]
    loader = DataLoader(
        data,
        batch_size=None,
        sampler=rows,
        num_workers=2 if start == "fork" else 1,
        multiprocessing_context=start,
        generator=torch.Generator().manual_seed(0),
    )
    assert all(batch["waveform"].equal(x) for batch, x in zip(loader, expected, strict=True))
