"""Rendering: what is nominal is reached, nothing depends on worker, order or severity, and bad input is refused."""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_level import p56, speech_like

import speechaug as sa
from speechaug._threads import one_thread
from speechaug.augmenter import leaves
from speechaug.robustness.render import Rendered, render
from speechaug.robustness.suite import Condition, load_suite

RATES = (8_000, 16_000)
ADDITIVE = ("white", "pink", "brown", "speech_shaped", "babble", "competing_talker", "environment", "music", "hum")
ADDITIVE_SRB = ("gnoise", "env_noise", "crosstalk")
FLOAT = NDArray[np.float32]


def speech(rate: int, seconds: float = 2.0, seed: int = 4) -> FLOAT:
    x = speech_like(np.random.default_rng(seed), seconds, rate, 0.7)
    samples: FLOAT = (0.1 * x / np.sqrt(np.mean(x**2))).astype(np.float32).clip(-0.9, 0.9)
    return samples


def conditions(rate: int) -> list[Condition]:
    return [*load_suite("full", sample_rate=rate).conditions, *load_suite("srb", sample_rate=rate).conditions]


@pytest.fixture(scope="module", params=RATES)
def rendered(request: pytest.FixtureRequest) -> tuple[int, FLOAT, list[tuple[Condition, Rendered]]]:
    rate = request.param
    x = speech(rate)
    return rate, x, [(c, render(c, x, rate, id="utt")) for c in conditions(rate)]


Everything = tuple[int, FLOAT, list[tuple[Condition, Rendered]]]


def test_every_condition_is_sound(rendered: Everything) -> None:
    _, x, outputs = rendered
    for condition, (y, realised) in outputs:
        assert y.dtype == np.float32
        assert np.isfinite(y).all()
        assert np.abs(y).max() <= 1.0
        assert np.abs(y).max() > 1e-3, condition.name
        assert all(isinstance(value, float) and math.isfinite(value) for value in realised.values())
        if condition.policy is None:
            assert np.array_equal(y, x)
        else:
            assert len(y) != len(x) or not np.array_equal(y, x), condition.name


def test_lengths_follow_the_tempo_alone(rendered: Everything) -> None:
    _, x, outputs = rendered
    for condition, (y, _) in outputs:
        tempo = condition.nominal.get("rate", condition.nominal.get("factor", 1.0))
        expected = len(x) if condition.corruption in RESAMPLED else round(len(x) / tempo)
        assert abs(len(y) - expected) <= 1, condition.name


TOLERANCES = {
    "snr_db": 0.1,
    "delay_ms": 0.1,
    "cutoff_hz": 1.0,
    "low_hz": 1.0,
    "high_hz": 1.0,
    "clipped_fraction": 0.002,
    "level_dbfs": 0.1,
    "gain_db": 0.1,
    "depth": 0.01,
    "rate": 0.001,
    "factor": 0.001,
}
RESAMPLED = ("downsample", "resample")  # their filters end up to 3 % below the lower rate's Nyquist frequency


