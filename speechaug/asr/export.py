"""Recognizers as files that run without the code that trained them: ONNX and ``torch.export``."""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechaug.asr.decode import greedy
from speechaug.asr.sound import Input, check_inputs, listen
from speechaug.asr.text import BLANK, Tokenizer
from speechaug.features import LogMel

if TYPE_CHECKING:
    from speechaug.asr.module import SpeechRecognizer

METADATA = "speechaug"
"""Key in the file under which a JSON text says what the outputs mean."""

TOLERANCE = 1e-2
"""Largest difference of a token's probability from the recognizer's with which a file is accepted."""

Compute = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From waveforms ``(B, T)`` and lengths ``(B,)`` to log-probabilities ``(B, frames, tokens)`` and their lengths."""

_INPUTS, _OUTPUTS = ["waveform", "lengths"], ["log_probs", "frames"]
_FIX = "pip install onnx onnxscript onnxruntime"


def export_onnx(recognizer: SpeechRecognizer, path: str | Path) -> None:
    """Write a recognizer as one ONNX file, from waveform to log-probabilities.

    The file has two inputs, ``waveform`` float32 ``(batch, samples)`` and ``lengths`` int64 ``(batch,)``, and two
    outputs, ``log_probs`` float32 ``(batch, frames, tokens)`` and ``frames`` int64 ``(batch,)``; both axes are free,
    and ``log_probs`` may be a frame longer than ``frames`` asks for. The front end is in it, its Fourier transform as
    a convolution, which every runtime has. Metadata under the key ``"speechaug"`` hold vocabulary, unit, sample rate
    and blank, so that the file alone is enough to transcribe. It is read back and compared before this returns.

    Args:
        recognizer: a trained recognizer; it is left as it is.
        path: the file, ending in ``.onnx``; overwritten, its folder made.

    Raises:
        ValueError: if the path ends otherwise.
        ImportError: if onnx, onnxscript or onnxruntime is missing.
        RuntimeError: if the file does not give the recognizer's probabilities.
    """
    path = _checked(path, "export_onnx", ".onnx")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _require(package, "export_onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    traced = _traced(_Network(recognizer, _ConvolutionLogMel(recognizer.features)))
    with _quiet():
        program = torch.onnx.export(traced, dynamo=True, input_names=_INPUTS, output_names=_OUTPUTS, verbose=False)
    assert program is not None  # it is, without dynamo
    program.model.metadata_props[METADATA] = _metadata(recognizer)
    program.save(str(path), external_data=False)
    _compare(_Network(recognizer, recognizer.features), path)


def export_torch(recognizer: SpeechRecognizer, path: str | Path) -> None:
    """Write a recognizer as a ``torch.export`` archive, which ``torch.export.load`` reads without this package.

    Inputs, outputs and metadata (``extra_files["speechaug"]``) are those of :func:`export_onnx`. The archive runs on
    the CPU; ``torch.export.passes.move_to_device_pass`` makes one for another device.

    Args:
        recognizer: a trained recognizer; it is left as it is.
        path: the file, ending in ``.pt2``; overwritten, its folder made.

    Raises:
        ValueError: if the path ends otherwise.
        RuntimeError: if the file does not give the recognizer's probabilities.
    """
    path = _checked(path, "export_torch", ".pt2")
    path.parent.mkdir(parents=True, exist_ok=True)
    network = _Network(recognizer, recognizer.features)
    torch.export.save(_traced(network), path, extra_files={METADATA: _metadata(recognizer)})
    _compare(network, path)


class ExportedRecognizer:
    """A recognizer read from a file; it needs neither Lightning nor the class it was trained with.

    Args:
        compute: the model.
        tokenizer: what the outputs mean.
        sample_rate: samples per second of the waveforms.
    """

    def __init__(self, compute: Compute, tokenizer: Tokenizer, sample_rate: int) -> None:
        self.compute, self.tokenizer, self.sample_rate = compute, tokenizer, sample_rate

    def __call__(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of waveforms ``(B, T)``, and their lengths."""
        return self.compute(x, lengths)

    def transcribe(self, inputs: Iterable[Input], sample_rate: int | None = None, *, batch_size: int = 32) -> list[str]:
        """Return what is said in each waveform or file: the recognizer's text.

        Args:
            inputs: waveforms ``(T,)`` in floating point, paths of sound files, or both, resampled to the recognizer's
                rate. Each is computed in one piece, unlike by ``SpeechRecognizer.transcribe``.
            sample_rate: samples per second of the waveforms; files know theirs.
            batch_size: utterances computed together.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a file cannot be read, or a waveform is no ``(T,)`` of finite floating-point samples or has
                no rate.
        """
        check_inputs("ExportedRecognizer", inputs)
        if batch_size < 1:
            raise ValueError(f"ExportedRecognizer: batch_size must be positive, got {batch_size}")
        texts: list[str] = []
        sources = enumerate(inputs)
        while part := list(islice(sources, batch_size)):
            sounds = [listen(x, self.sample_rate, array_rate=sample_rate, name=f"input {i}") for i, x in part]
            rows = [torch.tensor(sound.read(0, None)) for sound in sounds]
            x = nn.utils.rnn.pad_sequence(rows, batch_first=True)
            texts += greedy(*self(x, torch.tensor([len(row) for row in rows])), self.tokenizer)
        return texts


