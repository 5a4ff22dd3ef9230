"""``emafusion explain``: a dry run in words."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from emafusion.cli import app
from tests.cli.conftest import complaint, run, succeeded
from tests.evaluation.synthetic_log import CANDIDATES


def test_a_fitted_router_says_whom_it_would_ask(router: Path) -> None:
    said = succeeded("explain", "What is 12 plus 30? Give the number.", "--router", router, "--usd-value", "0.00001")
    assert said["first"] == ["tiny"]
    assert set(said["forecast"]) == set(CANDIDATES)
    assert said["objective"] == {"usd_value": 0.00001}


def test_dearer_answers_are_worth_more_money(router: Path) -> None:
    costs = []
    for value in ("0.00001", "0.1"):
        said = succeeded("explain", "How many days lie between?", "--router", router, "--usd-value", value)
        costs.append(max(said["forecast"][name]["cost_usd"] for name in said["first"]))
    assert costs[0] <= costs[1]


def test_without_a_router_list_prices_and_the_prior_speak() -> None:
    said = succeeded(
        "explain", "Translate 'good morning' into French.", "--models", "openai:gpt-4o-mini, openai:gpt-4o"
    )
    assert set(said["forecast"]) == {"gpt-4o-mini", "gpt-4o"}
    assert said["category"] == "translation"


def test_a_prompt_may_come_from_stdin(router: Path) -> None:
    result = CliRunner().invoke(app, ["explain", "-", "--router", str(router)], input="What is 2 plus 2?")
    assert result.exit_code == 0
    assert "asked: What is 2 plus 2?" in result.stdout


def test_explain_needs_one_source_of_candidates(router: Path) -> None:
    words = "give either --router router.json, or --models"
    assert words in complaint("explain", "hello")
    assert words in complaint("explain", "hello", "--router", router, "--models", "openai:gpt-4o")
    assert "the prompt is empty" in complaint("explain", "  ", "--router", router)
    assert "unknown provider 'acme'" in complaint("explain", "hello", "--models", "acme:one")


def test_a_model_without_a_list_price_is_an_error_that_shows_how_to_give_one() -> None:
    assert "has no known price" in complaint("explain", "hello", "--models", "openai:no-such-model-anywhere")


def test_every_command_explains_itself() -> None:
    for command in ("fit", "replay", "evaluate", "explain", "demo"):
        result = run(command, "--help")
        assert result.exit_code == 0, result.output
        assert "--" in result.stdout
    assert run("--version").stdout.startswith("emafusion ")
