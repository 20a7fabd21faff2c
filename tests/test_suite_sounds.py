"""The suite's own sounds: rooms measure what their folder says, nothing clips, no sound is in other fixtures too."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy import signal, stats

FIXTURES = Path(__file__).parents[1] / "fixtures"
SUITE = FIXTURES / "suite"
FILES = {
    kind: sorted(path.relative_to(SUITE).as_posix() for path in (SUITE / kind).rglob("*.flac"))
    for kind in ("noise", "music", "babble", "rooms", "far_field", "measured_like")
}
ALL = [name for names in FILES.values() for name in names]
DRR_DB = {0.2: 6.0, 0.4: 3.0, 0.6: 0.0, 0.9: -3.0, 1.3: -6.0}
FACTS = json.loads((SUITE / "suite.json").read_text(encoding="utf-8"))


@cache
def read(name: str) -> NDArray[Any]:
    samples, sample_rate = soundfile.read(SUITE / name, dtype="float64", always_2d=True)
    assert (sample_rate, samples.shape[1]) == (16_000, 1)
    return samples[:, 0]


def nominal(name: str) -> float:
    """The number in the folder's name."""
    return float(name.split("/")[1].split("_")[1])


def t60_s(response: NDArray[Any]) -> float:
    """T30 by ISO 3382: regression over -5 to -35 dB of the Schroeder curve."""
    decay = np.flip(np.cumsum(np.flip(response**2)))
    level_db = 10 * np.log10(decay / decay[0] + 1e-12)
    first, last = np.argmax(level_db <= -5.0), np.argmax(level_db <= -35.0)
    line = stats.linregress(np.arange(first, last) / 16_000, level_db[first:last])
    return float(-60.0 / line.slope)


def share_db(response: NDArray[Any], start_s: float, stop_s: float) -> float:
    """Energy between two moments around the direct sound over the energy outside, in dB."""
    moments = (np.arange(len(response)) - np.abs(response).argmax()) / 16_000
    inside = (moments >= start_s) & (moments <= stop_s)
    return float(10 * np.log10((response[inside] ** 2).sum() / (response[~inside] ** 2).sum()))


def drr_db(response: NDArray[Any]) -> float:
    return share_db(response, -0.0025, 0.0025)


def c50_db(response: NDArray[Any]) -> float:
    return share_db(response, -1.0, 0.05 - 1e-9)


def test_there_is_what_the_readme_says() -> None:
    readme = (SUITE / "README.md").read_text(encoding="utf-8")
    assert {kind: len(names) for kind, names in FILES.items()} == {
        "noise": 16,
        "music": 4,
        "babble": 10,
        "rooms": 20,
        "far_field": 20,
        "measured_like": 20,
    }
    assert all(re.search(rf"`{Path(name).stem.split('_')[0]}`", readme) for name in FILES["noise"] + FILES["music"])
    assert sum((SUITE / name).stat().st_size for name in ALL) < 3_000_000
    listed = {f"{kind}/{name}.flac" for kind, rooms in FACTS.items() for name in rooms}
    assert listed == set(FILES["rooms"] + FILES["far_field"] + FILES["measured_like"])


@pytest.mark.parametrize("name", ALL)
def test_16_bit_not_silent_not_clipped(name: str) -> None:
    assert soundfile.info(SUITE / name).subtype == "PCM_16"
    assert 0.01 < np.abs(read(name)).max() < 0.99


def test_nothing_is_shared_with_other_fixtures() -> None:
    def pcm(path: Path) -> str:
        return hashlib.sha256(soundfile.read(path, dtype="int16")[0].tobytes()).hexdigest()

    ours = [pcm(SUITE / name) for name in ALL]
    others = {pcm(path) for path in FIXTURES.rglob("*.flac") if SUITE not in path.parents}
    assert len(set(ours)) == len(ours)
    assert not set(ours) & others
    kinds = {Path(name).parts[1] for name in FILES["noise"]} | {Path(name).stem for name in FILES["music"]}
    taken = {path.name for path in (FIXTURES / "noise").glob("*/*")}
    assert not kinds & taken
    speakers = {path.stem.rsplit("_", 1)[0] for path in (FIXTURES / "speech").glob("*.flac")}
    assert not {Path(name).stem for name in FILES["babble"]} & {part for name in speakers for part in name.split("_")}


