"""Every Triton kernel compiles for a GPU; what it computes is tested with the others, interpreted or on a GPU."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import speechaug.ops


def _kernels() -> set[str]:
    """The kernels that are launched: those in a folder's ``cuda.py`` that a ``name[grid](...)`` names."""
    found = set()
    for file in Path(speechaug.ops.__path__[0]).glob("*/cuda.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
                found.add(f"{file.parent.name} {ast.unparse(node.func.value)}")
    return found


def test_every_kernel_compiles_for_a_gpu(request, tmp_path):
    pytest.importorskip("triton")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    process = subprocess.run(
        [sys.executable, "-m", "tests.compiled"],
        cwd=request.config.rootpath,
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert set(process.stdout.split("\n")[:-1]) == _kernels()
