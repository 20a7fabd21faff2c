"""The fixtures are what their README says: small, whole, and without leaks between training and test."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

FIXTURES = Path(__file__).parents[1] / "fixtures"
SPLITS = ("train", "test")
DIGITS = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
AUDIO = sorted(path.relative_to(FIXTURES).as_posix() for path in FIXTURES.rglob("*.flac"))


@cache
def read(name: str) -> NDArray[Any]:
    samples, sample_rate = soundfile.read(FIXTURES / name, dtype="int16", always_2d=True)
    assert (sample_rate, samples.shape[1]) == (16_000, 1)
    return np.asarray(samples[:, 0], dtype=np.float64) / 32_768


@cache
def manifest(split: str) -> list[dict[str, Any]]:
    lines = (FIXTURES / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def bounds(line: dict[str, Any]) -> tuple[int, int]:
    start = line["offset"] * 16_000
    stop = start + line["duration"] * 16_000
    assert max(abs(start - round(start)), abs(stop - round(stop))) < 1e-6, "segments start and end on samples"
    return round(start), round(stop)


def rms(samples: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def hashes(folder: str) -> list[str]:
    return [hashlib.sha256(read(name).tobytes()).hexdigest() for name in AUDIO if name.startswith(folder)]


def test_everything_is_under_8_mb() -> None:
    files = [path for path in FIXTURES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 8_000_000


@pytest.mark.parametrize("name", AUDIO)
def test_audio_is_16_khz_mono_neither_silent_nor_clipped(name: str) -> None:
    samples = read(name)
    assert soundfile.info(FIXTURES / name).subtype == "PCM_16"
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() < 0.99
    assert rms(samples) > 0.002
    assert abs(samples.mean()) < 0.1 * rms(samples)


def test_every_digit_of_every_voice_and_take_is_listed_once() -> None:
    lines = manifest("train") + manifest("test")
    assert len({line["id"] for line in lines}) == len(lines)
    takes: dict[str, list[str]] = {}
    for line in lines:
        takes.setdefault(line["audio"], []).append(line["text"])
    assert set(takes) == {name for name in AUDIO if name.startswith("speech/")}
    assert all(len(words) == 10 and set(words) == DIGITS for words in takes.values())
    speakers = {line["audio"]: line["speaker"] for line in lines}
    assert all(list(speakers.values()).count(speaker) == 2 for speaker in set(speakers.values()))


def test_test_speakers_are_strangers() -> None:
    train, test = ({line["speaker"] for line in manifest(split)} for split in SPLITS)
    assert not train & test
    assert len(train | test) >= 24
    assert len(test) >= 8
    assert all(any(name.startswith("flite") for name in names) for names in (train, test))
    # No synthesizer voice under two names across the splits: the second word is the variant.
    assert not {name.split("_")[1] for name in train} & {name.split("_")[1] for name in test}


@pytest.mark.parametrize("split", SPLITS)
def test_segments_hold_speech_and_gaps_hold_none(split: str) -> None:
    for line in manifest(split):
        samples, (start, stop) = read(line["audio"]), bounds(line)
        assert 0 <= start < stop <= len(samples), line["id"]
        assert 0.2 <= line["duration"] <= 0.9, line["id"]
        before, after = samples[max(0, start - 1_600) : start], samples[stop : stop + 1_600]
        assert len(before) == len(after) == 1_600, line["id"]
        assert rms(samples[start:stop]) > 100 * max(rms(before), rms(after)), line["id"]
        middle = samples[start:stop][(stop - start) // 10 : -(stop - start) // 10]
        assert rms(middle) > 0.5 * rms(samples[start:stop]), line["id"]


@pytest.mark.parametrize("split", SPLITS)
def test_segments_of_a_take_follow_each_other(split: str) -> None:
    lines = manifest(split)
    for one, two in pairwise(lines):
        assert one["audio"] != two["audio"] or bounds(one)[1] < bounds(two)[0]


def test_no_two_utterances_are_the_same_audio() -> None:
    lines = manifest("train") + manifest("test")
    pieces = {read(line["audio"])[slice(*bounds(line))].tobytes() for line in lines}
    assert len(pieces) == len(lines)


@pytest.mark.parametrize("kind", ["noise", "rir"])
def test_no_noise_and_no_room_is_in_both_splits(kind: str) -> None:
    train, test = hashes(f"{kind}/train/"), hashes(f"{kind}/test/")
    assert len(set(train + test)) == len(train) + len(test)
    assert (len(train), len(test)) == {"noise": (10, 8), "rir": (8, 4)}[kind]


def test_noise_kinds_differ_between_the_splits() -> None:
    train, test = ({path.name for path in (FIXTURES / "noise" / split).iterdir()} for split in SPLITS)
    assert not train & test


@pytest.mark.parametrize("name", [name for name in AUDIO if name.startswith("noise/")])
def test_noise_fills_its_clip(name: str) -> None:
    samples = read(name)
    assert 3.0 <= len(samples) / 16_000 <= 4.0
    assert 20 * np.log10(rms(samples)) == pytest.approx(-38.0, abs=0.1)
    seconds = samples[: len(samples) // 8_000 * 8_000].reshape(-1, 8_000)
    assert min(rms(half) for half in seconds) > 0.1 * rms(samples)


@pytest.mark.parametrize("name", [name for name in AUDIO if name.startswith("rir/")])
def test_room_starts_with_a_delay_then_peaks_at_the_direct_sound_and_decays(name: str) -> None:
    response = read(name)
    peak = int(np.abs(response).argmax())
    assert 32 <= peak < 320
    assert len(response) <= 0.8 * 16_000
    assert np.abs(response[: peak - 16]).max() < 1e-3, "nothing arrives before the direct sound"
    rest = np.delete(response, np.arange(peak - 16, peak + 17))
    assert np.abs(rest).max() < 0.6 * np.abs(response[peak])
    assert 0.15 < reverberation_time(response) < 1.0


def test_rooms_reverberate_differently() -> None:
    times = sorted(reverberation_time(read(name)) for name in AUDIO if name.startswith("rir/"))
    assert times[0] < 0.25
    assert times[-1] > 0.7
    assert all(b - a > 0.01 for a, b in pairwise(times))


def reverberation_time(response: NDArray[Any]) -> float:
    """T20 after Schroeder: the slope from -5 to -25 dB of the energy still to come."""
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    level = 10 * np.log10(energy / energy[0] + 1e-12)
    inside = np.flatnonzero((level < -5) & (level > -25))
    return float(-60 / np.polyfit(inside / 16_000, level[inside], 1)[0])


def test_readme_names_every_voice_noise_and_room() -> None:
    readme = (FIXTURES / "README.md").read_text(encoding="utf-8")
    names = {line["speaker"] for split in SPLITS for line in manifest(split)}
    names |= {Path(name).stem for name in AUDIO if not name.startswith(("speech/", "suite/"))}
    assert not {name for name in names if name not in readme}
