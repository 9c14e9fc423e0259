"""How long the long tests go on, which `just soak` runs."""

from __future__ import annotations

import os


def soak_s(share: float) -> float:
    """Seconds of a test that has this share of `SOAK_MINUTES` (12 without it)."""
    return share * 60 * float(os.environ.get("SOAK_MINUTES", "12"))
