"""Compile for a GPU, without one, every kernel that the registered transforms would launch: the interpreter is lenient.

``python -m tests.compiled`` prints the names of the kernels, and ends with an error where one does not compile.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)  # before the kernels are imported

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

import speechaug as sa
from speechaug.testing import SAMPLE_RATE, _batch, _call, _draws, example

HOPPER = GPUTarget("cuda", 90, 32)
GRID = 65_535  # programs along the second and third axis of a launch
POINTERS = {torch.float32: "fp32", torch.float64: "fp64", torch.int64: "i64", torch.int32: "i32", torch.uint8: "u8"}
POINTERS |= {torch.int16: "i16", torch.float16: "fp16", torch.bool: "i1"}
LAUNCHED: set[tuple[str, str]] = set()
_COMPILED: set[str] = set()


def launch(kernel: Any, *given: Any, grid: Any, warmup: bool, **named: Any) -> None:
    """Stand in for a launch: compile for these arguments, as Triton would, and compute nothing."""
    options = {name: named.pop(name) for name in ("num_warps", "num_stages") if name in named}
    bound = {**dict(zip(kernel.arg_names, given, strict=False)), **named}
    signature: dict[str, str] = {}
    constants: dict[tuple[int], Any] = {}
    aligned: dict[tuple[int], Any] = {}
    for place, parameter in enumerate(kernel.params):
        value = bound.get(parameter.name, parameter.default)
        special = not parameter.do_not_specialize
        if parameter.is_constexpr or value is None or (special and type(value) is int and value == 1):
            signature[parameter.name], constants[(place,)] = "constexpr", value
            continue
        signature[parameter.name] = _kind(value)
        if isinstance(value, torch.Tensor) or (special and isinstance(value, int) and value % 16 == 0):
            aligned[(place,)] = [["tt.divisibility", 16]]
    assert all(programs <= GRID for programs in grid[1:]), (kernel, grid)
    LAUNCHED.add((kernel.fn.__module__.split(".")[-2], kernel.fn.__name__))
    if (key := f"{kernel.fn.__module__} {kernel.fn.__name__} {signature} {constants} {options}") not in _COMPILED:
        _COMPILED.add(key)
        triton.compile(ASTSource(kernel, signature, constants, aligned), target=HOPPER, options=options)


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"*{POINTERS[value.dtype]}"
    return "fp32" if isinstance(value, float) else "i32" if -(2**31) <= value < 2**31 else "i64"


def _subjects() -> list[sa.Transform]:
    pointwise = [sa.Gain(), sa.Clipping(), sa.TanhDistortion(), sa.Quantization(), sa.Polarity()]
    linear = [sa.LowPass(), example(sa.Reverb), sa.Equalizer()]
    groups = [sa.Compose(pointwise, range_policy="rescale"), sa.Compose(linear, range_policy="clip")]
    groups.append(sa.Compose([sa.FrequencyMask(), sa.TimeMask()]))
    others = [sa.PitchShift(quality="high"), sa.Speed(quality="fast"), sa.TimeMask(fill="mean")]
    return [*(example(cls) for cls in sa.TRANSFORMS.values()), *groups, *others]


def main() -> None:
    """Run everything once, forwards and backwards, with the CUDA modules in place of the CPU ones."""
    JITFunction.run = launch
    folder = Path(importlib.import_module("speechaug.ops").__path__[0])
    for op in sorted(file.parent.name for file in folder.glob("*/cuda.py")):
        cpu, cuda = (importlib.import_module(f"speechaug.ops.{op}.{device}") for device in ("cpu", "cuda"))
        both = ModuleType(cpu.__name__)  # what has no kernel for a GPU keeps that for a CPU
        vars(both).update({**vars(cpu), **vars(cuda)})
        sys.modules[cpu.__name__] = both
    for transform in _subjects():
        transform = dataclasses.replace(transform, p=1.0)
        x, lengths = _batch(transform)
        batches = [x] if transform.domain == "waveform" else [x, x.mT.contiguous().mT]
        for batch in batches:
            leaf = batch.clone().requires_grad_(transform.differentiable)
            y, _ = _call(transform, leaf, lengths, _draws(transform, len(x)))
            if y.requires_grad:
                y.sum().backward()
    for normalisation in ("utterance", "none"):
        sa.LogMel(SAMPLE_RATE, normalisation=normalisation)(torch.zeros(2, 4_000))
    print("\n".join(f"{op} {kernel}" for op, kernel in sorted(LAUNCHED)))


if __name__ == "__main__":
    main()
