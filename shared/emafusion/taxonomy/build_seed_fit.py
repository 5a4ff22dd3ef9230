"""Fit the shipped taxonomy on its seeds with the shipped encoder: ``python -m emafusion.taxonomy.build_seed_fit``.

To be run after a change of seeds, of the encoder's table or of the features; a test tells when. Needs numpy only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emafusion.encoders import default_encoder
from emafusion.taxonomy.labels import Taxonomy
from emafusion.taxonomy.seed_fit import SHIPPED, SeedFit

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=SHIPPED)
    chosen = parser.parse_args(arguments)
    taxonomy, encoder = Taxonomy.default(), default_encoder()
    fit = SeedFit.fit(taxonomy, encoder)
    identity = f"{taxonomy.identity}|{encoder.identity}"
    fit.save(chosen.output, identity)
    accuracy = ", ".join(f"{axis} {model.accuracy:.3f}" for axis, model in fit.models.items())
    print(f"{chosen.output}: {identity}, {chosen.output.stat().st_size} bytes; left-out seeds right: {accuracy}")


if __name__ == "__main__":
    main()
