"""evaluate(): what is heard, counted, kept and resumed, against jiwer, NumPy and renderings of each utterance alone."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import tracemalloc
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
from trainings import recognizer, trainer

import speechaug as sa
from speechaug import audio
from speechaug.data import SpeechDataModule, Utterance
from speechaug.robustness.corrupt import corrupt
from speechaug.robustness.evaluate import evaluate
from speechaug.robustness.render import render
from speechaug.robustness.suite import CLEAN, Condition, Suite
from speechaug.robustness.transcripts import Heard, Transcripts

RATE = 8_000
WORDS = ["one", "two", "three", "four"]


def suite(rate=RATE):
    """Return three conditions beside clean: one is random, one changes the length."""
    steps = {
        "soft": sa.Gain(gain_db=(-20.0, -20.0)),
        "hiss": sa.AddColoredNoise(snr_db=(10.0, 10.0), exponent=(0.0, 0.0)),
        "fast": sa.Compose([sa.Speed(factor=(1.25, 1.25)), sa.Gain(gain_db=(60.0, 60.0))]),  # has to be scaled down
    }
    made = [Condition(f"{name}:1", name, "noise", 1, policy, {}) for name, policy in steps.items()]
    return Suite("mine", 1, "all", rate, (CLEAN, *made))


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Write 14 utterances, each of a length of its own, as a manifest."""
    folder = tmp_path_factory.mktemp("speech")
    utterances = []
    for number in range(14):
        generator = np.random.default_rng(number)
        length = 1_000 + 37 * (number * 5 % 14)
        samples = 0.2 * np.sin(np.arange(length) * (0.1 + 0.03 * number)) + 0.01 * generator.standard_normal(length)
        path = str(folder / f"u{number}.wav")
        soundfile.write(path, samples, RATE)
        text = " ".join(generator.choice(WORDS, size=generator.integers(1, 6)))
        utterances.append(Utterance(f"u{number}", path, text, speaker=f"s{number % 3}"))
    return utterances


class Ear:
    """Hears words that are a function of the samples, bit for bit, and remembers how it was asked."""

    sample_rate = RATE

    def __init__(self):
        self.batches = []

    def __call__(self, waves):
        self.batches.append([len(wave) for wave in waves])
        return [self.hear(wave) for wave in waves]

    @staticmethod
    def hear(wave):
        assert wave.dtype == np.float32 and wave.ndim == 1
        numbers = hashlib.sha256(wave.tobytes()).digest()
        return " ".join(WORDS[number % 4].upper() for number in numbers[: 1 + numbers[0] % 6])


def expected(speech, conditions, rate=RATE, **options):
    """Render each utterance by itself."""
    texts = {}
    for condition in conditions:
        for said in speech:
            x = audio.read(said.audio, sample_rate=rate)[0][0]
            texts[condition.name, said.id] = Ear.hear(render(condition, x, rate, id=said.id, **options).samples)
    return texts


def heard(evaluation):
    return {(r["condition"], r["id"]): r["hypothesis_raw"] for r in evaluation.records}


# What is heard


def test_each_utterance_is_heard_as_it_is_rendered_alone(speech):
    texts = expected(speech, suite().conditions)
    assert len(set(texts.values())) > 40
    for options in ({}, {"batch_size": 1}, {"batch_size": 5, "workers": 2}):
        ear = Ear()
        evaluation = evaluate(ear, speech, suite=suite(), **options)
        assert heard(evaluation) == texts
        size = options.get("batch_size", 16)
        assert max(map(len, ear.batches)) == min(size, len(speech))
        assert all(batch == sorted(batch) for batch in ear.batches)
        assert sum(map(len, ear.batches)) == len(texts)


def test_seed_and_draw_change_what_is_random(speech):
    assert heard(evaluate(Ear(), speech, suite=suite(), seed=3)) == expected(speech, suite().conditions, seed=3)
    evaluation = evaluate(Ear(), speech, suite=suite(), draws=2)
    again = expected(speech, suite().conditions, draw=1)
    for record in evaluation.records:
        if record["draw"] == 1:
            assert record["hypothesis_raw"] == again[record["condition"], record["id"]]
    drawn = [(r["condition"], r["draw"]) for r in evaluation.records]
    assert {(name, draw) for name, draw in drawn} == {
        ("clean", 0),
        *((name, draw) for name in ("soft:1", "hiss:1", "fast:1") for draw in (0, 1)),
    }


