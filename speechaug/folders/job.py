"""A job from its beginning to its manifest: what is missing is made, whatever stopped it before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechaug.folders.items import Options, Recording, Report
from speechaug.transform import Transform

MANIFEST_FILE = "manifest.jsonl"
JOB_FILE = "augment.json"
JOURNAL_FILE = ".unfinished.jsonl"
"""Names of the files in a folder of copies; the last is there until all is done."""


def run_job(recordings: Sequence[Recording], dst: str | Path, policy: Transform | str | Path, options: Options) -> Report:
    """Make the copies of some recordings: what :func:`augment_folder` and :func:`augment_manifest` share.

    Args:
        recordings: with unique ids and names.
        dst: folder to write to.
        policy: waveform policy, its YAML file or the name of a preset.
        options: how.

    Raises:
        ValueError: if the policy mixes examples or is for spectrograms, or ``dst`` holds something else.
    """
    raise NotImplementedError
