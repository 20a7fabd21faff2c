"""The Conformer: its parts against torch, torchaudio and numpy, its padding, and what training asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from speechaug import _torchaudio
from speechaug.asr import SpeechRecognizer, ctc_loss, greedy_decode
from speechaug.asr.blocks import MaskedBatchNorm
from speechaug.asr.conformer import (
    CONFORMER_SIZES,
    HEAD_CHANNELS,
    Conformer,
    ConformerBlock,
    SelfAttention,
    rotate,
    rotation,
)

pytestmark = pytest.mark.global_rng  # weights are initialised and units dropped by torch's global generator

CPU = torch.device("cpu")


def _spec(lengths: Sequence[int], n_mels: int = 40) -> tuple[Tensor, Tensor]:
    frames = torch.tensor(lengths)
    values = np.random.default_rng(1).standard_normal((len(lengths), n_mels, max(lengths)))
    return torch.from_numpy(values).float() * (torch.arange(max(lengths)) < frames[:, None, None]), frames


def _disturbed(model: nn.Module) -> Any:
    """Give norms and biases values that a forgotten mask would show."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (MaskedBatchNorm, nn.LayerNorm)):
                module.weight.uniform_(0.5, 2, generator=random)
                module.bias.uniform_(-1, 1, generator=random)
            if isinstance(module, MaskedBatchNorm):
                module.running_mean.uniform_(-1, 1, generator=random)
                module.running_var.uniform_(0.5, 2, generator=random)
    return model.eval()


def _unturned(frames: int) -> tuple[Tensor, Tensor]:
    return torch.ones(frames, HEAD_CHANNELS // 2), torch.zeros(frames, HEAD_CHANNELS // 2)


# Parts


def test_rotation_is_a_product_of_complex_numbers_and_sees_distances_only() -> None:
    rng = np.random.default_rng(0)
    queries, keys = rng.standard_normal((2, 9, HEAD_CHANNELS)).astype(np.float32)
    half = HEAD_CHANNELS // 2
    turns = np.exp(1j * np.arange(9)[:, None] * 10_000.0 ** (-np.arange(half) / half))
    q, k = (x[:, :half] + 1j * x[:, half:] for x in (queries, keys))
    cos, sin = rotation(9, HEAD_CHANNELS, CPU)
    ours = rotate(torch.from_numpy(queries), cos, sin).numpy()
    np.testing.assert_allclose(ours, np.concatenate([(q * turns).real, (q * turns).imag], 1), atol=1e-5)
    scores = ours @ rotate(torch.from_numpy(keys), cos, sin).numpy().T
    for i in range(9):
        for j in range(9):
            turn = turns[i - j] if i >= j else turns[j - i].conj()
            assert scores[i, j] == pytest.approx((q[i] * k[j].conj() * turn).real.sum(), abs=1e-4)


def test_attention_equals_torch_where_no_position_is_told() -> None:
    ours = _disturbed(SelfAttention(48, 0.0))
    theirs = nn.MultiheadAttention(48, 3, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.inputs.weight)
        theirs.in_proj_bias.copy_(ours.inputs.bias)
        theirs.out_proj.load_state_dict(ours.output.state_dict())
        x, lengths = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 20, 48))).float(), [20, 1, 13]
        valid = torch.arange(20) < torch.tensor(lengths)[:, None]
        found = ours(x, valid[:, None, None], *_unturned(20))
        normed = ours.norm(x)
        expected, _ = theirs(normed, normed, normed, key_padding_mask=~valid, need_weights=False)
    torch.testing.assert_close(found[valid], expected[valid], atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not _torchaudio.available(), reason="compares with torchaudio, which cannot be imported here")
def test_block_equals_torchaudio_where_no_position_is_told() -> None:
    layers = __import__("torchaudio.models.conformer", fromlist=["ConformerLayer"])
    ours = _disturbed(ConformerBlock(48, 0.0))
    theirs = layers.ConformerLayer(48, 96, 3, depthwise_conv_kernel_size=15).eval()
    theirs.load_state_dict(_torchaudio_state(ours))
    x, frames = torch.from_numpy(np.random.default_rng(3).standard_normal((3, 30, 48))).float(), [30, 1, 17]
    valid = torch.arange(30) < torch.tensor(frames)[:, None]
    with torch.no_grad():
        found = ours(x, valid[..., None].float(), valid[:, None, None], *_unturned(30))
        for row, n in enumerate(frames):  # alone: theirs lets padding into its convolution
            expected = theirs(x[row, :n, None], None)[:, 0]
            torch.testing.assert_close(found[row, :n], expected, atol=1e-5, rtol=1e-5)


