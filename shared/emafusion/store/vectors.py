"""Vectors as bytes, little-endian on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["half_from_bytes", "half_to_bytes", "vector_from_bytes", "vector_to_bytes"]


def vector_to_bytes(vector: NDArray[np.float64]) -> bytes:
    """float64."""
    import numpy as np

    return np.ascontiguousarray(vector, dtype="<f8").tobytes()


def vector_from_bytes(stored: bytes) -> NDArray[np.float64]:
    """A new array, which may be written to."""
    import numpy as np

    return np.frombuffer(stored, dtype="<f8").astype(np.float64)


def half_to_bytes(vector: Any) -> bytes | None:
    """float16, a 1000th of each number's size exact; None for None."""
    import numpy as np

    return None if vector is None else np.ascontiguousarray(vector, dtype="<f2").tobytes()


def half_from_bytes(stored: bytes | None) -> NDArray[np.float16] | None:
    """The vector as it was kept."""
    import numpy as np

    return None if stored is None else np.frombuffer(stored, dtype="<f2").astype(np.float16)