def test_what_is_nominal_is_realised(rendered: Everything) -> None:
    """Rooms are held to their values in test_suite, clip by clip."""
    rate, _, outputs = rendered
    checked = set()
    for condition, (y, realised) in outputs:
        for name, tolerance in TOLERANCES.items():
            if name in condition.nominal and name in realised:
                share = 0.03 if condition.corruption in RESAMPLED else 0.0
                assert realised[name] == pytest.approx(condition.nominal[name], share, tolerance), condition.name
                checked.add(name)
        if "loss_rate" in condition.nominal:
            frames = math.ceil(len(y) / (rate // 50))
            assert realised["loss_rate"] == round(condition.nominal["loss_rate"] * frames) / frames
    assert checked == set(TOLERANCES)


def test_every_condition_that_can_be_measured_is(rendered: Everything) -> None:
    """The settings of a filter, a room, a level and a loss are measured; bits, bit rates and voices are not."""
    measured = {"snr_db", "t60_s", "drr_db", "c50_db", "loss_rate", "clipped_fraction", "cutoff_hz", "low_hz"}
    measured |= {"high_hz", "level_dbfs", "rate", "factor", "depth"}
    for condition, (_, realised) in rendered[2]:
        assert measured & set(condition.nominal) <= set(realised), condition.name


def test_noise_is_at_its_ratio_by_another_measurement(rendered: Everything) -> None:
    """Speech by P.56 followed sample by sample, noise by what is left when the speech is taken away."""
    rate, x, outputs = rendered
    active_db, rms_db = p56(x.astype(np.float64), rate), 10.0 * math.log10(np.mean(x.astype(np.float64) ** 2))
    for condition, (y, realised) in outputs:
        if condition.corruption in (*ADDITIVE, *ADDITIVE_SRB):
            ((_, transform),) = leaves(condition.policy)  # type: ignore[arg-type]
            level_db = active_db if transform.reference == "active" else rms_db  # type: ignore[attr-defined]
            assert condition in load_suite("srb", sample_rate=rate).conditions or level_db == active_db
            scale = 10.0 ** (realised.get("rescaled_db", 0.0) / 20.0)
            noise = y.astype(np.float64) * scale - x
            snr_db = level_db - 10.0 * math.log10(np.mean(noise**2))
            assert snr_db == pytest.approx(condition.nominal["snr_db"], abs=0.1), condition.name
            assert realised["snr_db"] == pytest.approx(snr_db, abs=0.1), condition.name


def test_lost_frames_are_silent_and_as_many_as_asked_for() -> None:
    rate = 16_000
    x = speech(rate, 3.0)
    for severity in range(1, 6):
        condition = load_suite("full")[f"packet_loss:{severity}"]
        y, _ = render(condition, x, rate, id="utt")
        before, after = x.reshape(-1, 320), y.reshape(-1, 320)
        lost = (after == 0.0).all(axis=1)
        assert lost.sum() == round(condition.nominal["loss_rate"] * len(after))
        assert np.array_equal(after[~lost], before[~lost])


def test_clipped_samples_are_counted_by_the_eye() -> None:
    x = speech(16_000)
    for severity in range(1, 6):
        condition = load_suite("full")[f"clipping:{severity}"]
        y, _ = render(condition, x, 16_000, id="utt")
        changed = np.mean(y != x)
        assert changed == pytest.approx(condition.nominal["clipped_fraction"], abs=0.001)
        assert np.unique(np.abs(y[y != x])).size == 1


def test_noise_grows_with_severity() -> None:
    x = speech(16_000)
    for name in ADDITIVE:
        outputs = [render(load_suite("full")[f"{name}:{s}"], x, 16_000, id="u").samples for s in (1, 3)]
        powers = [np.mean((y - x) ** 2) for y in outputs]
        assert powers[1] > 5.0 * powers[0]


def test_severities_share_what_is_drawn() -> None:
    """The same stretch of the same clip, louder."""
    x = speech(16_000)
    for name in ("white", "babble", "environment", "music"):
        suite = load_suite("full")
        one, two = ((render(suite[f"{name}:{s}"], x, 16_000, id="u").samples - x).astype(np.float64) for s in (1, 2))
        cosine = np.dot(one, two) / np.linalg.norm(one) / np.linalg.norm(two)
        assert cosine > 0.999
    lost = [render(load_suite("full")[f"packet_loss:{s}"], x, 16_000, id="u").samples == 0.0 for s in (2, 3)]
    assert lost[0].sum() < lost[1].sum()


def test_a_rendering_depends_on_id_seed_and_draw() -> None:
    condition, x = load_suite("tiny")["environment:3"], speech(16_000)
    base = render(condition, x, 16_000, id="u").samples
    assert np.array_equal(base, render(condition, x, 16_000, id="u", seed=0, draw=0).samples)
    for other in ({"id": "v"}, {"id": "u", "seed": 1}, {"id": "u", "draw": 1}):
        assert not np.array_equal(base, render(condition, x, 16_000, **other).samples)


def _bytes(name: str) -> bytes:
    return render(load_suite("full")[name], speech(16_000), 16_000, id="utt").samples.tobytes()


NAMES = ("white:3", "babble:2", "room:4", "far_field:3", "tempo_down:4", "pitch_up:3", "mp3:3", "street_call:2")


def test_same_bytes_in_another_process_in_another_order_and_on_more_threads() -> None:
    here = {name: _bytes(name) for name in NAMES}
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert {name: _bytes(name) for name in reversed(NAMES)} == here
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert dict(zip(NAMES, pool.map(_bytes, NAMES), strict=True)) == here


def test_the_policy_alone_does_the_same() -> None:
    x = speech(16_000)
    for name in ("white:5", "treble:5", "street_call:4"):
        condition = load_suite("full")[name]
        assert condition.policy is not None
        rng = sa.Rng.from_ids(seed=0, epoch=0, ids=["utt"]).fork("speechaug-C 1").fork(condition.corruption)
        with one_thread():
            y, _ = condition.policy(torch.from_numpy(x)[None], None, condition.policy.sample(rng), sample_rate=16_000)
        expected = render(condition, x, 16_000, id="utt").samples
        assert np.allclose(y[0].numpy(), expected, atol=2e-7)


def test_what_is_too_loud_is_scaled_down_and_told() -> None:
    x = speech(16_000) * np.float32(3.0)
    y, realised = render(load_suite("full")["white:5"], x, 16_000, id="utt")
    assert np.abs(y).max() == pytest.approx(1.0, abs=1e-6)
    assert realised["rescaled_db"] > 3.0
    assert realised["snr_db"] == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_odd_input_is_rendered(rate: int) -> None:
    rng = np.random.default_rng(0)
    short = 0.1 * rng.standard_normal(60)
    odd = [np.zeros(0), np.full(1, 0.5), np.zeros(rate // 4), short, 1e-7 * short, np.sign(speech(rate, 0.3))]
    for condition in conditions(rate):
        for x in odd:
            y, realised = render(condition, x, rate, id="odd")
            assert np.isfinite(y).all()
            assert np.abs(y).max(initial=0.0) <= 1.0
            assert all(map(math.isfinite, realised.values()))
            assert len(y) > 0 or len(x) == 0


def test_bad_input_is_refused() -> None:
    condition = load_suite("tiny")["white:3"]
    with pytest.raises(ValueError, match=r"finite, got NaN or infinity for 'u7'"):
        render(condition, np.array([0.1, np.nan]), 16_000, id="u7")
    with pytest.raises(ValueError, match=r"must be \(T,\), got shape \(1, 3\) for 'u7'"):
        render(condition, np.zeros((1, 3)), 16_000, id="u7")
    with pytest.raises(ValueError, match="bank must have the batch's rate of 8000 Hz, got 16000 Hz"):
        render(load_suite("tiny")["environment:3"], np.ones(8), 8_000, id="u7")


def test_input_is_left_alone() -> None:
    x = speech(16_000, 0.5)
    kept = x.copy()
    for condition in load_suite("tiny").conditions:
        y = render(condition, x, 16_000, id="u").samples
        y[:] = 0.0
    assert np.array_equal(x, kept)
