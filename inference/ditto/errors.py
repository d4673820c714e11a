"""What the talking head can refuse. Each message is one line: the value, the limit, the remedy."""

from __future__ import annotations

from inference.errors import InferenceError


class DittoRefused(InferenceError):
    """Settings that the model cannot follow."""