def _torchaudio_state(block: ConformerBlock) -> dict[str, Tensor]:
    state = {"final_layer_norm": block.norm, "self_attn_layer_norm": block.attention.norm}
    state |= {"self_attn.out_proj": block.attention.output, "conv_module.layer_norm": block.convolution.norm}
    for name, part in (("ffn1", block.first), ("ffn2", block.second)):
        state |= {f"{name}.sequential.{i}": m for i, m in ((0, part.norm), (1, part.expand), (4, part.contract))}
    tensors = {f"{name}.{key}": value for name, module in state.items() for key, value in module.state_dict().items()}
    inputs, convolution = block.attention.inputs, block.convolution
    tensors |= {"self_attn.in_proj_weight": inputs.weight, "self_attn.in_proj_bias": inputs.bias}
    for i, linear in ((0, convolution.inputs), (5, convolution.output)):
        tensors[f"conv_module.sequential.{i}.weight"] = linear.weight[..., None]
        tensors[f"conv_module.sequential.{i}.bias"] = linear.bias
    tensors["conv_module.sequential.2.weight"] = convolution.over_time.weight[:, :, 0]
    tensors["conv_module.sequential.2.bias"] = torch.zeros(48)
    for key, value in convolution.batch_norm.state_dict().items():
        tensors[f"conv_module.sequential.3.{key}"] = value
    return tensors | {"conv_module.sequential.3.num_batches_tracked": torch.tensor(0)}


# Model


@pytest.mark.parametrize(("size", "thousands"), [("xs", 95), ("s", 157), ("m", 334), ("l", 612)])
def test_number_of_parameters(size: str, thousands: int) -> None:
    assert list(CONFORMER_SIZES) == ["xs", "s", "m", "l"]
    count = sum(p.numel() for p in Conformer(40, 11, size=size).parameters())
    assert round(count / 1_000) == thousands