def test_the_declared_rate_is_what_is_heard(speech):
    """Files of 8 kHz, a recognizer of 16 kHz: twice as many samples, the SNR asked for, the tone where it was."""
    kept = {}

    def hears(waves):
        kept.update({len(wave): [*kept.get(len(wave), []), wave] for wave in waves})
        return [""] * len(waves)

    evaluate(hears, speech, suite=["white:3"], sample_rate=16_000, batch_size=1)
    assert sorted(kept) == sorted(2 * soundfile.info(said.audio).frames for said in speech)
    for length, (clean, noisy) in kept.items():
        said = next(s for s in speech if 2 * soundfile.info(s.audio).frames == length)
        tone = (0.1 + 0.03 * int(said.id[1:])) / (2 * np.pi) * RATE
        assert np.abs(np.fft.rfft(clean * np.hanning(length))).argmax() * 16_000 / length == pytest.approx(tone, abs=12)
        snr_db = 10 * np.log10(np.mean(clean**2) / np.mean((noisy - clean) ** 2))
        assert snr_db == pytest.approx(10.0, abs=1.5)  # active speech level, of so short a sound


def test_a_suite_of_another_rate_is_resampled(speech):
    frames = []

    def hears(waves):
        frames.extend(map(len, waves))
        return [""] * len(waves)

    evaluate(hears, speech, suite=suite(RATE), sample_rate=16_000, limit=3)
    assert all(length % 2 == 0 for length in frames) and len(frames) == 12


def test_several_devices_give_what_one_gives(speech):
    pair = sa.robustness.recognizers.Recognizer(
        kind="function", name="ear", fingerprint="ear", sample_rate=RATE, copies=(Ear(), Ear(), Ear())
    )
    evaluation = evaluate(pair, speech, suite=suite(), batch_size=2)
    assert heard(evaluation) == expected(speech, suite().conditions)
    assert all(len(ear.batches) >= 4 for ear in pair.copies)


def test_limit_spreads_over_the_data(speech):
    evaluation = evaluate(Ear(), speech, suite=suite(), limit=3)
    assert {r["id"] for r in evaluation.records} == {"u0", "u4", "u9"}


# What is counted


def test_totals_are_those_of_jiwer(speech):
    evaluation = evaluate(Ear(), speech, suite=suite(), normaliser="basic")
    for name in ("clean", "hiss:1"):
        rows = [r for r in evaluation.records if r["condition"] == name]
        whole = jiwer.process_words([r["reference"] for r in rows], [r["hypothesis"] for r in rows])
        letters = jiwer.process_characters([r["reference"] for r in rows], [r["hypothesis"] for r in rows])
        for key in ("substitutions", "deletions", "insertions"):
            assert sum(r[key] for r in rows) == getattr(whole, key)
            assert sum(r[f"char_{key}"] for r in rows) == getattr(letters, key)
        errors = sum(r["substitutions"] + r["deletions"] + r["insertions"] for r in rows)
        assert errors / sum(r["words"] for r in rows) == pytest.approx(whole.wer)
        assert all(r["reference"].islower() and r["hypothesis"].islower() for r in rows)


def test_who_says_the_reference_makes_no_error(speech):
    texts = {soundfile.info(said.audio).frames: said.text for said in speech}
    assert len(texts) == len(speech)

    def knows(waves):
        return [f" {texts[len(wave)].upper()}! " for wave in waves]

    conditions = tuple(c for c in suite().conditions if c.corruption != "fast")
    evaluation = evaluate(knows, speech, suite=Suite("mine", 1, "all", RATE, conditions), sample_rate=RATE)
    assert {r["condition"] for r in evaluation.records} == {"clean", "soft:1", "hiss:1"}
    assert not any(r["substitutions"] + r["deletions"] + r["insertions"] for r in evaluation.records)
    assert all(condition.wer.value == 0.0 for condition in evaluation.scores().conditions.values())


