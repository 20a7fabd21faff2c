"""Manifests, data sets and the Lightning DataModule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speechaug.data.dataset import Recording, SpeechDataset
from speechaug.data.findings import Finding, summarize
from speechaug.data.hugging_face import read_hugging_face
from speechaug.data.manifest import Utterance, write_manifest
from speechaug.data.sampler import BucketSampler, ResumableLoader
from speechaug.data.scan import scan
from speechaug.data.sources import read_manifest
from speechaug.data.strings import Joined, plan_strings

if TYPE_CHECKING:
    from speechaug.data.module import SpeechDataModule

__all__ = [
    "BucketSampler",
    "Finding",
    "Joined",
    "Recording",
    "ResumableLoader",
    "SpeechDataModule",
    "SpeechDataset",
    "Utterance",
    "plan_strings",
    "read_hugging_face",
    "read_manifest",
    "scan",
    "summarize",
    "write_manifest",
]


def __getattr__(name: str) -> Any:
    """Import Lightning only for those who use the DataModule: manifests are read without it."""
    if name == "SpeechDataModule":
        from speechaug.data.module import SpeechDataModule

        return SpeechDataModule
    raise AttributeError(f"module 'speechaug.data' has no attribute {name!r}")
