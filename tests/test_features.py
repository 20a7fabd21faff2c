"""LogMel against librosa, alone against in a batch, and at the edges."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from speechaug.features import LogMel, mel_filters


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 0.1)


@pytest.mark.parametrize(("sample_rate", "n_fft", "n_mels"), [(8_000, 256, 40), (16_000, 512, 64), (44_100, 2_048, 80)])
def test_filters_equal_librosa(sample_rate: int, n_fft: int, n_mels: int) -> None:
    ours = mel_filters(sample_rate, n_fft, n_mels, 20.0, sample_rate / 2)
    theirs = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=20.0, htk=True, norm=None, dtype=np.float64
    )
    np.testing.assert_allclose(ours.numpy().T, theirs, atol=1e-12)


@pytest.mark.parametrize("sample_rate", [8_000, 16_000])
@pytest.mark.filterwarnings("ignore:n_fft=.* is too large for input signal:UserWarning")  # librosa, of short signals
@pytest.mark.parametrize("samples", [8_000, 7_999, 641, 80])
def test_logarithm_equals_librosa(sample_rate: int, samples: int) -> None:
    features = LogMel(sample_rate, normalisation="none")
    x = _noise(samples) * torch.linspace(1.0, 0.0, samples) ** 3  # the end falls below the dynamic range
    mel = librosa.feature.melspectrogram(
        y=x.numpy(), sr=sample_rate, n_fft=features.n_fft, win_length=features.window_length,
        hop_length=features.hop_length, n_mels=features.n_mels, fmin=20.0, htk=True, norm=None, pad_mode="constant",
    )  # fmt: skip
    decibels = librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=80.0)
    spec, frames = features(x[None])
    assert frames.tolist() == [1 + samples // features.hop_length]
    np.testing.assert_allclose(spec[0].numpy() * 10 / np.log(10), decibels, atol=2e-3)


def test_normalisation_gives_each_band_mean_zero_and_deviation_one() -> None:
    spec, frames = LogMel(16_000)(_noise(2, 16_000), torch.tensor([16_000, 9_000]))
    for row, count in zip(spec, frames.tolist(), strict=True):
        valid = row[:, :count]
        torch.testing.assert_close(valid.mean(-1), torch.zeros(64), atol=1e-5, rtol=0)
        torch.testing.assert_close(valid.std(-1, correction=0), torch.ones(64), atol=0.02, rtol=0)


@pytest.mark.parametrize("normalisation", ["utterance", "none"])
def test_alone_equals_in_batch_and_padding_is_zero(normalisation: str) -> None:
    features = LogMel(8_000, normalisation=normalisation)
    lengths = torch.tensor([8_000, 1, 79, 80, 81, 0, 5_003])
    x = _noise(7, 8_000)
    x[:, 4_000:] *= 30  # what is beyond an utterance's end is ignored, however loud
    spec, frames = features(x, lengths)
    assert frames.tolist() == [101, 1, 1, 2, 2, 0, 63]
    assert spec.shape == (7, 40, 101)
    for i, count in enumerate(frames.tolist()):
        assert not spec[i, :, count:].any()
        alone, _ = features(x[i : i + 1, : int(lengths[i])])
        torch.testing.assert_close(spec[i : i + 1, :, :count], alone[:, :, :count], atol=1e-4, rtol=1e-5)


def test_features_do_not_depend_on_the_level() -> None:
    x = _noise(1, 8_000)
    torch.testing.assert_close(LogMel(8_000)(x)[0], LogMel(8_000)(x * 0.01)[0], atol=1e-4, rtol=0)


def test_samples_of_nan_beyond_the_end_do_no_harm() -> None:
    x = _noise(1, 800)
    broken = torch.cat([x, torch.full((1, 100), torch.nan)], dim=1)
    torch.testing.assert_close(LogMel(8_000)(broken, torch.tensor([800]))[0][..., :11], LogMel(8_000)(x)[0])


@pytest.mark.parametrize("shape", [(0, 800), (2, 0), (0, 0), (1, 1)])
def test_degenerate_shapes(shape: tuple[int, int]) -> None:
    spec, frames = LogMel(8_000)(torch.zeros(shape))
    assert spec.shape == (shape[0], 40, 1 + shape[1] // 80)
    assert frames.tolist() == [0 if shape[1] == 0 else 1 + shape[1] // 80] * shape[0]
    assert spec.isfinite().all()


def test_silence_is_finite_and_almost_zero_with_finite_gradients() -> None:
    x = torch.zeros(1, 8_000, requires_grad=True)
    spec, _ = LogMel(8_000)(x)
    assert float(spec.detach().abs().max()) < 1e-3
    spec.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_type_is_kept_and_half_precision_computed_in_float32(dtype: torch.dtype) -> None:
    x = _noise(2, 4_000).to(dtype)
    spec, _ = LogMel(8_000).to(dtype)(x)  # a cast module keeps its window and filters
    assert spec.dtype == dtype
    wide = LogMel(8_000)(x.float())[0]
    torch.testing.assert_close(spec, wide.to(dtype), atol=1e-4, rtol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(LogMel(8_000)(x.float())[0], wide)


def test_no_host_read_and_no_state() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    features = LogMel(8_000)
    assert not features.state_dict()
    with FakeTensorMode(allow_non_fake_inputs=True):
        spec, frames = features(torch.empty(3, 8_000), torch.empty(3, dtype=torch.int64))
    assert spec.shape == (3, 40, 101)
    assert frames.shape == (3,)


def test_exported_graph_holds_no_operator_of_ours() -> None:
    features, x = LogMel(8_000), _noise(2, 4_000)
    exported = torch.export.export(features, (x, torch.tensor([4_000, 3_000])))
    graphs = [part.graph for part in exported.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    names = {str(node.target) for graph in graphs for node in graph.nodes if node.op == "call_function"}
    assert any("stft" in name for name in names)
    assert not any("speechaug" in name for name in names)
    lengths = torch.tensor([2_000, 4_000])
    for found, expected in zip(exported.module()(x, lengths), features(x, lengths), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_gradient_in_float32_is_that_of_float64() -> None:
    x, lengths = _noise(3, 2_000), torch.tensor([2_000, 700, 1])
    gradients = []
    for dtype in (torch.float32, torch.float64):
        leaf = x.to(dtype).requires_grad_()
        spec, _ = LogMel(8_000)(leaf, lengths)
        gradients.append(torch.autograd.grad((spec * _noise(3, 40, 26, seed=1)).sum(), leaf)[0])
    torch.testing.assert_close(gradients[0].double(), gradients[1], atol=1e-2, rtol=1e-2)
    assert not gradients[0][1, 700:].any()


@pytest.mark.parametrize("options", [
    {"hop_ms": 0.0}, {"window_ms": 0.1}, {"n_mels": 0}, {"n_mels": 200}, {"f_min_hz": 4_000.0}, {"f_max_hz": 4_001.0},
    {"dynamic_range_db": 0.0}, {"normalisation": "batch"},
])  # fmt: skip
def test_bad_settings(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"LogMel: .*{next(iter(options))}"):
        LogMel(8_000, **options)  # type: ignore[arg-type]


def test_bad_input() -> None:
    features = LogMel(8_000)
    assert features.frame_rate == 100.0
    for x in (torch.zeros(8), torch.zeros(1, 2, 8), torch.zeros(1, 8, dtype=torch.int16)):
        with pytest.raises(ValueError, match="x must be floating point"):
            features(x)
    with pytest.raises(ValueError, match="lengths must be"):
        features(torch.zeros(2, 8), torch.tensor([8]))