@pytest.mark.parametrize("subsampling", [1, 2, 4])
def test_alone_equals_in_batch(subsampling: int) -> None:
    lengths = [200, 1, 2, 57, 0, 131]
    spec, frames = _spec(lengths)
    model = _disturbed(Conformer(40, 11, size="xs", subsampling=subsampling))
    batch, out = model(spec, frames)
    assert out.tolist() == [-(-n // subsampling) for n in lengths]
    assert batch.shape == (6, int(out.max()), 11)
    torch.testing.assert_close(batch.exp().sum(-1), torch.ones(batch.shape[:2]))
    for i, n in enumerate(lengths):
        alone, _ = model(spec[i : i + 1, :, :n], frames[i : i + 1])
        torch.testing.assert_close(batch[i : i + 1, : int(out[i])], alone, atol=1e-4, rtol=0)


def test_features_of_the_head_are_zero_in_the_padding() -> None:
    spec, frames = _spec([90, 40, 0])
    x, lengths = _disturbed(Conformer(40, 5, size="xs")).encode(spec, frames)
    assert x.shape == (3, 45, CONFORMER_SIZES["xs"].channels)
    for row, n in zip(x, lengths.tolist(), strict=True):
        assert not row[n:].any()
        assert row[:n].all()


def test_padding_changes_neither_gradients_nor_statistics() -> None:
    spec, frames = _spec([90, 40])
    model = Conformer(40, 5, size="xs", dropout=0.0)
    results = []
    for padding in (0, 37):
        copy = Conformer(40, 5, size="xs", dropout=0.0)
        copy.load_state_dict(model.state_dict())
        log_probs, out = copy(nn.functional.pad(spec, (0, padding)), frames)
        (log_probs[0, : int(out[0]), 1].sum() + log_probs[1, : int(out[1]), 2].sum()).backward()
        results.append([p.grad for p in copy.parameters()] + list(copy.buffers()))
    for alone, padded in zip(*results, strict=True):
        torch.testing.assert_close(alone, padded, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", [(0, 40, 50), (2, 40, 0), (2, 40, 1), (1, 40, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_degenerate_batches(shape: tuple[int, int, int], training: bool) -> None:
    model = Conformer(40, 5, size="xs").train(training)
    for lengths in (torch.full(shape[:1], shape[2]), torch.zeros(shape[0], dtype=torch.int64)):
        log_probs, _ = model(torch.zeros(shape), lengths)
        assert log_probs.shape == (shape[0], -(-shape[2] // 2), 5)
        assert log_probs.isfinite().all()
        log_probs.sum().backward()
    assert all(b.isfinite().all() for b in model.buffers())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_no_host_read() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        model = Conformer(40, 5, size="xs")
        log_probs, _ = model(torch.empty(3, 40, 100), torch.empty(3, dtype=torch.int64))
    assert log_probs.shape == (3, 50, 5)


class _LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest result of any operation."""

    largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = [t for t in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(t, Tensor)]
        self.largest = max([self.largest, *(t.untyped_storage().nbytes() // t.element_size() for t in tensors)])
        return result


def test_no_matrix_of_frames_by_frames_is_made() -> None:
    spec, frames = _spec([3_000])  # 30 s, 1500 frames
    model = Conformer(40, 5, size="xs")
    with _LargestTensor() as watch:
        log_probs, _ = model(spec, frames)
        log_probs.sum().backward()
    assert 3_000 * 40 <= watch.largest < 1_500**2 / 4


def test_gradients_reach_every_parameter() -> None:
    spec, frames = _spec([90, 40])
    model = Conformer(40, 5, size="m")
    log_probs, out = model(spec, frames)
    ctc_loss(log_probs, out, [[1, 2], [3]], torch.tensor([True, True])).mean.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def test_learns_a_few_utterances_by_heart() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(4)
    tokens = [list(map(int, rng.integers(1, 5, rng.integers(2, 6)))) for _ in range(8)]
    shapes = rng.standard_normal((5, 40, 16))  # of each token; 0 is a pause
    spoken = [np.concatenate([shapes[t] for token in row for t in (0, token)], 1) for row in tokens]
    lengths = torch.tensor([x.shape[1] for x in spoken])
    spec = torch.zeros(8, 40, int(lengths.max()))
    for row, x in zip(spec, spoken, strict=True):
        row[:, : x.shape[1]] = torch.from_numpy(x)
    model = Conformer(40, 5, size="xs", subsampling=4, dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        log_probs, frames = model(spec, lengths)
        loss = ctc_loss(log_probs, frames, tokens, torch.ones(8, dtype=torch.bool)).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    assert greedy_decode(*model.eval()(spec, lengths)) == tokens


def test_compiles_into_one_graph() -> None:
    spec, frames = _spec([90, 40])
    model = _disturbed(Conformer(40, 5, size="xs"))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(spec, frames)[0], model(spec, frames)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(dtype: torch.dtype) -> None:
    spec, frames = _spec([120, 60])
    model = Conformer(40, 5, size="xs", dropout=0.0)
    with torch.no_grad():
        expected, _ = model(spec, frames)
        with torch.autocast("cpu", dtype=dtype):
            mixed, _ = model(spec, frames)
        cast, _ = model.to(dtype)(spec, frames)
    assert mixed.dtype == cast.dtype == torch.float32
    torch.testing.assert_close(mixed, expected, atol=0.15, rtol=0)
    torch.testing.assert_close(cast, expected, atol=0.3, rtol=0)


@pytest.mark.parametrize("options", [{"size": "xxl"}, {"subsampling": 0}, {"dropout": 1.0}])
def test_bad_model_settings(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Conformer: {next(iter(options))} must be"):
        Conformer(40, 5, **options)


# Recognizer


def test_recognizer_with_a_conformer_trains_and_loads(tmp_path: Path) -> None:
    recognizer = SpeechRecognizer(["la", "mi"], "word", architecture="conformer", size="xs", sample_rate=8_000)
    assert isinstance(recognizer.model, Conformer)
    assert recognizer.hparams["architecture"] == "conformer"
    assert recognizer.hparams["lr"] == 3e-3
    waveform = torch.from_numpy(np.random.default_rng(5).standard_normal((2, 8_000)).astype(np.float32))
    batch = {"waveform": waveform, "lengths": torch.tensor([8_000, 5_000]), "text": ["la mi", "mi"]}
    batch |= {"id": ["a", "b"], "speaker": ["x", "x"]}
    trainer = L.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_steps=2, max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(recognizer, DataLoader([batch, batch], batch_size=None))  # type: ignore[arg-type]
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = SpeechRecognizer.load_from_checkpoint(tmp_path / "model.ckpt", map_location="cpu", weights_only=True)
    assert isinstance(loaded.model, Conformer)
    torch.testing.assert_close(loaded.eval()(waveform, batch["lengths"]), recognizer.eval()(waveform, batch["lengths"]))


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"architecture must be one of \['quartznet', 'conformer'\], got 'rnn'"):
        SpeechRecognizer(["a"], architecture="rnn")