def load_exported(path: str | Path) -> ExportedRecognizer:
    """Read what :func:`export_onnx` or :func:`export_torch` wrote.

    Args:
        path: an ``.onnx`` or ``.pt2`` file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another kind, or damaged.
        ImportError: if it is an ONNX file and onnxruntime is missing.
    """
    path = _checked(path, "load_exported", ".onnx", ".pt2")
    if not path.is_file():
        raise FileNotFoundError(f"load_exported: no such file: {path}")
    if path.suffix == ".onnx":
        _require("onnxruntime", "load_exported")
    try:
        compute, metadata = (_open_onnx if path.suffix == ".onnx" else _open_torch)(path)
    except Exception as error:  # the libraries' own kinds, which have no other base
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise ValueError(f"load_exported: path must be a readable file, got {path} ({reason})") from error
    if not metadata:
        raise ValueError(f"load_exported: path must be a file that export_onnx or export_torch wrote, got {path}")
    meaning = json.loads(metadata)
    return ExportedRecognizer(compute, Tokenizer(tuple(meaning["vocabulary"]), meaning["unit"]), meaning["sample_rate"])


def _open_onnx(path: Path) -> tuple[Compute, str]:
    session = importlib.import_module("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])

    def compute(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        log_probs, frames = session.run(_OUTPUTS, dict(zip(_INPUTS, (x.numpy(), lengths.numpy()), strict=True)))
        return torch.from_numpy(log_probs), torch.from_numpy(frames)

    return compute, session.get_modelmeta().custom_metadata_map.get(METADATA, "")


def _open_torch(path: Path) -> tuple[Compute, str]:
    extra_files = {METADATA: ""}
    compute: Any = torch.inference_mode()(torch.export.load(path, extra_files=extra_files).module())
    return compute, extra_files[METADATA]


class _ConvolutionLogMel(LogMel):
    """LogMel with the windowed Fourier transform as one convolution, and constants as numbers rather than bits."""

    _window_bits: Tensor
    _filter_bits: Tensor
    _waves: Tensor
    _filters: Tensor

    def __init__(self, features: LogMel) -> None:
        ms = 1_000 / features.sample_rate
        super().__init__(
            features.sample_rate,
            features.n_mels,
            window_ms=features.window_length * ms,
            hop_ms=features.hop_length * ms,
            f_min_hz=features.f_min_hz,
            f_max_hz=features.f_max_hz,
            dynamic_range_db=features.dynamic_range_db,
            normalisation=features.normalisation,
        )
        bins, samples = torch.arange(self.n_fft // 2 + 1), torch.arange(self.window_length)
        angles = (bins[:, None] * samples % self.n_fft).double() * (2 * math.pi / self.n_fft)
        window = self._window_bits.view(torch.float32).double()
        waves = torch.stack([angles.cos(), angles.sin()]).flatten(0, 1) * window
        self.register_buffer("_waves", waves.float()[:, None], persistent=False)
        self.register_buffer("_filters", self._filter_bits.view(torch.float32), persistent=False)

    def _mel_energy(self, x: Tensor) -> Tensor:
        before = (self.n_fft - self.window_length) // 2
        after = self.n_fft - self.window_length - before
        bins = F.conv1d(x[:, None, before : x.shape[1] - after], self._waves, stride=self.hop_length)
        real, imaginary = bins.chunk(2, 1)
        power = real.square() + imaginary.square()
        return (power.transpose(1, 2) @ self._filters).transpose(1, 2)


class _Network(nn.Module):
    """What is exported: a recognizer's way from waveforms to log-probabilities, on the CPU in float32."""

    def __init__(self, recognizer: SpeechRecognizer, features: LogMel) -> None:
        super().__init__()
        self.features = copy.deepcopy(features).cpu()
        self.model = copy.deepcopy(recognizer.model).cpu().float()
        # One output frame more than the waveform gives: a tracer takes a single frame for a special case.
        self.margin = self.features.hop_length * self.model.subsampling
        self.eval().requires_grad_(False)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = F.pad(torch.where(waveform.isfinite(), waveform, 0.0), (0, self.margin))
        log_probs, frames = self.model(*self.features(x, lengths))
        return log_probs, frames


def _traced(network: _Network) -> torch.export.ExportedProgram:
    free = torch.export.Dim.DYNAMIC
    return torch.export.export(network, _noise(network, rows=3), dynamic_shapes=({0: free, 1: free}, {0: free}))


def _noise(network: _Network, rows: int) -> tuple[Tensor, Tensor]:
    """Return utterances of noise, each shorter than the one before it, about half a second for each row."""
    step = network.features.sample_rate // 2 + 1
    x = torch.randn(rows, rows * step, generator=torch.Generator().manual_seed(0)) * 0.1
    return x, torch.arange(rows, 0, -1) * step


def _compare(network: _Network, path: Path) -> None:
    exported = load_exported(path)
    for rows in (1, 4):
        x, lengths = _noise(network, rows)
        expected, frames = network(x, lengths)
        found, found_frames = exported(x, lengths)
        valid = torch.arange(expected.shape[1]) < frames[:, None]
        if not torch.equal(found_frames, frames) or found.shape != expected.shape:
            raise RuntimeError(
                f"{path} gives {found_frames.tolist()} frames where the recognizer gives {frames.tolist()}"
            )
        difference = float((found.exp() - expected.exp())[valid].abs().max())
        if not difference <= TOLERANCE:
            raise RuntimeError(f"{path} differs from the recognizer by {difference:.2g} in a token's probability")


def _metadata(recognizer: SpeechRecognizer) -> str:
    rate = recognizer.features.sample_rate
    return json.dumps({"sample_rate": rate, "blank": BLANK, **recognizer.tokenizer.to_dict()}, ensure_ascii=False)


def _checked(path: str | Path, owner: str, *suffixes: str) -> Path:
    path = Path(path)
    if path.suffix not in suffixes:
        raise ValueError(f"{owner}: path must end in {' or '.join(suffixes)}, got {str(path)!r}")
    return path


def _require(package: str, owner: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{owner} needs {package}, which cannot be imported here ({error}): {_FIX}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the ONNX exporter says about packages that a recognizer has no use for out of the log."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    logger.addFilter(_wanted)
    try:
        yield
    finally:
        logger.removeFilter(_wanted)


def _wanted(record: logging.LogRecord) -> bool:
    return "torchvision" not in record.getMessage()