def test_records_tell_who_and_how_long(speech):
    evaluation = evaluate(Ear(), speech, suite=suite(), groups={"s0": "north", "s1": "south"})
    by_id = {said.id: said for said in speech}
    for record in evaluation.records:
        said = by_id[record["id"]]
        assert record["speaker"] == said.speaker
        assert record["group"] == {"s0": "north", "s1": "south"}.get(said.speaker)
        frames = soundfile.info(said.audio).frames
        frames = round(frames / 1.25) if record["condition"] == "fast:1" else frames
        assert record["duration_s"] == pytest.approx(frames / RATE, abs=1e-6)
    snr = {r["realised"].get("snr_db") for r in evaluation.records if r["condition"] == "hiss:1"}
    assert None not in snr
    told = evaluation.meta["recognizer"]
    assert told["kind"] == "function" and told["fingerprint"].startswith(f"{__name__}.Ear:")
    assert evaluation.name == "Ear"


def test_items_without_speech(speech):
    """Whatever is heard there is invented, and counted per minute."""
    mute = [Utterance(said.id, said.audio, "") for said in speech]
    evaluation = evaluate(lambda waves: ["two words"] * len(waves), mute, suite=suite(), sample_rate=RATE)
    assert all(r["words"] == 0 and r["insertions"] == 2 for r in evaluation.records)
    minutes = sum(soundfile.info(said.audio).duration for said in speech) / 60
    clean = evaluation.scores().clean
    assert clean is not None
    assert clean.false_words_per_minute == pytest.approx(2 * len(speech) / minutes, rel=1e-4)


def test_one_speaker(speech):
    alone = [Utterance(said.id, said.audio, said.text, "ann") for said in speech]
    scores = evaluate(Ear(), alone, suite=suite()).scores()
    assert all(condition.wer.value > 0 for condition in scores.conditions.values())


# Recognizers that misbehave


def third(waves, value):
    """Say something, but return a value for each utterance whose length is a multiple of three."""
    return [value if len(wave) % 3 == 0 else "one" for wave in waves]


def raises(waves):
    if any(len(wave) % 3 == 0 for wave in waves):
        raise RuntimeError(f"cannot hear <object at {hex(id(waves))}>\nat all")
    return ["one"] * len(waves)


@pytest.mark.parametrize(
    ("transcribe", "error"),
    [
        (raises, "RuntimeError: cannot hear <object at 0x> at all"),
        (lambda waves: third(waves, None), "returned None, not a text"),
        (lambda waves: third(waves, 7), "returned int, not a text"),
        (lambda waves: third(waves, OSError()), "OSError"),
        (lambda waves: [text for text in third(waves, None) if text], "returned 0 texts for 1"),
        (lambda waves: None if 1 in third(waves, 1) else third(waves, 1), "returned None, not a list of texts"),
        (lambda waves: "x" if 1 in third(waves, 1) else iter(third(waves, 1)), "returned str, not a list of texts"),
    ],
)
def test_what_fails_is_counted_and_the_rest_scored(speech, transcribe, error):
    bad = {said.id for said in speech if soundfile.info(said.audio).frames % 3 == 0}
    assert 0 < len(bad) < len(speech)
    with pytest.warns(UserWarning, match=f"the recognizer failed on {len(bad)} of {len(speech)}: .*count as nothing"):
        evaluation = evaluate(transcribe, speech, suite=Suite("mine", 1, "all", RATE, (CLEAN,)), sample_rate=RATE)
    assert {r["id"]: r["error"] for r in evaluation.records if r["error"]} == dict.fromkeys(bad, error)
    for record in evaluation.records:
        assert record["hypothesis_raw"] == ("" if record["id"] in bad else "one")
        assert record["id"] not in bad or record["deletions"] == record["words"]
    assert evaluation.meta["failed"]["recognizer"] == {error.partition(":")[0]: len(bad)}


def test_a_recognizer_that_cannot_do_anything_is_an_error(speech):
    with pytest.raises(ValueError, match="the recognizer fails on all of the first 14: returned None, not a list of"):
        evaluate(lambda waves: None, speech, suite=suite())


