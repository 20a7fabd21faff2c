"""Folders as published: LibriSpeech, Speech Commands, Kaldi, Common Voice, and folders of which nothing is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from trees import RATE, commands, librispeech, sound

import speechaug as sa
from speechaug import audio
from speechaug.data import SpeechDataModule, Utterance, read_manifest, write_manifest


def kaldi(root: Path, **files: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in {"wav.scp": "r1 r1.wav\nr2 r2.wav\n", **files}.items():
        (root / name.replace("wav_scp", "wav.scp")).write_text(text, encoding="utf-8")
    return root


# LibriSpeech


def test_librispeech(tmp_path: Path) -> None:
    root = librispeech(tmp_path / "LibriSpeech" / "dev-clean")
    found = read_manifest(root)
    assert [(u.id, u.text, u.speaker) for u in found] == [
        (f"{chapter}-000{number}", f"WORD {number}", chapter.split("-")[0])
        for chapter in ("174-50561", "84-121123", "84-121550")
        for number in range(2)
    ]
    assert found[0].audio == str(root / "174" / "50561" / "174-50561-0000.flac")
    assert read_manifest(root.parent) == found  # a folder of subsets is one, too


def test_librispeech_converted_missing_and_unwritten(tmp_path: Path) -> None:
    root = librispeech(tmp_path)
    chapter = root / "84" / "121123"
    (chapter / "84-121123-0000.flac").rename(chapter / "84-121123-0000.wav")
    (chapter / "84-121123-0001.flac").unlink()
    sound(chapter / "84-121123-0009.flac")
    with pytest.warns(
        UserWarning, match=r"1 files have no transcript and are left out: 84/121123/84-121123-0009\.flac"
    ):
        found = {u.id: u for u in read_manifest(root)}
    assert len(found) == 6
    assert found["84-121123-0000"].audio == str(chapter / "84-121123-0000.wav")
    data = SpeechDataModule(root, sample_rate=RATE, test_speakers=["174"])
    with (
        pytest.warns(UserWarning, match="have no transcript"),
        pytest.warns(UserWarning, match=r"1 missing: .*84-121123-0001\.flac: no such file"),
    ):
        data.setup("fit")
    assert {u.speaker for u in data.test_utterances} == {"174"}


def test_librispeech_line_that_is_none(tmp_path: Path) -> None:
    root = librispeech(tmp_path)
    (root / "84" / "121123" / "84-121123.trans.txt").write_text("84-121123-0000 ONE\n\nHELLO YOU\n")
    with pytest.raises(
        ValueError, match=r"84-121123\.trans\.txt:3: must begin with speaker-chapter-number, got 'HELLO'"
    ):
        read_manifest(root)


# Speech Commands


def test_speech_commands_and_its_lists(tmp_path: Path) -> None:
    root = commands(tmp_path / "speech_commands_v0.02")
    train = read_manifest(root)
    val, test = read_manifest(root / "validation_list.txt"), read_manifest(root / "testing_list.txt")
    assert [u.id for u in val] == ["yes/1b2d_nohash_0", "no/1b2d_nohash_0"]
    assert [u.id for u in test] == ["yes/c3d4_nohash_0", "yes/c3d4_nohash_1"]
    assert len(train) == 8
    assert not {u.id for u in train} & {u.id for u in (*val, *test)}
    assert train[0] == Utterance(
        "no/0a7c_nohash_0", str(root / "no" / "0a7c_nohash_0.wav"), "no", speaker="0a7c", take="0"
    )
    data = SpeechDataModule(
        root, val=root / "validation_list.txt", test=root / "testing_list.txt", sample_rate=RATE,
        noise=str(root / "_background_noise_"),
    )  # fmt: skip
    data.setup("fit")
    sides = (data.train_utterances, data.val_utterances, data.test_utterances)
    assert [len(side) for side in sides] == [8, 2, 2]


def test_speech_commands_without_lists_and_with_strangers(tmp_path: Path) -> None:
    root = commands(tmp_path)
    for name in ("validation_list.txt", "testing_list.txt"):
        (root / name).unlink()
    assert len(read_manifest(root)) == 12
    sound(root / "yes" / "mine.wav")
    with pytest.warns(UserWarning, match=r"1 files are not \{label\}.* and are left out: yes/mine\.wav"):
        assert len(read_manifest(root)) == 12


def test_command_list_that_names_something_else(tmp_path: Path) -> None:
    root = commands(tmp_path)
    (root / "testing_list.txt").write_text("yes/c3d4_nohash_0.wav\n_background_noise_/white_noise.wav\n")
    with pytest.raises(ValueError, match=r"testing_list\.txt:2: must be .* got '_background_noise_/white_noise\.wav'"):
        read_manifest(root / "testing_list.txt")


def test_classes_by_pattern(tmp_path: Path) -> None:
    for word in ("ja", "nein"):
        for take in ("a b", "ü"):
            sound(tmp_path / word / f"{take}.wav")
    found = read_manifest(tmp_path, "{text}/{take}.wav")
    assert [(u.id, u.text, u.take) for u in found] == [
        ("ja/a b", "ja", "a b"),
        ("ja/ü", "ja", "ü"),
        ("nein/a b", "nein", "a b"),
        ("nein/ü", "nein", "ü"),
    ]


def test_speech_commands_converted_to_another_format(tmp_path: Path) -> None:
    """The lists still say .wav: what is held out stays held out."""
    root = commands(tmp_path)
    before = {name: read_manifest(root / name) for name in (".", "validation_list.txt", "testing_list.txt")}
    for path in root.rglob("*_nohash_*.wav"):
        path.rename(path.with_suffix(".flac"))
    for name, expected in before.items():
        found = read_manifest(root / name)
        assert [u.id for u in found] == [u.id for u in expected]
        assert all(Path(str(u.audio)).suffix == ".flac" and Path(str(u.audio)).exists() for u in found)


# Kaldi


def test_kaldi_recordings_are_utterances(tmp_path: Path) -> None:
    folder = kaldi(tmp_path / "data", text="r1 hello  you\nr2\tgrüß dich\n", utt2spk="r1 ann\nr2 ben\n")
    sound(folder / "r1.wav")
    assert read_manifest(folder) == [
        Utterance("r1", str(folder / "r1.wav"), "hello  you", "ann"),
        Utterance("r2", str(Path("r2.wav").resolve()), "grüß dich", "ben"),  # not there: as in Kaldi, from here
    ]


def test_kaldi_segments(tmp_path: Path) -> None:
    x = np.linspace(-0.5, 0.5, 4 * RATE, dtype=np.float32)
    folder = kaldi(
        tmp_path,
        segments="u1 r1 0.5 1.25\nu2 r1 2 -1\nu3 r2 0.00 0.10\n",
        text="u1 one\nu2 two\nu3 three\n",
        utt2spk="u1 ann\nu2 ann\nu3 ben\n",
    )
    audio.write(folder / "r1.wav", x, RATE)
    audio.write(folder / "r2.wav", x[: RATE // 2], RATE)
    found = read_manifest(folder)
    assert [(u.id, u.offset, u.duration) for u in found] == [("u1", 0.5, 0.75), ("u2", 2.0, None), ("u3", 0.0, 0.1)]
    data = SpeechDataModule(folder, sample_rate=RATE, transport="float32")
    data.setup("fit")
    (batch,) = data.train_dataloader()
    for row, name in enumerate(batch["id"]):
        first, last = {"u1": (4_000, 10_000), "u2": (16_000, 32_000), "u3": (0, 800)}[name]
        said = batch["waveform"][row, : int(batch["lengths"][row])].numpy()
        np.testing.assert_allclose(said, x[first:last], atol=1 / 32768)


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"wav_scp": "r1 sph2pipe -f wav a.sph |\n"}, r"wav\.scp: r1: is a command, which is not run"),
        ({"wav_scp": "r1 wav.ark:1234\n"}, r"wav\.scp: r1: is in a Kaldi archive"),
        ({"wav_scp": "r1\n"}, r"wav\.scp: r1: must have a path"),
        ({"wav_scp": "r1 a.wav\nr1 b.wav\n"}, r"wav\.scp:2: ids must be unique, got 'r1' again"),
        ({"wav_scp": "\n"}, "holds no utterances"),
        ({"segments": "u1 r9 0 1\n"}, r"segments: u1: recording must be in wav\.scp, got 'r9'"),
        ({"segments": "u1 r1 0\n"}, r"segments: u1: must be recording, begin and end in seconds, got 'r1 0'"),
        ({"segments": "u1 r1 a b\n"}, r"segments: u1: must be recording, begin and end"),
        ({"segments": "u1 r1 2 1\n"}, r"segments: u1: must have 0 <= begin < end, got 'r1 2 1'"),
        ({"segments": "u1 r1 nan 1\n"}, r"segments: u1: must have 0 <= begin < end"),
        ({"segments": "u1 r1 0 1 A\n"}, r"segments: u1: channels cannot be selected"),
    ],
)
def test_kaldi_directories_that_are_refused(tmp_path: Path, files: dict[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        read_manifest(kaldi(tmp_path, **files))


def test_kaldi_files_from_windows_and_odd_separators(tmp_path: Path) -> None:
    folder = kaldi(tmp_path, text="r1 one\u2028two\nr2 \x85three\n", utt2spk="r1 ann\nr2 ben\n")
    expected = read_manifest(folder)
    assert [u.text for u in expected] == ["one\u2028two", "three"]
    for name in ("wav.scp", "text", "utt2spk"):
        lines = (folder / name).read_text("utf-8")
        (folder / name).write_bytes(b"\xef\xbb\xbf" + lines.replace("\n", "\r\n").encode())
    assert read_manifest(folder) == expected


def test_kaldi_transcripts_of_nothing_are_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 transcripts have no utterance: r3, r4"):
        read_manifest(kaldi(tmp_path, text="r1 x\nr2 y\nr3 z\nr4 z\n"))


# Tables with other names


def test_common_voice(tmp_path: Path) -> None:
    lines = [
        "client_id\tpath\tsentence\tup_votes\tage",
        'abc1\tcommon_voice_de_1.mp3\t"Wo?", fragte sie\t2\t',
        'def2\tcommon_voice_de_2.mp3\t"Hier.\t3\t',
    ]
    (tmp_path / "validated.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert read_manifest(tmp_path / "validated.tsv") == [
        Utterance("common_voice_de_1", str(tmp_path / "clips" / "common_voice_de_1.mp3"), '"Wo?", fragte sie', "abc1"),
        Utterance("common_voice_de_2", str(tmp_path / "clips" / "common_voice_de_2.mp3"), '"Hier.', "def2"),
    ]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"audio_filepath": "a.wav", "text": "x", "duration": 1.5}, ("x", "", 1.5)),  # NeMo
        ({"file_name": "a.wav", "transcription": "x", "speaker_id": 7}, ("x", "7", None)),  # Hugging Face
        ({"audio": "a.wav", "path": "b.wav", "text": "x", "sentence": "y"}, ("x", "", None)),  # our names come first
    ],
)
def test_other_usual_names(tmp_path: Path, row: dict[str, object], expected: tuple[object, ...]) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps(row))
    (tmp_path / "m.csv").write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")
    for name in ("m.jsonl", "m.csv"):
        (found,) = read_manifest(tmp_path / name)
        assert (found.audio, found.text, found.speaker, found.duration) == (str(tmp_path / "a.wav"), *expected)


def test_names_that_could_be_either(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,sentence,transcript\na.wav,x,y\n")
    with pytest.raises(ValueError, match=r"columns \['sentence', 'transcript'\] could each be the text"):
        read_manifest(tmp_path / "m.csv")


# Which layout


def test_a_folder_of_which_nothing_is_known(tmp_path: Path) -> None:
    sound(tmp_path / "yes" / "ann.wav")
    with pytest.raises(ValueError, match="no known layout, looked for ") as caught:
        read_manifest(tmp_path)
    for word in ("wav.scp", "*.tar", "*.trans.txt", "_nohash_", "'{text}/{take}.wav' for classes", "'yes/ann.wav'"):
        assert word in str(caught.value)


def test_a_folder_of_tables_names_one(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("audio\ttext\n")
    with pytest.raises(ValueError, match=r"a table is named itself, .*; a table there is 'train\.tsv'$"):
        read_manifest(tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    """Speakers on another disk are found; links that lead back or nowhere do no harm."""
    root = librispeech(tmp_path / "disk" / "dev-clean")
    expected = [(u.id, u.text) for u in read_manifest(root)]
    linked = tmp_path / "linked"
    linked.mkdir()
    for speaker in ("84", "174"):
        (linked / speaker).symlink_to(root / speaker)
    (linked / "back").symlink_to(linked)
    (root / "84" / "round").symlink_to(linked)
    (linked / "none.flac").symlink_to(tmp_path / "absent.flac")
    with pytest.warns(UserWarning, match=r"1 files have no transcript .*: none\.flac"):
        found = read_manifest(linked)
    assert [(u.id, u.text) for u in found] == expected


def test_a_folder_of_two_layouts(tmp_path: Path) -> None:
    commands(librispeech(tmp_path))
    with pytest.raises(ValueError, match=r"must have one layout, found .*LibriSpeech.* and .*Speech Commands"):
        read_manifest(tmp_path)


def test_utterances_are_a_source(tmp_path: Path) -> None:
    root = librispeech(tmp_path / "train")
    every = read_manifest(root)
    assert read_manifest(every) == every
    few = [u for u in every if u.speaker == "84"]
    data = SpeechDataModule(few, val=every[:1], sample_rate=RATE)
    data.setup("fit")
    assert {u.id for u in data.train_utterances} == {u.id for u in few}
    assert (data.hparams["train"], data.hparams["val"], data.hparams["test"]) == ("<list of 4>", "<list of 1>", None)
    with pytest.raises(ValueError, match="was an object, which a checkpoint does not hold"):
        SpeechDataModule(**{name: value for name, value in data.hparams.items() if name != "val"}).setup("fit")
    with pytest.raises(ValueError, match="ids must be unique, got more than one of 174-50561-0000"):
        read_manifest([*every, every[0]])
    with pytest.raises(ValueError, match="<list of 0>: holds no utterances"):
        read_manifest([])
    with pytest.raises(ValueError, match=r"pattern is for folders, got '\{id\}\.wav' for <list of 6>"):
        read_manifest(every, "{id}.wav")
    for wrong in (["a.wav"], 3, {"train": every}, None):
        with pytest.raises(ValueError, match="source must be a path, a list of Utterance"):
            read_manifest(wrong)


def test_one_list_is_split_by_speaker(tmp_path: Path) -> None:
    every = read_manifest(librispeech(tmp_path))
    data = SpeechDataModule(every, every, sample_rate=RATE, test_speakers=["174"])
    assert (len(data.train_utterances), len(data.test_utterances)) == (4, 2)


def test_layout_to_manifest_and_back(tmp_path: Path) -> None:
    every = sa.read_manifest(librispeech(tmp_path / "LibriSpeech"))
    sa.write_manifest(tmp_path / "m.jsonl", every)
    assert sa.read_manifest(tmp_path / "m.jsonl") == every


def test_audio_that_is_no_file_is_not_written(tmp_path: Path) -> None:
    class Held:
        def open(self) -> object: ...

        def __str__(self) -> str:
            return "row 3"

    with pytest.raises(ValueError, match="audio must be a path, got row 3 for 'u1'"):
        write_manifest(tmp_path / "m.jsonl", [Utterance("u1", Held(), "x")])  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
