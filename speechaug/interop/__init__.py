"""What other training frameworks need beside the public API; their recipes are in the README."""

from __future__ import annotations

from speechaug.interop.collator import AugmentingCollator, EpochDataset
from speechaug.interop.dataset_map import DatasetMap
from speechaug.interop.external import External

__all__ = ["AugmentingCollator", "DatasetMap", "EpochDataset", "External"]