def test_recordings_that_cannot_be_used(speech, tmp_path):
    whole = Path(speech[0].audio).read_bytes()
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan, 0.2]), RATE, subtype="FLOAT")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no audio")
    flac = tmp_path / "broken.flac"
    soundfile.write(flac, np.random.default_rng(0).uniform(-0.5, 0.5, 40_000), RATE)
    data = bytearray(flac.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3_000] = bytes(3_000)
    flac.write_bytes(data)
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    bad = ["nan.wav", "empty.wav", "text.wav", "broken.flac", "cut.wav", "absent.wav"]
    broken = [Utterance(name, str(tmp_path / name), "one") for name in bad]
    with pytest.warns(UserWarning, match=r"6 of 20 recordings are left out:[\s\S]*absent\.wav: no such file"):
        evaluation = evaluate(Ear(), [*broken, *speech], suite=suite())
    assert heard(evaluation) == expected(speech, suite().conditions)
    assert evaluation.meta["failed"]["ids"] == sorted(bad)
    assert evaluation.meta["failed"]["recordings"] == {"empty": 1, "missing": 1, "not_finite": 1, "unreadable": 3}
    with pytest.raises(ValueError, match="none of 6 recordings can be used"):
        evaluate(Ear(), broken, suite=suite())


# What is kept


def files(folder):
    return {name: (Path(folder) / name).read_bytes() for name in ("results.jsonl", "evaluation.json")}


def test_two_runs_are_the_same_bytes(speech, tmp_path):
    for number, options in enumerate(({}, {"workers": 2})):
        evaluate(Ear(), speech, suite=suite(), output=tmp_path / str(number), **options)
    assert files(tmp_path / "0") == files(tmp_path / "1")
    assert str(tmp_path) not in b"".join(files(tmp_path / "0").values()).decode()


def until_killed(speech, folder, calls):
    """Evaluate in this process, which dies in the middle of a batch."""

    class Mortal(Ear):
        def __call__(self, waves):
            if len(self.batches) == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(waves)

    evaluate(Mortal(), speech, suite=suite(), output=folder, name="ear", batch_size=2)