@pytest.mark.parametrize("name", FILES["rooms"])
def test_room_has_its_reverberation_and_its_direct_sound(name: str) -> None:
    response = read(name)
    assert t60_s(response) == pytest.approx(nominal(name), rel=0.05)
    assert drr_db(response) == pytest.approx(DRR_DB[nominal(name)], abs=0.1)


@pytest.mark.parametrize("name", FILES["far_field"])
def test_noise_is_in_the_same_room_and_farther_away(name: str) -> None:
    response, speech = read(name), read(name.replace("far_field", "rooms"))
    assert t60_s(response) == pytest.approx(nominal(name), rel=0.05)
    assert drr_db(response) < drr_db(speech) - 2.0
    own, other = (FACTS[kind][name.removeprefix("far_field/")[:-5]] for kind in ("far_field", "rooms"))
    assert all(own[what] == other[what] for what in ("size_m", "microphone_m"))
    assert own["source_m"] != other["source_m"]


@pytest.mark.parametrize("name", FILES["measured_like"])
def test_measured_like_room_has_its_clarity(name: str) -> None:
    response = read(name)
    assert c50_db(response) == pytest.approx(nominal(name), abs=0.2)
    end = response[-800:-320]
    floor_db = 20 * np.log10(np.sqrt(np.mean(end**2)) / np.abs(response).max())
    assert -75.0 < floor_db < -45.0, "there is a floor, as in a measurement, and it is low"


@pytest.mark.parametrize("name", FILES["rooms"] + FILES["far_field"] + FILES["measured_like"])
def test_facts_are_what_is_measured(name: str) -> None:
    kind, _, rest = name.partition("/")
    measured = FACTS[kind][rest.removesuffix(".flac")]["measured"]
    again = {"t60_s": t60_s, "drr_db": drr_db, "c50_db": c50_db}
    for what, value in measured.items():
        assert again[what](read(name)) == pytest.approx(value, abs=0.05, rel=0.01), what


@pytest.mark.parametrize("name", FILES["rooms"] + FILES["measured_like"])
def test_direct_sound_is_the_peak_and_nothing_comes_before(name: str) -> None:
    response = read(name)
    peak = int(np.abs(response).argmax())
    assert 15 <= peak < 400
    assert np.abs(response[: peak - 16]).max(initial=0.0) < 0.02 * np.abs(response[peak])


@pytest.mark.parametrize("name", FILES["noise"] + FILES["music"])
def test_noise_is_long_and_goes_on(name: str) -> None:
    samples = read(name)
    assert 3.8 <= len(samples) / 16_000 <= 6.4
    halves = samples[: len(samples) // 8_000 * 8_000].reshape(-1, 8_000)
    level = np.sqrt(np.mean(halves**2, axis=1))
    assert 20 * np.log10(np.sqrt(np.mean(samples**2))) == pytest.approx(-46.0, abs=0.1)
    assert level.min() > 0.1 * level.mean()


def test_two_clips_of_a_kind_differ_and_kinds_sound_different() -> None:
    spectra = {name: 10 * np.log10(signal.welch(read(name), 16_000, nperseg=256)[1][2:]) for name in FILES["noise"]}
    for one in FILES["noise"]:
        for two in FILES["noise"]:
            if one < two:
                n = min(len(read(one)), len(read(two)))
                assert abs(np.corrcoef(read(one)[:n], read(two)[:n])[0, 1]) < 0.2
                if Path(one).parent != Path(two).parent:
                    assert np.abs(spectra[one] - spectra[two]).mean() > 1.5, (one, two)


@pytest.mark.parametrize("name", FILES["babble"])
def test_talker_speaks(name: str) -> None:
    samples = read(name)
    assert 5.5 <= len(samples) / 16_000 <= 6.5
    level = np.sqrt(np.mean(samples[: len(samples) // 800 * 800].reshape(-1, 800) ** 2, axis=1))
    assert np.mean(level > 0.1 * level.max()) > 0.6, "speech for most of the time"
    assert level.min() < 0.05 * level.max(), "with pauses"
    # Voiced: the autocorrelation of loud pieces peaks at a period of 60 to 400 Hz.
    loud = [piece for piece in samples[: len(samples) // 800 * 800].reshape(-1, 800) if piece.std() > 0.5 * level.max()]
    voiced = []
    for piece in loud:
        correlation = signal.correlate(piece, piece)[799:]
        voiced.append(correlation[40:266].max() > 0.4 * correlation[0])
    assert np.mean(voiced) > 0.7
