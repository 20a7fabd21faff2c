"""The same on a GPU as on the CPU, without waiting for it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

import speechaug as sa
from speechaug.callbacks import Augment, AugmentationLog, SpectrogramAugment
from speechaug.graph import CapturedPolicy
from speechaug.testing import SAMPLE_RATE, _assert_close, _batch, _call, _draws, example, policy_example

pytestmark = pytest.mark.gpu

ALL = [example(cls) for cls in sa.TRANSFORMS.values() if cls.__module__.startswith("speechaug.")]


@contextmanager
def _no_wait() -> Iterator[None]:
    """Raise where the host would wait for the device."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype feature", UserWarning)
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("transform", [*ALL, policy_example()], ids=lambda transform: type(transform).__name__)
def test_cuda_gives_what_the_cpu_gives_without_a_host_read(transform):
    x, lengths = _batch(transform)
    expected, expected_lengths = _call(transform, x, lengths, _draws(transform, len(x)))
    draws, x_cuda, lengths_cuda = _draws(transform, len(x)), x.cuda(), lengths.cuda()
    _call(transform, x_cuda, lengths_cuda, draws)  # banks and draws move to the device once
    with nullcontext() if transform.on_host else _no_wait():
        y, y_lengths = _call(transform, x_cuda, lengths_cuda, draws)
    assert torch.equal(y_lengths.cpu(), expected_lengths)
    _assert_close(y.cpu(), expected, "CUDA and CPU", factor=10.0)


def _policies() -> list[sa.Transform]:
    """Policies with everything that needs no files: waveform, spectrogram."""
    waveform = [sa.AddColoredNoise(p=0.5), sa.Gain(), sa.Clipping(p=0.3), sa.LowPass(p=0.3), sa.Equalizer(p=0.5)]
    waveform += [example(sa.Reverb), example(sa.AddNoise), sa.PitchShift(p=0.3), sa.Speed(p=0.5), sa.TimeShift(p=0.5)]
    spectrogram = [sa.TimeWarp(p=0.5), sa.FrequencyMask(), sa.TimeMask(max_fraction=0.2)]
    return [sa.Compose(waveform, range_policy="rescale"), sa.Compose(spectrogram)]


@pytest.mark.parametrize("policy", _policies(), ids=["waveform", "spectrogram"])
def test_captured_and_replayed_with_fresh_draws(policy):
    x, lengths = (part.cuda() for part in _batch(policy))
    rate = SAMPLE_RATE if policy.domain == "waveform" else None
    captured = CapturedPolicy(policy, x, lengths, sample_rate=rate)
    for seed in range(5):
        draws = _draws(policy, len(x), seed)
        y, y_lengths = captured(x * 0.5, lengths, draws)
        expected, expected_lengths = policy(x * 0.5, lengths, draws.tensors("cuda"), sample_rate=rate)
        _assert_close(y, expected, "replayed and direct")
        assert torch.equal(y_lengths, expected_lengths)


@pytest.mark.parametrize("policy", _policies(), ids=["waveform", "spectrogram"])
def test_a_thousand_steps_take_no_more_memory(policy):
    x, lengths = (part.cuda() for part in _batch(policy))
    peaks = []
    for step in range(1_000):
        _call(policy, x, lengths, _draws(policy, len(x), step % 50))
        if step in (99, 999):
            torch.cuda.synchronize()
            peaks.append(torch.cuda.max_memory_reserved())
    assert peaks[1] == peaks[0]


@pytest.mark.parametrize("policy", _policies(), ids=["waveform", "spectrogram"])
def test_on_a_stream_of_its_own(policy):
    x, lengths = (part.cuda() for part in _batch(policy))
    draws = _draws(policy, len(x))
    expected, _ = _call(policy, x, lengths, draws)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # whoever launches on the default stream is too early
        late = x * 1.0
        y, _ = _call(policy, late, lengths, draws)
    torch.cuda.current_stream().wait_stream(stream)
    _assert_close(y, expected, "another stream")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("policy", _policies(), ids=["waveform", "spectrogram"])
def test_on_a_device_that_is_not_the_current_one(policy):
    x, lengths = _batch(policy)
    first, second = (
        _call(policy, x.to(device), lengths.to(device), _draws(policy, len(x)))[0] for device in ("cuda:0", "cuda:1")
    )
    assert second.device.index == 1
    _assert_close(second.cpu(), first.cpu(), "two devices")


WORDS = ["la", "mi"]
RATE = 8_000


class Kept(pl.Callback):
    """Keeps the figures of the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.figures: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.figures.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def _batches() -> DataLoader[Any]:
    """Four batches in memory, of tones: no file is read."""
    times = torch.arange(RATE) / RATE
    waves = [torch.sin(2 * torch.pi * hz * times) * 0.1 for hz in (400.0, 900.0)]
    batches = []
    for number in range(4):
        rows = {"waveform": torch.stack(waves), "lengths": torch.tensor([RATE, RATE - 800])}
        rows["waveform"][1, RATE - 800 :] = 0
        batches.append(rows | {"text": WORDS, "id": [f"{word}-{number}" for word in WORDS], "speaker": ["", ""]})
    return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]


@pytest.mark.global_rng
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")  # fp16 skips steps at first
@pytest.mark.parametrize("precision", ["32-true", "bf16-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("architecture", ["quartznet", "conformer"])
def test_training_on_the_device(precision, architecture):
    torch.manual_seed(0)
    recognizer = sa.SpeechRecognizer(WORDS, "word", size="xs", sample_rate=RATE, architecture=architecture)
    before = recognizer.model.head.weight.detach().clone()
    kept = Kept()
    policy = sa.Compose([sa.Speed(factor=(0.8, 1.25)), sa.AddColoredNoise(snr_db=(5.0, 20.0)), sa.Gain()])
    trainer = pl.Trainer(
        max_steps=16,  # of which fp16 skips some until the loss is scaled low enough
        accelerator="gpu",
        devices=1,
        precision=precision,
        log_every_n_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            Augment(policy, sample_rate=RATE),
            SpectrogramAugment(sa.presets.specaugment("small")),
            AugmentationLog(),
            kept,
        ],
    )
    trainer.fit(recognizer, _batches())
    after = recognizer.model.head.weight.detach().cpu()
    assert after.isfinite().all()
    assert not torch.equal(after.float(), before.float())
    assert kept.figures[-1]["augment_ms"] > 0
    assert 0 < kept.figures[-1]["augment_share"] < 1
