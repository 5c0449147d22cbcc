"""A series as a small line without axes, drawn by the server as one SVG path."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT = 240, 44
# Room for the width of the line.
_MARGIN = 2


def path(values: Sequence[float | None]) -> str:
    """Return the path of equally spaced values, the smallest at the bottom and the largest on top; gaps stay open."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    across = (WIDTH - 2 * _MARGIN) / max(1, len(values) - 1)
    up = (HEIGHT - 2 * _MARGIN) / ((high - low) or 1)
    parts, drawing = [], False
    for number, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        x = _MARGIN + number * across
        y = HEIGHT / 2 if high == low else HEIGHT - _MARGIN - (value - low) * up
        parts.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}")
        if not drawing:
            # A value between two gaps is a dot.
            parts.append("h0")
        drawing = True
    return "".join(parts)