def test_killed_and_resumed_is_as_if_never_killed(speech, tmp_path):
    process = multiprocessing.get_context("fork").Process(target=until_killed, args=(speech, tmp_path / "killed", 18))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["transcripts.jsonl"]
    lines = (tmp_path / "killed" / "transcripts.jsonl").read_bytes().splitlines()
    assert 0 < len(lines) < 56
    with (tmp_path / "killed" / "transcripts.jsonl").open("ab") as file:
        file.write(lines[0][: len(lines[0]) // 2])  # died while writing
    asked = []
    for folder in ("killed", "whole", "killed"):
        ear = Ear()
        evaluate(ear, speech, suite=suite(), output=tmp_path / folder, name="ear", batch_size=2)
        asked.append(sum(map(len, ear.batches)))
        assert files(tmp_path / "killed") == files(tmp_path / folder)
    assert asked == [56 - len(lines), 56, 0]


def test_ctrl_c_loses_nothing(speech, tmp_path):
    class Tired(Ear):
        def __call__(self, waves):
            if len(self.batches) == 9:
                raise KeyboardInterrupt
            return super().__call__(waves)

    with pytest.raises(KeyboardInterrupt):
        evaluate(Tired(), speech, suite=suite(), output=tmp_path, name="ear", batch_size=4)
    ear = Ear()
    evaluate(ear, speech, suite=suite(), output=tmp_path, name="ear", batch_size=4)
    assert sum(map(len, ear.batches)) == 56 - 28
    evaluate(Ear(), speech, suite=suite(), output=tmp_path / "whole", name="ear", batch_size=4)
    assert files(tmp_path) == files(tmp_path / "whole")


@pytest.mark.filterwarnings("ignore:evaluate. the recognizer failed")
def test_failures_are_tried_again(speech, tmp_path):
    """Those of a passing kind are gone then; of a lasting kind the bytes are the same."""
    sick = {0}

    def hears(waves):
        if sick and any(len(wave) % 3 == 0 for wave in waves):
            raise RuntimeError("out of memory")
        return [Ear.hear(wave) for wave in waves]

    options = {"suite": suite(), "sample_rate": RATE, "output": tmp_path, "batch_size": 2}
    assert evaluate(hears, speech, **options).meta["failed"]["recognizer"]["RuntimeError"] > 2
    before = files(tmp_path)
    evaluate(hears, speech, **options)
    assert files(tmp_path) == before
    sick.clear()
    assert heard(evaluate(hears, speech, **options)) == expected(speech, suite().conditions)


def test_the_cache_knows_what_it_depends_on(speech, tmp_path):
    def calls(**options):
        ear = Ear()
        given = {"suite": suite(), "cache": tmp_path / "cache.jsonl", "name": "ear", **options}
        evaluate(ear, given.pop("data", speech), **given)
        return sum(map(len, ear.batches))

    assert calls() == 56
    assert calls() == 0
    assert calls(seed=1) == 56
    assert calls(name="other") == 56
    assert calls(draws=2) == 42
    louder = Condition("soft:1", "soft", "noise", 1, sa.Gain(gain_db=(1.0, 1.0)), {})
    assert calls(suite=Suite("mine", 1, "all", RATE, (CLEAN, louder))) == 14
    other = [Utterance(s.id, speech[(n + 1) % 14].audio, s.text) for n, s in enumerate(speech)]
    assert calls(data=other) == 56
    assert not list(tmp_path.glob("*.json"))


def test_lines_of_the_cache_that_are_broken(tmp_path):
    path = tmp_path / "cache.jsonl"
    known = {f"k{n}": Heard(f"text {n}\u2028", None, 0.1 * n, {"snr_db": 1 / 3}) for n in range(3)}
    Transcripts(path).add(known)
    lines = path.read_bytes().split(b"\n")
    lines[1] = b'{"key": "k1", "text": "\xff'
    path.write_bytes(b"\n".join([*lines[:3], b"[]", b'{"key": "k9"}', b'{"ke']))
    again = Transcripts(path)
    assert again.get("k0") == known["k0"] and again.get("k2") == known["k2"]
    assert again.get("k1") is None and again.get("k9") is None
    again.add(known)
    assert all(Transcripts(path).get(key) == value for key, value in known.items())
    assert path.read_bytes().endswith(b"\n")


# Noisy test sets on disk


def test_noisy_sets_say_what_rendering_says(speech, tmp_path):
    """Up to the 16 bits of the files: a recognizer that hears levels hears the same ones."""

    def level(waves):
        return [str(round(20 * np.log10(np.sqrt(np.mean(wave.astype(np.float64) ** 2))), 1)) for wave in waves]

    options = {"sample_rate": RATE, "name": "level", "normaliser": "none"}
    corrupt(speech, tmp_path / "noisy", suite=["white:3", "white:5"])
    there = evaluate(level, tmp_path / "noisy", **options)
    here = evaluate(level, speech, suite=["white:3", "white:5"], **options)
    assert heard(there) == heard(here)
    assert there.meta == here.meta
    for asked, message in (
        ({"suite": "tiny"}, "suite must be that of the noisy test sets, 'chosen', got 'tiny'"),
        ({"draws": 2}, "draws must be 1, noise and rooms None for noisy test sets"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(level, tmp_path / "noisy", **options, **asked)
    for one, two in zip(there.records, here.records, strict=True):
        assert one["realised"] == pytest.approx(two["realised"], abs=1e-3)


def test_noisy_sets_of_others(speech, tmp_path):
    """Folders of recordings with transcripts in their names; the same ids in each."""
    louder = {"clean": 1.0, "cafe_10dB": 0.5, "cafe_0dB": 0.25}
    for name, gain in louder.items():
        for said in speech[:4]:
            samples, _ = soundfile.read(said.audio)
            (tmp_path / name).mkdir(exist_ok=True)
            soundfile.write(tmp_path / name / f"{said.id}_ann.wav", gain * samples, RATE)
    evaluation = evaluate(Ear(), tmp_path, suite=None, pattern="{text}_{speaker}.wav")
    got = heard(evaluation)
    assert {name for name, _ in got} == {"clean", "cafe:1", "cafe:2"}
    for said in speech[:4]:
        for name, folder in {"clean": "clean", "cafe:1": "cafe_10dB", "cafe:2": "cafe_0dB"}.items():
            samples = audio.read(tmp_path / folder / f"{said.id}_ann.wav")[0][0]
            assert got[name, f"{said.id}_ann"] == Ear.hear(samples)


# What training knew


def test_what_was_trained_with_is_marked(speech):
    policy = sa.Compose([sa.Gain(), sa.AddColoredNoise(exponent=(0.0, 0.0))])
    evaluation = evaluate(Ear(), speech, suite=suite(), policy=policy)
    trained = {condition["name"]: condition["trained"] for condition in evaluation.meta["conditions"]}
    assert trained == {"clean": False, "soft:1": False, "hiss:1": True, "fast:1": False}


def test_clips_that_were_trained_with_are_refused(speech):
    bank = sa.Bank.from_arrays([np.random.default_rng(5).standard_normal(9_000)], sample_rate=RATE, names=["fan"])
    noisy = Condition("fan:1", "fan", "noise", 1, sa.AddNoise(bank=bank), {})
    with pytest.raises(ValueError, match="leak: 1 clips are in banks of both sides"):
        evaluate(Ear(), speech, suite=Suite("mine", 1, "all", RATE, (CLEAN, noisy)), policy=sa.AddNoise(bank=bank))


# In training


@pytest.mark.global_rng
def test_trainer_test_says_what_evaluate_says(speech, tmp_path):
    import torch

    model = recognizer()
    model.tokenizer = sa.asr.Tokenizer(tuple(sorted(["one", "two"])), "word")
    with torch.no_grad():
        model.model.head.bias[0] -= 2.0
    data = SpeechDataModule(
        test=speech, sample_rate=RATE, test_suite="tiny", concat=(1, 2), test_strings=9, batch_size=4, num_workers=2
    )
    trainer(tmp_path, []).test(model, datamodule=data, verbose=False)
    tested = {(r["condition"], r["id"]): r["hypothesis"] for r in model.test_results}
    evaluation = evaluate(model, data, suite="tiny", normaliser="text")
    assert {(r["condition"], r["id"]): r["hypothesis"] for r in evaluation.records} == tested
    assert len(tested) == 9 * len(data.test_names) and len(set(tested.values())) > 2
    keys = ("substitutions", "deletions", "insertions", "words", "reference", "speaker")
    counts = {(r["condition"], r["id"]): [r[key] for key in keys] for r in model.test_results}
    assert {(r["condition"], r["id"]): [r[key] for key in keys] for r in evaluation.records} == counts


# Memory


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path):
    path = str(tmp_path / "long.wav")
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 20 * RATE), RATE)
    steps = [sa.Gain(gain_db=(-float(n), -float(n))) for n in range(1, 41)]
    conditions = [Condition(f"soft:{n}", f"soft{n}", "noise", n, step, {}) for n, step in enumerate(steps, start=1)]

    def peak(count, copies):
        said = [Utterance(f"u{n}", path, "one") for n in range(copies)]
        chosen = Suite("mine", 1, "all", RATE, (CLEAN, *conditions[:count]))
        tracemalloc.start()
        evaluate(lambda waves: ["one"] * len(waves), said, suite=chosen, sample_rate=RATE, batch_size=2, workers=0)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1, 2)  # whatever is made once
    few, many, more = peak(2, 16), peak(40, 16), peak(2, 200)
    assert many < few + 2e6 and more < few + 2e6  # the records, but none of 400 MB of audio


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "evaluate: draws must be a whole number >= 1, got 0"),
        ({"batch_size": True}, "batch_size must be a whole number >= 1, got True"),
        ({"workers": -1}, "workers must be a whole number >= 0 or None, got -1"),
        ({"limit": 0}, "limit must be a whole number >= 1 or None, got 0"),
        ({"seed": 0.5}, r"seed must be a whole number >= 0, got 0\.5"),
        ({"normaliser": "mine"}, "name must be one of none, text, basic"),
        ({"groups": {"nobody": "north"}}, "groups must name speakers of the data, .*, got nobody"),
        ({"suite": "huge"}, "subset must be tiny, standard, full or srb, got 'huge'"),
        ({"suite": ["white:9"]}, "suite: must hold names such as white:3, got 'white:9', which is no condition"),
    ],
)
def test_bad_arguments(speech, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(Ear(), speech, **options)


def test_no_data(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such manifest or folder"):
        evaluate(Ear(), str(tmp_path / "absent"))


def test_the_global_random_state_is_left_alone(speech):
    """Checked after every test of this file; here with worker processes."""
    evaluate(Ear(), speech, suite=suite(), workers=1)
