"""Is the result physically right? A row that is not gets no speed.

Oracles are formulas: what a tone becomes, a measured SNR, NumPy's convolution.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import speechaug as sa
from benchmarks.batch import RATE, Batch
from benchmarks.subject import applied, drawn, given

Array = NDArray[np.float64]

_CENTS = 10.0
_SNR_DB = 0.1


def _through(transform: sa.Transform, x: Array, batch: Batch) -> tuple[Array, NDArray[np.int64], sa.Draws]:
    """Send rows, as many as the batch has, through a transform on the batch's device."""
    draws = drawn(transform, batch)
    y, lengths = applied(transform, torch.from_numpy(x.astype(np.float32)).to(batch.device), draws)
    return y.double().cpu().numpy(), lengths.cpu().numpy(), draws


def _tones(batch: Batch, frequency_hz: Array) -> Array:
    """One second of harmonics of each row's frequency, the fundamental loudest."""
    phase = 2 * np.pi * frequency_hz[:, None] * np.arange(RATE) / RATE
    return np.asarray(0.2 * sum(np.sin(k * phase) / k**2 for k in range(1, 5)))


def _peak_hz(y: Array) -> float:
    """Frequency of the loudest partial, between bins by a parabola through the logarithms."""
    middle = y[len(y) // 8 : -len(y) // 8]
    level = np.log(np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) + 1e-12)
    top = int(level[1:-1].argmax()) + 1
    left, peak, right = level[top - 1 : top + 2]
    return float((top + 0.5 * (left - right) / (left - 2 * peak + right)) * RATE / len(middle))


def _in_tune(y: Array, lengths: NDArray[np.int64], wanted_hz: Array, cents: float = _CENTS) -> None:
    found = np.array([_peak_hz(row[:length]) for row, length in zip(y, lengths, strict=True)])
    worst = np.abs(1_200 * np.log2(found / wanted_hz)).max()
    assert worst <= cents, f"a tone is off by {worst:.1f} cents"


def pitch(transform: sa.Transform, batch: Batch) -> None:
    """Tones land where the semitones say; lengths stay."""
    tone_hz = np.linspace(150.0, 400.0, batch.rows)
    y, lengths, draws = _through(transform, _tones(batch, tone_hz), batch)
    assert (lengths == RATE).all(), "lengths changed"
    _in_tune(y, lengths, tone_hz * 2 ** (draws.values["semitones"] / 12))


def stretch(transform: sa.Transform, batch: Batch) -> None:
    """Tones stay; lengths follow the rate."""
    tone_hz = np.linspace(150.0, 400.0, batch.rows)
    y, lengths, draws = _through(transform, _tones(batch, tone_hz), batch)
    assert (lengths == np.rint(RATE / draws.values["rate"])).all(), "lengths are not those of the rates"
    _in_tune(y, lengths, tone_hz)


def speed(transform: sa.Speed, batch: Batch, least_db: float) -> None:
    """Tones and lengths follow the factor; at 0.9, tones up to 0.85 of Nyquist are met by ``least_db``."""
    tone_hz = np.linspace(150.0, 400.0, batch.rows)
    y, lengths, draws = _through(transform, _tones(batch, tone_hz), batch)
    factor = draws.values["factor"]
    assert (lengths == np.rint(RATE / factor)).all(), "lengths are not those of the factors"
    _in_tune(y, lengths, tone_hz * factor, cents=1.0)
    slow = dataclasses.replace(transform, factor=(0.9, 0.9))
    many = np.tile(_multisine(np.arange(2.0 * RATE)), (batch.rows, 1))
    y, lengths, _ = _through(slow, many, batch)
    wanted = _multisine(0.9 * np.arange(lengths[0]))
    inside = slice(400, lengths[0] - 400)
    error = np.square(y[0, inside] - wanted[inside]).sum()
    reached = 10 * np.log10(np.square(wanted[inside]).sum() / error)
    assert reached >= least_db, f"SNR up to 0.85 of Nyquist is {reached:.1f} dB, not {least_db:g}"


