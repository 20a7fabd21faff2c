"""Every registered transform through every check of the public contract."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

import speechaug as sa
from speechaug import testing
from speechaug.testing import CHECKS, check_transform, example, policy_example

TRANSFORMS = [example(cls) for name, cls in sorted(sa.TRANSFORMS.items()) if cls.__module__.startswith("speechaug.")]
ALL = [*TRANSFORMS, policy_example()]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("transform", ALL, ids=lambda transform: type(transform).__name__)
def test_contract(transform, check):
    check(transform)


def test_every_public_transform_is_registered():
    assert {type(transform).__name__ for transform in TRANSFORMS} <= set(sa.__all__)


@pytest.mark.parametrize(
    ("broken", "failing", "error"),
    [
        ("x + 1.0", "check_padding", AssertionError),
        ("x / x.square().sum(dim=(1, 2), keepdim=True)", "check_degenerate", AssertionError),
        ("x * x.shape[0]", "check_row_alone", AssertionError),
        ("x * float(gain_db.mean())", "check_no_host_read", DataDependentOutputException),
        ("x.mul_(2.0)", "check_pure", AssertionError),
        ("x + x.detach()", "check_gradient", AssertionError),
        ("x * torch.rand(())", "check_same_rng_same_bits", AssertionError),
    ],
)
@pytest.mark.global_rng
def test_the_contract_can_fail(monkeypatch, broken, failing, error):
    """Mutants of a gain, each caught by the check made for it."""
    mutant = eval(f"lambda self, x, lengths, context, *, gain_db: ({broken}, lengths)", {"torch": torch})
    monkeypatch.setattr(sa.Gain, "apply", mutant)
    with pytest.raises(error):
        getattr(testing, failing)(sa.Gain())


def test_check_transform_names_what_failed(monkeypatch):
    monkeypatch.setattr(sa.Gain, "apply", lambda self, x, lengths, context, *, gain_db: (x + 1.0, lengths))
    with pytest.raises(AssertionError, match="Gain fails check_"):
        check_transform(sa.Gain())
