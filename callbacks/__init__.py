"""Lightning callbacks, imported as ``speechaug.callbacks`` only.

This folder is linked into the package. Under the bare name ``callbacks`` it would be loaded a second time, and its
classes would not be those of the package: ``isinstance`` and Lightning's checkpoint state would fail without a word.
"""

from __future__ import annotations

if __name__ != "speechaug.callbacks":
    raise ImportError(f"callbacks: import name must be 'speechaug.callbacks', got {__name__!r}")

from speechaug.callbacks.augment import Augment
from speechaug.callbacks.augmentation_log import AugmentationLog
from speechaug.callbacks.listen import Listen
from speechaug.callbacks.over_augmentation_guard import OverAugmentationGuard
from speechaug.callbacks.progress import StepProgress
from speechaug.callbacks.robustness_evaluation import RobustnessEvaluation
from speechaug.callbacks.spectrogram_augment import SpectrogramAugment
from speechaug.callbacks.strength_schedule import StrengthSchedule

__all__ = [
    "Augment",
    "AugmentationLog",
    "Listen",
    "OverAugmentationGuard",
    "RobustnessEvaluation",
    "SpectrogramAugment",
    "StepProgress",
    "StrengthSchedule",
]