def _multisine(sample: Array) -> Array:
    rng = np.random.default_rng(3)
    frequencies = np.append(rng.uniform(0.01, 0.85, 39), 0.85)
    return np.asarray(sum(np.sin(np.pi * f * sample + rng.uniform(0.0, 6.0)) for f in frequencies) / 20)


def noise(transform: sa.Transform, batch: Batch) -> Array:
    """What was added is as loud as the SNR says, and differs from row to row; returns it."""
    clean = np.stack(batch.clips).astype(np.float64)
    y, _, draws = _through(transform, clean, batch)
    added = y - clean
    snr_db = 10 * np.log10(np.square(clean).sum(1) / np.square(added).sum(1))
    worst = np.abs(snr_db - draws.values["snr_db"]).max()
    assert worst <= _SNR_DB, f"an SNR is off by {worst:.2f} dB"
    unit = added / np.linalg.norm(added, axis=1, keepdims=True)
    likeness = np.abs(unit @ unit.T - np.eye(batch.rows)).max()
    assert likeness < 0.1, f"two rows got similar noise ({likeness:.2f})"
    return added


def white_noise(transform: sa.Transform, batch: Batch) -> None:
    """As :func:`noise`; Gaussian (kurtosis 3) and white (neighbours independent)."""
    added = noise(transform, batch)
    added /= added.std(axis=1, keepdims=True)
    few = 6.0 / np.sqrt(added.size)
    kurtosis = (added**4).mean()
    assert abs(kurtosis - 3.0) < 5.0 * few, f"kurtosis is {kurtosis:.3f}"
    neighbours = (added[:, 1:] * added[:, :-1]).mean()
    assert abs(neighbours) < few, f"neighbours are correlated ({neighbours:.4f})"


def low_pass(transform: sa.Transform, batch: Batch) -> None:
    """A tone at the cut-off of a row loses half its power."""
    cutoff_hz = drawn(transform, batch).values["cutoff_hz"]
    tone = np.sin(2 * np.pi * cutoff_hz[:, None] * np.arange(RATE) / RATE)
    y, _, _ = _through(transform, tone, batch)
    power = np.square(y[:, 4_000:-4_000]).mean(1) / np.square(tone[:, 4_000:-4_000]).mean(1)
    worst = np.abs(10 * np.log10(2 * power)).max()
    assert worst < 0.05, f"the power at a cut-off is off by {worst:.2f} dB"


def reverb(transform: sa.Transform, batch: Batch) -> None:
    """NumPy's convolution with the response, scaled to unit energy, its direct path at time 0."""
    clean = np.stack(batch.clips).astype(np.float64)
    y, _, draws = _through(transform, clean, batch)
    for row, clip in enumerate(draws.values["clip"][:4]):
        room = batch.rooms[clip].astype(np.float64)
        room /= np.linalg.norm(room)
        size, direct = clean.shape[1] + len(room), int(np.abs(room).argmax())
        wanted = np.fft.irfft(np.fft.rfft(clean[row], size) * np.fft.rfft(room, size), size)
        wanted = wanted[direct : direct + clean.shape[1]]
        error_db = 10 * np.log10(np.square(y[row] - wanted).sum() / np.square(wanted).sum())
        assert error_db < -60.0, f"differs from NumPy's convolution by {error_db:.0f} dB"


def masks(transform: sa.Transform, batch: Batch) -> None:
    """Whole bins or frames are zero, some but not most; the rest is untouched."""
    x = given(transform, batch).double().cpu().numpy()
    y, _, _ = _through(transform, x, batch)
    hidden = y != x
    assert (y[hidden] == 0.0).all(), "a masked cell is not zero"
    stripes = hidden.all(2)[:, :, None] | hidden.all(1)[:, None, :]
    assert (hidden == (stripes & (x != 0.0))).all(), "masks are not stripes"
    assert 0.02 < hidden.mean() < 0.6, f"{hidden.mean():.0%} of the cells are masked"


