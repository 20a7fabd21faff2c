"""The catalogue: what is in it, what never changes, what it is marked with, and severities held to their values."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import suite_hashes
from numpy.typing import NDArray

import speechaug as sa
from speechaug import audio, presets
from speechaug.augmenter import leaves
from speechaug.data.leak import banks_of, shared_clips, trained_with
from speechaug.robustness import realised
from speechaug.robustness.catalogue import CATALOGUE, COMPOUND, SINGLE, SOUNDS, SRB, STANDARD
from speechaug.robustness.catalogue.compound import RECIPES
from speechaug.robustness.suite import Condition, Suite, load_suite
from speechaug.robustness.trained import trained_marks

FIXTURES = Path(sa.__file__).parent / "fixtures"


def test_the_catalogue_is_that_of_the_issue() -> None:
    suite = load_suite("full")
    assert len(SINGLE) == 42  # 37 rows of the table; five of them go both ways
    assert len(COMPOUND) == 12
    assert len(suite) == 1 + 5 * len(CATALOGUE)
    assert suite.names[0] == "clean"
    assert suite.conditions[0].policy is None
    assert len(set(suite.names)) == len(suite)
    assert suite.left_out == ()
    by_family = {family: {c.corruption for c in suite.conditions if c.family == family} for family in FAMILIES}
    assert {family: len(names) for family, names in by_family.items()} == FAMILIES


FAMILIES = {
    "clean": 1,
    "noise": 10,
    "room": 4,
    "channel": 8,
    "fault": 6,
    "speaker": 9,
    "spectral": 5,
    "compound": 12,
}


def test_subsets() -> None:
    tiny, standard, full, srb = (load_suite(subset) for subset in ("tiny", "standard", "full", "srb"))
    assert len(tiny) == 7
    assert len(standard) == 1 + 5 * len(STANDARD)
    assert set(tiny.names) | set(standard.names) <= set(full.names)
    assert len(srb) == 1 + 4 * len(SRB) == 1 + 4 * 22
    assert {c.severity for c in srb.conditions} == {0, 1, 2, 3, 4}
    for name in tiny.names:
        assert tiny[name].hash == full[name].hash
    with pytest.raises(KeyError, match=r"one of clean, white:3.*got 'white:1'"):
        tiny["white:1"]


def test_eight_khz_has_all_that_makes_sense_there() -> None:
    full = load_suite("full", sample_rate=8_000)
    assert full.left_out == ("low_pass:1", "dictaphone:1")
    assert set(full.names) | set(full.left_out) == set(load_suite("full").names)
    assert len(load_suite("tiny", sample_rate=8_000)) == 7
    assert load_suite("srb", sample_rate=8_000).left_out == ("lowpass:1",)


def test_arguments() -> None:
    with pytest.raises(ValueError, match="subset must be tiny, standard, full or srb, got 'huge'"):
        load_suite("huge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 8000, got 4000"):
        load_suite("tiny", sample_rate=4_000)
    bank = sa.Bank.from_arrays([np.ones(100)], sample_rate=8_000)
    with pytest.raises(ValueError, match="must have the rate of 16000 Hz, got 8000 Hz"):
        load_suite("tiny", noise=bank)


def test_severities_grow_and_are_named_alike() -> None:
    for corruption in CATALOGUE:
        steps = [c for c in load_suite("full").conditions if c.corruption == corruption]
        assert [c.severity for c in steps] == [1, 2, 3, 4, 5]
        assert [c.name for c in steps] == [f"{corruption}:{s}" for s in range(1, 6)]
        assert len({c.hash for c in steps}) == 5
        keys = {tuple(c.nominal) for c in steps}
        assert len(keys) == 1
        for key in keys.pop():
            moves = np.diff([c.nominal[key] for c in steps])
            assert (moves >= 0).all() or (moves <= 0).all(), (corruption, key)


def test_compounds_name_each_of_their_settings_once() -> None:
    suite = load_suite("full")
    for name, parts in RECIPES.items():
        settings = [key for part in parts for key in suite[f"{part}:3"].nominal]
        assert len(set(settings)) == len(settings)
        assert suite[f"{name}:3"].nominal == {k: v for part in parts for k, v in suite[f"{part}:3"].nominal.items()}


def test_hashes_of_version_1_are_frozen() -> None:
    kept = json.loads(suite_hashes.PATH.read_text(encoding="utf-8"))
    assert suite_hashes.compute() == kept


def test_what_is_heard_in_version_1_is_frozen() -> None:
    kept = json.loads(suite_hashes.HEARD.read_text(encoding="utf-8"))
    found = suite_hashes.heard()
    assert found.keys() == kept.keys()
    for name, levels in found.items():
        assert levels == pytest.approx(kept[name], rel=0.0, abs=0.1), name


def test_hash_depends_on_sounds_and_not_on_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    clips = [0.1 * rng.standard_normal(16_000) for _ in range(3)]
    for folder in ("one", "two"):
        for number, clip in enumerate(clips):
            audio.write(tmp_path / folder / f"{number}.wav", clip, 16_000)
    one, two = (load_suite("tiny", noise=tmp_path / folder) for folder in ("one", "two"))
    assert one.hash == two.hash != load_suite("tiny").hash
    assert one["white:3"].hash == load_suite("tiny")["white:3"].hash
    audio.write(tmp_path / "three" / "0.wav", clips[0], 16_000)
    assert load_suite("tiny", noise=tmp_path / "three").hash != one.hash


def test_suite_at_another_rate_is_another_suite() -> None:
    assert load_suite("tiny").hash != load_suite("tiny", sample_rate=8_000).hash


def test_a_condition_read_from_disk_keeps_its_hash() -> None:
    assert Condition("x:1", "x", "foreign", 1, None, {}, known_hash="0123456789abcdef").hash == "0123456789abcdef"


# Rooms.


def schroeder_t20(response: NDArray[np.float64], rate: int) -> float:
    from scipy.stats import linregress

    start = int(np.abs(response).argmax())
    backward = np.flip(np.cumsum(np.flip(response[start:] ** 2)))
    level = 10.0 * np.log10(backward / backward[0] + 1e-30)
    begin, end = int((level <= -5.0).argmax()), int((level <= -25.0).argmax())
    return -60.0 / float(linregress(np.arange(begin, end) / rate, level[begin:end]).slope)


@pytest.mark.parametrize(("rate", "t60", "drr_db", "c50_db"), [(8_000, 0.15, 1.5, 4.0), (16_000, 0.10, 0.5, 0.5)])
def test_rooms_are_what_they_are_said_to_be(rate: int, t60: float, drr_db: float, c50_db: float) -> None:
    """Half the band sounds longer and less clear: treble dies away first."""
    suite = load_suite("full", sample_rate=rate)
    for severity in range(1, 6):
        room = suite[f"room:{severity}"]
        (bank,) = banks_of(room.policy)
        for index in range(len(bank)):
            response = bank.clip(index).astype(np.float64)
            assert schroeder_t20(response, rate) == pytest.approx(room.nominal["t60_s"], rel=t60)
            assert realised.t60_s(response, rate) == pytest.approx(schroeder_t20(response, rate), rel=0.01)
            peak = int(np.abs(response).argmax())
            near = response[max(0, peak - round(0.0025 * rate)) : peak + round(0.0025 * rate) + 1]
            reverberant = np.sum(response**2) - np.sum(near**2)
            assert 10 * math.log10(np.sum(near**2) / reverberant) == pytest.approx(room.nominal["drr_db"], abs=drr_db)
        measured = suite[f"measured_room:{severity}"]
        (bank,) = banks_of(measured.policy)
        for index in range(len(bank)):
            response = bank.clip(index).astype(np.float64)
            early = int(np.abs(response).argmax()) + round(0.050 * rate)
            clarity = 10 * math.log10(np.sum(response[:early] ** 2) / np.sum(response[early:] ** 2))
            assert clarity == pytest.approx(measured.nominal["c50_db"], abs=c50_db)
            assert realised.c50_db(response, rate) == pytest.approx(clarity, abs=0.01)


def test_given_rooms_are_sorted_into_severities(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, t60 in enumerate((0.9, 0.2, 0.5, 0.3, 0.7, 0.4)):
        time = np.arange(int(16_000 * t60 * 1.2)) / 16_000
        decay = rng.standard_normal(len(time)) * 10.0 ** (-3.0 * time / t60)
        audio.write(tmp_path / f"{number}.wav", 0.9 * decay / np.abs(decay).max(), 16_000)
    suite = load_suite("full", rooms=tmp_path)
    times = [suite[f"room:{severity}"].nominal["t60_s"] for severity in range(1, 6)]
    assert times == sorted(times)
    assert times[0] == pytest.approx(0.2, rel=0.15)
    clarity = [suite[f"measured_room:{severity}"].nominal["c50_db"] for severity in range(1, 6)]
    assert clarity == sorted(clarity, reverse=True)
    assert sum(len(banks_of(suite[f"room:{s}"].policy)[0]) for s in range(1, 6)) == 6


def test_one_given_room_is_at_every_severity(tmp_path: Path) -> None:
    audio.write(tmp_path / "only.wav", [0.9, 0.5, 0.2], 16_000)
    suite = load_suite("full", rooms=tmp_path)
    assert {banks_of(suite[f"room:{s}"].policy)[0].names for s in range(1, 6)} == {("only.wav",)}


def test_far_field_rooms_have_the_noise_of_the_same_room() -> None:
    noise = sa.Bank(SOUNDS / "noise", sample_rate=16_000)
    policy = load_suite("full")["far_field:4"].policy
    assert policy is not None
    (choice,) = policy.members  # type: ignore[attr-defined]
    for pair in choice.members:
        talker, noises = banks_of(pair)
        room = talker.names[0]
        response = audio.read(SOUNDS / "far_field" / "t60_0.9" / room)[0][0].astype(np.float64)
        clip = noise.clip(noise.names.index(noises.names[1])).astype(np.float64)
        expected = np.convolve(clip, response)[: len(clip)]
        heard = noises.clip(1)
        cosine = np.dot(heard, expected) / np.linalg.norm(heard) / np.linalg.norm(expected)
        assert cosine > 0.9999


# What was trained.


def training_policy() -> sa.Transform:
    noise = sa.Bank(FIXTURES / "noise" / "train", sample_rate=16_000)
    rooms = sa.Bank(FIXTURES / "rir" / "train", sample_rate=16_000)
    return presets.small_sample(noise, rooms)


def test_held_out_family_is_in_no_preset() -> None:
    suite = load_suite("full")
    held_out = {c.corruption for c in suite.conditions if c.held_out}
    assert held_out == {"clipping", "packet_loss", "dropouts", "low_level", "gain_steps", "enhancement"}
    marks = trained_marks(suite, [training_policy(), *map(presets.specaugment, ("LD", "small", "adaptive"))])
    assert not any(marks[c.name] for c in suite.conditions if c.held_out)


def test_marks_name_what_a_training_did() -> None:
    suite = load_suite("full")
    marks = trained_marks(suite, [training_policy(), None])
    trained = {c.corruption for c in suite.conditions if marks[c.name]}
    single = {"white", "pink", "brown", "competing_talker", "environment", "music", "room", "measured_room"}
    channels = {"low_pass", "high_pass", "telephone", "mu_law", "device_eq"}
    pace = {"speed_up", "speed_down", "tempo_up", "tempo_down"}
    assert trained & set(SINGLE) == single | channels | pace | {"far_field"}
    assert {"street_call", "child_across_the_room"} <= trained
    assert "whisper_at_night" not in trained
    assert not marks["clean"]
    assert not any(trained_marks(suite, [None]).values())


def test_marks_look_at_the_side_and_the_colour() -> None:
    faster, slower = (sa.TimeStretch(rate=(f, f)) for f in (1.2, 0.8))
    assert not trained_with([faster], slower)
    assert trained_with([sa.TimeStretch(rate=(0.9, 1.1))], slower)
    white, brown = (sa.AddColoredNoise(exponent=(e, e)) for e in (0.0, -2.0))
    assert not trained_with([white], brown)
    assert not trained_with([dataclasses.replace(white, p=0.0)], white)
    assert not trained_with([sa.Compose([sa.Gain(), sa.Polarity()])], sa.Gain())
    assert trained_with([sa.OneOf([sa.Compose([sa.LowPass()]), sa.Gain()])], sa.LowPass())
    assert trained_with([sa.Clipping()], sa.PercentileClipping())
    assert trained_with([sa.PercentileClipping()], sa.Clipping())


def test_marks_of_sets_read_from_disk() -> None:
    suite = load_suite("tiny")
    bare = tuple(dataclasses.replace(c, policy=None, known_hash=c.hash) for c in suite.conditions)
    read = dataclasses.replace(suite, conditions=bare)
    policy = training_policy()
    assert trained_marks(read, [policy]) == trained_marks(suite, [policy])


@pytest.mark.parametrize(
    ("name", "policy", "trained"),
    [
        ("gnoise:1", sa.AddColoredNoise(exponent=(0.0, 0.0)), True),  # of Speech Robust Bench alone
        ("gnoise:1", sa.AddColoredNoise(exponent=(-2.0, -2.0)), False),
        ("white:7", sa.AddColoredNoise(exponent=(0.0, 0.0)), True),  # of another maker, with more severities than ours
        ("low_pass:1", sa.LowPass(), True),  # not ours at this rate
        ("enhancement:2", sa.AddNoise(bank=sa.Bank.from_arrays([np.ones(80)], sample_rate=8_000)), False),
        ("cafe:1", sa.AddColoredNoise(), False),
    ],
)
def test_marks_of_a_set_that_anyone_made(name: str, policy: sa.Transform, trained: bool) -> None:
    """Its corruption is known by its name alone, whatever severities and rates there are."""
    made = Condition(name, name.partition(":")[0], "foreign", 1, None, {}, known_hash="00")
    assert trained_marks(Suite("theirs", 0, "foreign", 8_000, (made,)), [policy]) == {name: trained}


def test_no_clip_of_ours_is_in_training_and_in_the_suite() -> None:
    banks = [bank for c in load_suite("full").conditions if c.policy is not None for bank in banks_of(c.policy)]
    assert shared_clips(banks_of(training_policy()), banks) == []


def test_clips_of_one_recording_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    names = {
        "train": ("3-68630-A-40.wav", "rain.wav", "0001.wav"),
        "test": ("3-68630-B-40.flac", "sub/RAIN.flac", "0001.flac"),
    }
    for folder, files in names.items():
        for name in files:
            audio.write(tmp_path / folder / name, 0.1 * rng.standard_normal(400), 8_000)
    copy = audio.read(tmp_path / "train" / "0001.wav")[0]
    audio.write(tmp_path / "test" / "other.flac", copy, 8_000)
    train, test = (sa.Bank(tmp_path / folder, sample_rate=8_000) for folder in names)
    found = {(shared.trained, shared.tested, shared.same) for shared in shared_clips([train], [test])}
    assert found == {
        ("3-68630-A-40.wav", "3-68630-B-40.flac", "source"),
        ("rain.wav", "sub/RAIN.flac", "source"),
        ("0001.wav", "other.flac", "audio"),
    }


def test_every_transform_of_the_catalogue_is_fixed() -> None:
    """What is nominal is not drawn: the ends of its range are one."""
    drawn = {"gain_db": ("Equalizer", "GainSteps"), "delay_ms": ("Chorus",)}
    for condition in load_suite("full").conditions:
        for _, leaf in leaves(condition.policy) if condition.policy is not None else ():
            for name in condition.nominal:
                value = getattr(leaf, name, None)
                if isinstance(value, tuple) and type(leaf).__name__ not in drawn.get(name, ()):
                    assert value[0] == value[1], (condition.name, name)
