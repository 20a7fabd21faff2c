"""The integers of the CUDA kernel of noise are Philox, word for word."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speechaug.rng import philox4x32
from tests.kernels import DEVICE

triton = pytest.importorskip("triton")
import triton.language as tl  # noqa: E402

from speechaug.ops.noise import cuda  # noqa: E402

words = cuda.words


@triton.jit
def _store(key, blocks, stream, out):  # type: ignore[no-untyped-def]  # Triton takes no annotations of Python's
    lane = tl.arange(0, 4)
    w0, w1, w2, w3 = words(tl.load(key), tl.load(blocks + lane), stream)
    tl.store(out + lane, w0.to(tl.int64))
    tl.store(out + 4 + lane, w1.to(tl.int64))
    tl.store(out + 8 + lane, w2.to(tl.int64))
    tl.store(out + 12 + lane, w3.to(tl.int64))


def stored(key: int, blocks: list[int], stream: int) -> np.ndarray:
    out = torch.empty(4, 4, dtype=torch.int64, device=DEVICE)
    _store[1,](torch.tensor([key], device=DEVICE), torch.tensor(blocks, device=DEVICE), stream, out)
    return out.cpu().numpy()


def test_known_answer() -> None:
    # Random123, tests/kat_vectors: counter and key zero.
    assert [f"{word:08x}" for word in stored(0, [0] * 4, 0)[:, 0]] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@pytest.mark.parametrize("key", [1, -1, -0x123456789ABCDEF, 2**62 + 12345, -(2**63)])
@pytest.mark.parametrize("stream", [0, 1])
def test_words_are_those_of_the_host(key: int, stream: int) -> None:
    blocks = np.array([0, 77, 2**32 - 1, 2**40 + 5])
    counter = np.zeros((4, 4), np.uint32)
    counter[:, 0], counter[:, 1], counter[:, 2] = blocks & 0xFFFFFFFF, blocks >> 32, stream
    expected = philox4x32(counter, np.array([key]).view(np.uint32))
    assert np.array_equal(stored(key, blocks.tolist(), stream).T, expected)