def time_warp(transform: sa.Transform, batch: Batch) -> None:
    """A ramp over time shows where each frame came from: from where ``warp_times`` says, the ends in place."""
    frames = batch.spec.shape[-1]
    ramp = np.tile(np.arange(frames, dtype=np.float64), (batch.rows, 4, 1))
    y, lengths, draws = _through(transform, ramp, batch)
    moments = np.linspace(0.0, frames - 1.0, 20 * frames)
    moved = transform.warp_times(np.tile(moments, (batch.rows, 1)), lengths, draws, sample_rate=1).numpy()
    for row in range(batch.rows):
        source = np.interp(np.arange(frames), moved[row], moments)
        worst = np.abs(y[row, 0] - source).max()
        assert worst < 0.2, f"a frame comes from a place that is off by {worst:.2f} frames"


def log_mel(features: sa.LogMel, batch: Batch) -> None:
    """NumPy's transform of single frames, and a row alone as in the batch."""
    features = features.to(batch.device)
    spec = features(batch.x)[0].cpu()
    alone = features(batch.x[-1:])[0].cpu()
    assert torch.allclose(alone[0], spec[-1], atol=1e-3), "a row alone differs from the row in the batch"
    window = np.zeros(512)
    window[56:456] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    mel = 2595 * np.log10(1 + np.linspace(0, RATE / 2, 257) / 700)
    edges = np.linspace(2595 * np.log10(1 + 20 / 700), mel[-1], features.n_mels + 2)
    bins_hz, edges_hz = np.linspace(0, RATE / 2, 257)[:, None], 700 * (10 ** (edges / 2595) - 1)
    rising = (bins_hz - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - bins_hz) / np.diff(edges_hz)[1:]
    for frame in spec[0].mean(0)[2:-2].topk(3).indices.add(2).tolist():  # the loudest, away from the ends
        piece = batch.clips[0][frame * 160 - 256 : frame * 160 + 256].astype(np.float64)
        power = np.square(np.abs(np.fft.rfft(piece * window)))
        energy = power @ np.clip(np.minimum(rising, falling), 0, None)
        loud = energy > energy.max() * 1e-4
        worst = np.abs(spec[0, :, frame].double().numpy() - np.log(energy))[loud].max()
        assert worst < 0.01, f"differs from NumPy by {worst:.3f} nepers"


def gain(transform: sa.Transform, batch: Batch) -> None:
    """Every sample is louder by the decibels drawn."""
    clean = np.stack(batch.clips).astype(np.float64)
    y, _, draws = _through(transform, clean, batch)
    wanted = clean * 10 ** (draws.values["gain_db"][:, None] / 20)
    assert np.allclose(y, wanted, rtol=1e-5, atol=1e-7), "differs from the gain"


def sound(transform: sa.Transform, batch: Batch) -> None:
    """Finite, within the width, zero beyond the lengths, and something was done."""
    x = given(transform, batch)
    y, lengths = applied(transform, x, drawn(transform, batch))
    assert bool(torch.isfinite(y).all()), "not finite"
    beyond = torch.arange(y.shape[-1], device=y.device) >= lengths[:, None]
    assert not bool((y.movedim(-1, 1)[beyond] != 0).any()), "padding is not zero"
    assert y.shape != x.shape or not torch.equal(y, x), "nothing happened"


def policy(transform: sa.Compose, batch: Batch) -> None:
    """As :func:`sound`; a row's length is that of its speed, and a row that only has a gain has just that gain."""
    sound(transform, batch)
    clean = np.stack(batch.clips).astype(np.float64)
    y, lengths, draws = _through(transform, clean, batch)
    factor = np.where(draws.members["Speed"].on, draws.members["Speed"].values["factor"], 1.0)
    assert (lengths == np.rint(clean.shape[1] / factor)).all(), "lengths are not those of the factors"
    others = [member.on for name, member in draws.members.items() if name != "Gain"]
    for row in np.flatnonzero(~np.any(others, axis=0)):
        wanted = clean[row] * 10 ** (draws.members["Gain"].values["gain_db"][row] / 20)
        assert np.allclose(y[row, : len(wanted)], wanted, rtol=1e-4, atol=1e-6), "a row with a gain alone has more"


CHECKS: dict[str, Callable[[Any, Batch], object]] = {"Gain": gain, "FrequencyMask": masks, "TimeMask": masks}
"""Checks of registered transforms that are rows of their own; for the others :func:`sound`."""
