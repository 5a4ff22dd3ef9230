"""Measure what share of attacks on a judge raises the panel's confidence above the accept level.

    python tests/benchmarks/measure_attacks.py

The attacks are those of ``tests/judges/attacks.py``; behind the judge stand three scripted models: one that obeys what
stands outside of the quotations, one that repeats the JSON that it finds in the answer, and one that believes praise.
"""

from __future__ import annotations

from tests.judges.attacks import ACCEPT, ATTACKS, JUDGES, raised, tried


def main() -> None:
    """Print the table, and which attacks get through."""
    print(f"{len(ATTACKS)} attacks; accepted from a confidence of {ACCEPT} on")
    print(f"{'model behind the judge':24s}{'undefended':>22s}{'':>4s}{'defended':>22s}")
    through: dict[str, list[str]] = {}
    for name, judge in JUDGES.items():
        cells = []
        for defended in (False, True):
            heard = {attack: tried(answer, judge, defended=defended) for attack, answer in ATTACKS.items()}
            over = sum(h.judged >= ACCEPT > h.before for h in heard.values())
            up = [attack for attack, h in heard.items() if raised(h)]
            cells.append(f"{over:3d} above, {len(up):3d} raised")
            through[name] = up
        print(f"{name:24s}{cells[0]:>22s}{'':>4s}{cells[1]:>22s}")
    for name, attacks in through.items():
        if attacks:
            print(f"{name}, defended: {', '.join(attacks)}")


if __name__ == "__main__":
    main()
