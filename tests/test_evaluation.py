"""Evaluations on disk, what they refuse, and the normalisers that make words the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jiwer
import pytest
from heard import condition, evaluation, misheard

from speechaug.asr import normalise_text
from speechaug.robustness import Evaluation, get_normaliser, to_json
from speechaug.robustness.condition_names import label, snr_db
from speechaug.robustness.records import FIELDS

EDITS = {"substitutions": 1, "deletions": 0, "insertions": 0, "words": 2}


@pytest.fixture
def whole() -> Evaluation:
    return evaluation(misheard({"clean": 0.1, "white:1": 0.3}, 1, count=12), speakers=("ann", "bob"))


# On disk


def test_saved_and_loaded_is_the_same(whole: Evaluation, tmp_path: Path):
    loaded = Evaluation.load(whole.save(tmp_path / "deep" / "a"))
    assert loaded == whole
    assert to_json(loaded.scores(whole)) == to_json(whole.scores(whole))


def test_two_runs_give_the_same_bytes(whole: Evaluation, tmp_path: Path):
    backward = Evaluation(whole.name, dict(reversed(whole.meta.items())), whole.records[::-1])
    folders = whole.save(tmp_path / "a"), backward.save(tmp_path / "b")
    first, again = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == again
    assert sorted(first) == ["evaluation.json", "results.jsonl"]


def test_a_line_is_an_utterance_that_anyone_can_count_again(whole: Evaluation, tmp_path: Path):
    lines = (whole.save(tmp_path) / "results.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 24
    for row in rows:
        assert tuple(row) == FIELDS
        edits = jiwer.process_words(row["reference"], row["hypothesis"])
        assert edits.substitutions + edits.deletions + edits.insertions == sum(row[name] for name in list(EDITS)[:3])


def test_text_of_any_language_survives(tmp_path: Path):
    whole = evaluation({"clean": [("Grüße, 你好 \u2028 \U0001f600", "grüße 你好")]})
    assert Evaluation.load(whole.save(tmp_path)) == whole
    assert whole.records[0]["substitutions"] + whole.records[0]["deletions"] == 0


def test_files_that_are_damaged_or_missing_are_named(whole: Evaluation, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"evaluation\.json"):
        Evaluation.load(tmp_path)
    path = whole.save(tmp_path) / "results.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + '{"condition": "cl', encoding="utf-8")
    with pytest.raises(ValueError, match=r"must be a JSON object, got line 25 of .*results\.jsonl"):
        Evaluation.load(tmp_path)
    for text, message in (("[]", "must be a JSON object, got "), ("{", "must be a JSON object"), ("{}", "hold 'name'")):
        (tmp_path / "evaluation.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            Evaluation.load(tmp_path)


# Refused


def test_records_must_be_whole_known_and_there_once(whole: Evaluation):
    def changed(**facts: Any) -> list[dict[str, Any]]:
        return [*whole.records[:-1], {**whole.records[-1], **facts}]

    lacking = [{key: value for key, value in r.items() if key != "speaker"} for r in whole.records]
    for records, message in (
        ([], "at least one utterance, got none"),
        ([*whole.records, whole.records[3]], "got 'u003' 2 times in 'clean'"),
        (changed(condition="rain"), r"one of \['clean', 'white:1'\], got 'rain'"),
        (lacking, "records must hold 'speaker'"),
        (whole.records[:12], "must hold an utterance, got none in 'white:1'"),
    ):
        with pytest.raises(ValueError, match=message):
            Evaluation("mine", whole.meta, records)


def test_the_same_id_of_two_speakers_is_two_utterances(whole: Evaluation):
    twin = [*whole.records, dict(whole.records[0], speaker="eve")]
    assert Evaluation("mine", whole.meta, twin).scores().utterances == 13


def test_meta_must_name_the_test(whole: Evaluation):
    for meta, message in (
        ({key: value for key, value in whole.meta.items() if key != "suite"}, "meta must hold 'suite'"),
        ({**whole.meta, "conditions": [{"name": "clean"}]}, "conditions must hold 'corruption'"),
        ({**whole.meta, "conditions": [condition("clean")] * 2}, "must have different names"),
    ):
        with pytest.raises(ValueError, match=message):
            Evaluation("mine", meta, whole.records)


def test_some_conditions_can_be_kept(whole: Evaluation):
    part = whole.only(["white:1"])
    assert part.conditions == ("white:1",)
    assert {record["condition"] for record in part.records} == {"white:1"}
    with pytest.raises(ValueError, match="'mine' must hold the condition 'rain'"):
        whole.only(["rain"])


# Results of a trainer


def rows(*names: str) -> list[dict[str, Any]]:
    return [{"condition": name, "id": "a", "speaker": "ann", **EDITS} for name in names]


def test_results_of_a_trainer():
    names = ("clean", "noise_20db", "noise_-5db", "room", "white:3")
    made = Evaluation.from_results("mine", rows(*names))
    known = {each["name"]: (each["corruption"], each["severity"]) for each in made.meta["conditions"]}
    assert known == {
        "clean": ("clean", 0),
        "noise_20db": ("noise", 1),
        "noise_-5db": ("noise", 2),
        "room": ("room", 1),
        "white:3": ("white", 3),
    }
    scores = made.scores()
    assert scores.conditions["room"].wer.value == 0.5
    assert (scores.conditions["room"].cer, scores.conditions["room"].wer_raw) == (None, None)
    curve = scores.corruptions["noise"].curve
    assert curve is not None and curve.snr_db == (-5.0, 20.0)


def test_results_with_texts_have_characters():
    texts = {"reference": "one two", "hypothesis": "one too"}
    score = Evaluation.from_results("mine", [{**rows("clean")[0], **texts}]).scores().clean
    assert score is not None and score.cer is not None
    assert score.cer.value == pytest.approx(1 / 7)


def test_results_that_lack_something_are_refused():
    with pytest.raises(ValueError, match="results must hold 'words', got"):
        Evaluation.from_results("mine", [{key: value for key, value in rows("clean")[0].items() if key != "words"}])
    with pytest.raises(ValueError, match="at least one utterance"):
        Evaluation.from_results("mine", [])


@pytest.mark.parametrize(
    ("name", "ratio", "text"),
    [
        ("noise_-5db", -5.0, "noise, -5 dB"),
        ("noise_2.5db", 2.5, "noise, 2.5 dB"),
        ("noise_xdb", None, "noise xdb"),
        ("far_room", None, "far room"),
        ("5", None, "5"),
    ],
)
def test_condition_names(name: str, ratio: float | None, text: str):
    assert snr_db(name) == ratio
    assert label(name) == text


# Normalisers

TEXTS = ["It’s 5 o'clock.", "  Hello,\tWORLD! ", "well-known — 'quoted'", "É e\u0301", "100 % of $5", "", "?!"]
TEXTS += ["नमस्ते दुनिया।", "ß ﬁ"]


@pytest.mark.parametrize("name", ["none", "text", "basic"])
def test_normalising_again_changes_nothing(name: str):
    normaliser = get_normaliser(name)
    for text in TEXTS:
        assert normaliser(normaliser(text)) == normaliser(text)
        assert normaliser(text) == " ".join(normaliser(text).split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It’s 5 o'clock.", "it's 5 o'clock"),
        ("  Hello,\tWORLD! ", "hello world"),
        ("well-known — 'quoted'", "well known quoted"),
        ("É e\u0301", "é é"),
        ("100 % of $5", "100 of 5"),
        ("नमस्ते दुनिया।", "नमस्ते दुनिया"),
        ("'", ""),
        ("?!", ""),
    ],
)
def test_basic_removes_punctuation_and_keeps_words(text: str, expected: str):
    assert get_normaliser("basic")(text) == expected


def test_text_is_what_recognizers_are_trained_on():
    assert [get_normaliser("text")(text) for text in TEXTS] == [normalise_text(text) for text in TEXTS]


def test_names_and_versions_stand_in_every_evaluation(whole: Evaluation):
    assert whole.meta["normaliser"] == {"name": "basic", "version": "1"}
    assert whole.scores().normaliser == {"name": "basic", "version": "1"}
    with pytest.raises(ValueError, match="one of none, text, basic, english-whisper, got 'other'"):
        get_normaliser("other")


def test_whispers_normaliser_or_a_remedy():
    pytest.importorskip("transformers")
    script = """
from speechaug.robustness.normalise import get_normaliser
normaliser = get_normaliser("english-whisper")
assert normaliser("Mr. Smith can't pay twenty-five dollars, uh, [laughs]!") == "mister smith can not pay $25"
assert normaliser("") == ""
assert "transformers" in normaliser.version
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_transformers_whispers_normaliser_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    from speechaug.robustness.normalise import _english_whisper

    _english_whisper.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="pip install transformers, or take 'basic'"):
        get_normaliser("english-whisper")
