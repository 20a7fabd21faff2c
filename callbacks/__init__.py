"""Lightning callbacks, imported as ``speechaug.callbacks`` only.

This folder is linked into the package. Under the bare name ``callbacks`` it would be loaded a second time, and its
classes would not be those of the package: ``isinstance`` and Lightning's checkpoint state would fail without a word.
"""

from __future__ import annotations

if __name__ != "speechaug.callbacks":
    raise ImportError(f"callbacks: import name must be 'speechaug.callbacks', got {__name__!r}")

from speechaug.callbacks.augment import Augment
from speechaug.callbacks.progress import StepProgress
from speechaug.callbacks.spectrogram_augment import SpectrogramAugment

__all__ = ["Augment", "SpectrogramAugment", "StepProgress"]
