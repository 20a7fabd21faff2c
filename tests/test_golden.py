"""Draws are the same bits, samples the same to rounding, as in the version that wrote the golden file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from golden import PATH, compute

EXPECTED = json.loads(PATH.read_text()) if PATH.exists() else {}
NOW = compute()


def test_the_golden_file_covers_every_transform():
    assert set(EXPECTED) == set(NOW), "run python tests/golden.py --write and say why in the commit"


@pytest.mark.parametrize("name", sorted(NOW))
def test_nothing_changed_unnoticed(name):
    expected, now = EXPECTED[name], NOW[name]
    assert now["draws"] == expected["draws"]
    assert now["lengths"] == expected["lengths"]
    np.testing.assert_allclose(now["samples"], expected["samples"], atol=2e-5)
