"""A log is read whole or refused with the file and the line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from emafusion import LogError
from emafusion.learning.table import infer_price, tabulate
from emafusion.log import read_log, write_log


def line(id: str = "a", **changes: Any) -> dict[str, Any]:
    outcome = {"score": 1, "response": "42", "in_tok": 10, "out_tok": 5, "cost_usd": 0.001}
    return {"id": id, "prompt": "What is 6 * 7?", "outcomes": {"small": outcome}, **changes}


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("{not json", r"log\.jsonl:2: Invalid JSON"),
        (json.dumps({"id": "b", "outcomes": {}}), r"log\.jsonl:2: prompt: Field required"),
        (
            json.dumps(line("b", outcomes={"small": {"score": 1.5}})),
            r"log\.jsonl:2: outcomes\.small\.score: .*less than or equal to 1, got 1\.5",
        ),
        (
            json.dumps(line("b", outcomes={"small": {"cost_usd": -1}})),
            r"log\.jsonl:2: outcomes\.small\.cost_usd: .*got -1",
        ),
        (json.dumps(line("a")), r"log\.jsonl:2: id 'a' was already used on line 1"),
        ('{"id": "b", "prompt": "x", "outcomes": {"small": {"score": NaN}}}', r"log\.jsonl:2: "),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, second: str, said: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(line()) + "\n" + second + "\n")
    with pytest.raises(LogError, match=said):
        read_log(path)


def test_an_empty_log_and_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("\n")
    with pytest.raises(LogError, match="the log is empty"):
        read_log(tmp_path / "log.jsonl")
    with pytest.raises(LogError, match="there is no such file"):
        read_log(tmp_path / "other.jsonl")


def test_a_cut_off_gzip_file_is_an_error_not_a_shorter_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    write_log([line(str(i)) for i in range(2000)], path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(LogError, match="cannot be read"):
        read_log(path)


def test_a_log_survives_the_way_out_and_back(tmp_path: Path) -> None:
    entries = [line("a", task="maths", extra={"k": 1}), line("b", prompt=[{"role": "user", "content": "Hi"}])]
    for name in ("log.jsonl", "log.jsonl.gz"):
        write_log(read_log(entries), tmp_path / name)
        back = read_log(tmp_path / name)
        assert back == read_log(entries)
    with gzip.open(tmp_path / "log.jsonl.gz", "rt") as file:
        assert json.loads(next(file))["extra"] == {"k": 1}


def test_chat_prompts_are_routed_on_the_human_turn() -> None:
    chat = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is the boiling point of water at sea level?"},
                {"type": "image_url"},
            ],
        },
    ]
    (entry,) = read_log([line(prompt=chat)])
    assert entry.query().text == "What is the boiling point of water at sea level?"
    assert entry.query().needs == {"image"}


def test_an_unknown_cost_is_not_taken_as_zero() -> None:
    with pytest.raises(LogError, match="no cost_usd for small: an unknown price is never taken as zero"):
        tabulate(read_log([line(outcomes={"small": {"score": 1.0}})]))


def test_prices_are_recovered_from_costs() -> None:
    entries = []
    for i in range(20):
        i_tok, o_tok = 100 + 13 * i, 50 + (7 * i) % 31
        cost = (i_tok * 2.5 + o_tok * 10.0) / 1e6
        entries.append(line(str(i), outcomes={"big": {"in_tok": i_tok, "out_tok": o_tok, "cost_usd": cost}}))
    price = infer_price(tabulate(read_log(entries)), "big")
    assert price.input == pytest.approx(2.5, rel=1e-6)
    assert price.output == pytest.approx(10.0, rel=1e-6)
