"""What other libraries and training frameworks need beside the public API; their recipes are in the guides."""

from __future__ import annotations

from speechaug.interop.audiomentations_transform import AudiomentationsTransform
from speechaug.interop.collator import AugmentingCollator, EpochDataset
from speechaug.interop.cut_transform import CutTransform
from speechaug.interop.dataset_map import DatasetMap
from speechaug.interop.external import External
from speechaug.interop.policy_module import PolicyModule

__all__ = [
    "AudiomentationsTransform",
    "AugmentingCollator",
    "CutTransform",
    "DatasetMap",
    "EpochDataset",
    "External",
    "PolicyModule",
]
