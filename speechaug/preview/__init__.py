"""Hear and see what a policy does to your recordings, before any training: one page with everything in it."""

from __future__ import annotations

from speechaug.preview.command import preview

__all__ = ["preview"]
