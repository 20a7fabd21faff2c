"""The phase vocoder on CUDA: what plain torch does there; its frames follow each other, so small kernels in a row."""

from __future__ import annotations

from speechaug.ops.vocoder.reference import vocoder

__all__ = ["vocoder"]
