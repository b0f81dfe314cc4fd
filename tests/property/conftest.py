"""Hypothesis bounds the number of examples here, never their time: machines are slow at times."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
