"""Exported recognizers against the recognizer itself: numbers, texts, shapes it was not traced with, broken files."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import speechaug
from speechaug import audio
from speechaug.asr import SpeechRecognizer, Tokenizer, ctc_loss
from speechaug.asr.export import (
    METADATA,
    ExportedRecognizer,
    _compare,
    _Network,
    _quiet,
    export_onnx,
    export_torch,
    load_exported,
)

pytestmark = pytest.mark.global_rng  # weights are initialised by torch's global generator

FIXTURES = Path(speechaug.__file__).parent / "fixtures"
TOLERANCE = 1e-3
"""Of log-probabilities; the ONNX front end is another Fourier transform, rounded differently (1e-4 is usual)."""


def _voices(name: str, sample_rate: int) -> list[tuple[str, Tensor]]:
    """Return the texts and waveforms of a manifest of the fixtures."""
    rows = [json.loads(line) for line in (FIXTURES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    found = []
    for row in rows:
        part = {"offset_s": row["offset"], "duration_s": row["duration"], "sample_rate": sample_rate}
        found.append((row["text"], torch.from_numpy(audio.read(FIXTURES / row["audio"], **part)[0][0])))
    return found


def _pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True), torch.tensor([len(row) for row in rows])


@torch.no_grad()
def _talkative(recognizer: SpeechRecognizer) -> SpeechRecognizer:
    """Give random weights the statistics of speech, and scores that are far enough apart to make texts."""
    x, lengths = _pad([x for _, x in _voices("test", recognizer.features.sample_rate)[:24]])
    recognizer.train()
    for _ in range(30):
        recognizer(x, lengths)
    recognizer.model.head.weight.mul_(5)
    return recognizer.eval()


def _export(recognizer: SpeechRecognizer, path: Path) -> ExportedRecognizer:
    if path.suffix == ".onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason="ONNX export is optional")
        export_onnx(recognizer, path)
    else:
        export_torch(recognizer, path)
    return load_exported(path)


OPTIONS: dict[str, dict[str, Any]] = {
    "conformer": {"vocabulary": ["one", "two", "thrée"], "unit": "word", "sample_rate": 8_000},
    "quartznet": {"vocabulary": [" ", "a", "b", "ß"], "unit": "char", "sample_rate": 16_000},
}

Pair = tuple[SpeechRecognizer, ExportedRecognizer, Path]


@pytest.fixture(
    scope="module",
    params=[
        ("conformer", ".onnx"),
        ("quartznet", ".pt2"),
        pytest.param(("conformer", ".pt2"), marks=pytest.mark.slow),
        pytest.param(("quartznet", ".onnx"), marks=pytest.mark.slow),
    ],
    ids="".join,
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A recognizer of random weights, as it is and exported."""
    architecture, suffix = request.param
    torch.manual_seed(0)
    recognizer = _talkative(SpeechRecognizer(architecture=architecture, size="xs", **OPTIONS[architecture]))
    recognizer.train()
    before, state = recognizer.state_dict(), torch.get_rng_state()
    before = {name: value.clone() for name, value in before.items()}
    path = tmp_path_factory.mktemp("export") / "new" / f"é{suffix}"
    exported = _export(recognizer, path)
    assert recognizer.training
    assert all(torch.equal(before[name], value) for name, value in recognizer.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    return recognizer.eval(), exported, path


@pytest.mark.parametrize("samples", [
    [0], [1], [79], [80], [160, 0, 81], [321, 320], [16_000, 1, 5_003, 9_999], [240_000], [8_000] * 17,
], ids=str)  # fmt: skip
def test_any_shape_gives_the_log_probabilities_of_the_recognizer(pair: Pair, samples: list[int]) -> None:
    recognizer, exported, _ = pair
    rng = np.random.default_rng(len(samples))
    x, lengths = _pad([torch.from_numpy(rng.uniform(-0.3, 0.3, n).astype(np.float32)) for n in samples])
    with torch.no_grad():
        expected, frames = recognizer(x, lengths)
    found, found_frames = exported(x, lengths)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert torch.equal(found_frames, frames)
    for row, n in enumerate(frames.tolist()):
        torch.testing.assert_close(found[row, :n], expected[row, :n], atol=TOLERANCE, rtol=0)


def test_what_lies_in_the_padding_does_not_matter(pair: Pair) -> None:
    _, exported, _ = pair
    x, lengths = torch.zeros(2, 9_000), torch.tensor([9_000, 4_000])
    x[0, 100], x[1, 200], x[1, 5_000], x[1, 5_001] = 0.5, 0.5, torch.nan, torch.inf
    log_probs, frames = exported(x, lengths)
    alone, _ = exported(x[1:, :4_000].contiguous(), lengths[1:])
    torch.testing.assert_close(log_probs[1, : frames[1]], alone[0, : frames[1]], atol=TOLERANCE, rtol=0)


def test_the_text_of_every_voice_is_the_recognizers(pair: Pair) -> None:
    recognizer, exported, _ = pair
    rate = recognizer.features.sample_rate
    voices = [x for name in ("test", "train") for _, x in _voices(name, rate)]
    expected = recognizer.transcribe(voices, rate)
    assert len(set(expected)) > 20
    assert exported.transcribe(voices, rate) == expected
    assert exported.transcribe(voices[:7], rate, batch_size=3) == expected[:7]


def test_inputs_of_transcription(pair: Pair, tmp_path: Path) -> None:
    recognizer, exported, _ = pair
    rate = recognizer.features.sample_rate
    x = _voices("test", rate)[0][1]
    audio.write(tmp_path / "ü.flac", x[None].repeat(2, 1).numpy(), rate)
    assert exported.transcribe([tmp_path / "ü.flac"]) == recognizer.transcribe([tmp_path / "ü.flac"])
    assert exported.transcribe(iter([x.double().numpy()]), rate) == recognizer.transcribe([x], rate)
    assert exported.transcribe([x], 11_025) == recognizer.transcribe([x], 11_025)
    assert exported.transcribe([]) == []
    assert exported.transcribe([np.zeros(0), np.zeros(1)], rate) == recognizer.transcribe(
        [np.zeros(0), np.zeros(1)], rate
    )
    with pytest.raises(ValueError, match="input 1: must be floating point"):
        exported.transcribe([x, np.zeros(10, np.int16)], rate)
    with pytest.raises(ValueError, match="input 0: holds non-finite samples"):
        exported.transcribe([np.full(10, np.nan)], rate)
    with pytest.raises(ValueError, match="sample_rate must be given"):
        exported.transcribe([x])
    with pytest.raises(ValueError, match="inputs must be a list of waveforms and files, got one str"):
        exported.transcribe(str(tmp_path / "ü.flac"))
    with pytest.raises(ValueError, match="batch_size must be positive, got 0"):
        exported.transcribe([x], rate, batch_size=0)
    with pytest.raises(FileNotFoundError, match="absent"):
        exported.transcribe([tmp_path / "absent.wav"])


def test_the_file_alone_says_what_its_outputs_mean(pair: Pair) -> None:
    recognizer, exported, path = pair
    assert exported.tokenizer == recognizer.tokenizer
    assert exported.sample_rate == recognizer.features.sample_rate
    assert list(path.parent.iterdir()) == [path]
    x = torch.linspace(-0.5, 0.5, 6_000)[None]
    if path.suffix == ".onnx":
        session = pytest.importorskip("onnxruntime").InferenceSession(path)
        meaning = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
        log_probs, frames = session.run(None, {"waveform": x.numpy(), "lengths": np.array([6_000])})
        assert [i.name for i in session.get_outputs()] == ["log_probs", "frames"]
    else:
        files = {METADATA: ""}
        log_probs, frames = torch.export.load(path, extra_files=files).module()(x, torch.tensor([6_000]))
        meaning = json.loads(files[METADATA])
    assert meaning == {"blank": 0, "sample_rate": exported.sample_rate, **recognizer.tokenizer.to_dict()}
    assert log_probs.shape[-1] == len(meaning["vocabulary"]) + 1
    assert log_probs.shape[1] >= frames[0]


def test_another_recognizers_file_is_noticed(pair: Pair) -> None:
    recognizer, _, path = pair
    other = _Network(recognizer, recognizer.features)
    with torch.no_grad():
        other.model.head.bias[1] += 0.5
    with pytest.raises(RuntimeError, match=r"differs from the recognizer by 0.* in a token's probability"):
        _compare(other, path)


def test_damaged_and_foreign_files(pair: Pair, tmp_path: Path) -> None:
    _, _, path = pair
    content = path.read_bytes()
    for damaged in (b"", b"junk" * 99, content[: len(content) // 2]):
        broken = tmp_path / f"broken{path.suffix}"
        broken.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"path must be a readable file, got .*broken\."):
            load_exported(broken)
    foreign = tmp_path / f"foreign{path.suffix}"
    example = (torch.zeros(2),)
    if path.suffix == ".onnx":
        onnx = pytest.importorskip("onnx")
        model = onnx.load(path)
        del model.metadata_props[:]
        onnx.save(model, foreign)
    else:
        torch.export.save(torch.export.export(nn.ReLU(), example), foreign)
    with pytest.raises(ValueError, match=r"path must be a file that export_onnx or export_torch wrote, got .*foreign"):
        load_exported(foreign)


def test_paths() -> None:
    recognizer = SpeechRecognizer(["a"], size="xs")
    with pytest.raises(ValueError, match=r"export_onnx: path must end in .onnx, got 'model.pt2'"):
        export_onnx(recognizer, "model.pt2")
    with pytest.raises(ValueError, match=r"export_torch: path must end in .pt2, got 'model'"):
        export_torch(recognizer, "model")
    with pytest.raises(ValueError, match=r"load_exported: path must end in .onnx or .pt2, got 'model.ckpt'"):
        load_exported("model.ckpt")
    with pytest.raises(FileNotFoundError, match=r"load_exported: no such file: absent.onnx"):
        load_exported("absent.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_package(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for present in ("onnx", "onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, present, logging)  # any module: it is not reached
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"export_onnx needs {package}, .*: pip install onnx onnxscript onnxruntime"):
        export_onnx(SpeechRecognizer(["a"], size="xs"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    if package == "onnxruntime":
        (tmp_path / "model.onnx").write_bytes(b"")
        with pytest.raises(ImportError, match="load_exported needs onnxruntime"):
            load_exported(tmp_path / "model.onnx")


def test_the_exporter_is_kept_from_talking_of_torchvision_only(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    logger.addHandler(caplog.handler)
    with _quiet():
        logger.warning("torchvision is not installed. Skipping %s", "torchvision::nms")
        logger.warning("something else")
    logger.warning("torchvision after")
    logger.removeHandler(caplog.handler)
    assert list(dict.fromkeys(caplog.messages)) == ["something else", "torchvision after"]


def test_reading_needs_no_lightning() -> None:
    code = "import sys, speechaug.asr.export; sys.exit('lightning' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=FIXTURES.parents[1], check=False).returncode == 0


def _train(recognizer: SpeechRecognizer, voices: list[tuple[str, Tensor]], steps: int) -> None:
    rng = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(recognizer.parameters(), lr=recognizer.hparams["lr"])
    recognizer.train()
    for _ in range(steps):
        rows = [voices[i] for i in rng.integers(0, len(voices), 24)]
        log_probs, frames = recognizer(*_pad([x for _, x in rows]))
        tokens = [recognizer.tokenizer.encode(text) for text, _ in rows]
        optimizer.zero_grad()
        ctc_loss(log_probs, frames, tokens, torch.ones(24, dtype=torch.bool)).mean.backward()
        optimizer.step()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["quartznet", "conformer"])
def test_a_trained_recognizer_says_the_same_words_exported(architecture: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    train, test = _voices("train", 8_000), _voices("test", 8_000)
    tokenizer = Tokenizer.from_texts([text for text, _ in train], unit="word")
    options: dict[str, Any] = {"architecture": architecture, "size": "xs", "sample_rate": 8_000}
    recognizer = SpeechRecognizer(list(tokenizer.vocabulary), "word", **options)
    _train(recognizer, train, steps=150)
    voices = [x for _, x in test + train]
    expected = recognizer.transcribe(voices, 8_000)
    right = np.mean([said == text for said, (text, _) in zip(expected, test, strict=False)])
    assert right > 0.5
    for suffix in (".onnx", ".pt2"):
        assert _export(recognizer, tmp_path / f"model{suffix}").transcribe(voices, 8_000) == expected
