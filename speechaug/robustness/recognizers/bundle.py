"""Pipeline bundles of torchaudio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from speechaug import _torchaudio
from speechaug.audio import FloatArray
from speechaug.robustness.fingerprints import model_fingerprint
from speechaug.robustness.recognizers.recognizer import Devices, Recognizer, copies_of, without_gradients

_BLANK = "-"  # torchaudio's CTC blank
_WORD_END = "|"


def from_bundle(bundle: Any, *, devices: Devices = "auto") -> Recognizer:
    """Return a recognizer for a torchaudio pipeline bundle of CTC models, such as ``WAV2VEC2_ASR_BASE_960H``.

    Each waveform is computed alone, as these models want it; the text is that of the best path.

    Args:
        bundle: the bundle, or its name; its weights are fetched by torchaudio if they are not there yet.
        devices: as in :func:`as_recognizer`.

    Raises:
        ImportError: for a name, if torchaudio cannot be imported.
        ValueError: if there is no such bundle, or it is not of this kind.
    """
    name = bundle if isinstance(bundle, str) else type(bundle).__name__
    if isinstance(bundle, str):
        pipelines = _torchaudio.require("evaluating a pipeline bundle").pipelines
        if not hasattr(pipelines, bundle):
            raise ValueError(f"evaluate: bundle must be a name in torchaudio.pipelines, got {bundle!r}")
        bundle = getattr(pipelines, bundle)
    if not callable(getattr(bundle, "get_labels", None)):
        raise ValueError(f"evaluate: bundle must be one of CTC models, with get_labels(), got {type(bundle).__name__}")
    labels, rate, model = list(bundle.get_labels()), int(bundle.sample_rate), bundle.get_model()
    copies = copies_of(model, devices, loaded=True)
    return Recognizer(
        kind="torchaudio",
        name=name,
        fingerprint=model_fingerprint([labels, rate], model),
        sample_rate=rate,
        copies=tuple(without_gradients(_best_labels, each, labels, rate) for each in copies),
    )


def _best_labels(model: Any, labels: Sequence[str], waves: list[FloatArray], rate: int) -> list[str]:
    device = next(model.parameters()).device
    texts = []
    for wave in waves:
        emissions, _ = model(torch.from_numpy(wave)[None].to(device))
        best = torch.unique_consecutive(emissions[0].argmax(-1)).tolist()
        said = "".join(labels[index] for index in best if labels[index] != _BLANK)
        texts.append(" ".join(said.replace(_WORD_END, " ").split()))
    return texts
