"""Fitting, and the fitted router as a file: whole, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emafusion import ArtefactError, Fusion, LogError, Message, Objective
from emafusion.asked import build_query
from emafusion.encoders import HashingEncoder
from emafusion.engine.drivers import run
from emafusion.learning.fitting import FitReport, fit_router
from emafusion.routers.artefact import RoutingModel, load_router, save_router
from tests.engine.scripted import ScriptedTransport, candidate
from tests.learning.synthetic import arithmetic_log


@pytest.fixture(scope="module")
def fitted() -> tuple[RoutingModel, FitReport]:
    return fit_router(arithmetic_log(240))


@pytest.fixture(scope="module")
def saved(fitted: tuple[RoutingModel, FitReport], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("router") / "router.json"
    save_router(fitted[0], path)
    return path


def test_a_saved_router_forecasts_as_the_one_in_memory(fitted: tuple[RoutingModel, FitReport], saved: Path) -> None:
    pool = [candidate(n) for n in ("small", "mid", "big")]
    query = build_query([Message("user", "What is 12 + 30?")])
    before, after = (Fusion(pool, router=r).router.forecast(query) for r in (fitted[0], saved))
    np.testing.assert_allclose(before.p_good, after.p_good, atol=1e-6)
    assert before.labels == after.labels


def test_a_fitted_router_knows_what_the_log_showed(fitted: tuple[RoutingModel, FitReport]) -> None:
    one = Fusion([candidate(n) for n in ("small", "mid", "big")], router=fitted[0])
    easy = one.router.forecast(build_query([Message("user", "What is 12 + 30?")]))
    hard = one.router.forecast(build_query([Message("user", "What is 823 * 719 - 377 * 521?")]))
    assert easy.of("small")["p_good"] > hard.of("small")["p_good"] + 0.2
    assert hard.of("big")["p_good"] > hard.of("small")["p_good"] + 0.2


def test_the_curve_trades_cost_for_quality(fitted: tuple[RoutingModel, FitReport]) -> None:
    curve = fitted[1].curve
    assert list(curve.cost) == sorted(curve.cost)
    assert max(curve.quality) > curve.quality[0]
    assert set(curve.certified) == {"small", "mid", "big"}


def test_a_candidate_that_the_log_did_not_know_is_forecast_from_its_price(
    fitted: tuple[RoutingModel, FitReport],
) -> None:
    one = Fusion([candidate(n) for n in ("small", "newcomer", "big")], router=fitted[0])
    transport = ScriptedTransport(dict.fromkeys(("small", "newcomer", "big"), "42"))
    result = run(one.steps(build_query([Message("user", "What is 12 + 30?")])), transport)
    forecast = result.decision.forecast
    assert set(forecast.candidates) == {"small", "newcomer", "big"}
    assert all(np.isfinite(forecast.p_good))
    assert forecast.of("newcomer")["spread"] > forecast.of("small")["spread"]


def test_a_router_of_other_candidates_is_refused(fitted: tuple[RoutingModel, FitReport]) -> None:
    with pytest.raises(ArtefactError, match="and none of the pool's candidates"):
        Fusion([candidate("a"), candidate("b")], router=fitted[0])


def test_a_router_of_another_encoder_is_refused(saved: Path) -> None:
    with pytest.raises(ArtefactError, match="was fitted with encoder"):
        Fusion([candidate(n) for n in ("small", "mid", "big")], router=saved, encoder=HashingEncoder(256))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 99}, "has format version 99"),
        ({"format": "something"}, "is not a router saved by EMAFusion"),
        ({"checksum": "sha256:0"}, "its checksum does not match"),
    ],
)
def test_a_file_that_is_not_what_was_saved_is_refused(
    saved: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    whole = json.loads(saved.read_text()) | change
    path = tmp_path / "router.json"
    path.write_text(json.dumps(whole))
    with pytest.raises(ArtefactError, match=said):
        load_router(path)


def test_a_changed_payload_breaks_the_checksum(saved: Path, tmp_path: Path) -> None:
    whole = json.loads(saved.read_text())
    whole["payload"]["prices"]["big"]["input"] = 0.0
    path = tmp_path / "router.json"
    path.write_text(json.dumps(whole))
    with pytest.raises(ArtefactError, match="its checksum does not match"):
        load_router(path)


def test_a_missing_file_and_a_torn_one(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(ArtefactError, match="cannot be read"):
        load_router(tmp_path / "none.json")
    torn = tmp_path / "torn.json"
    torn.write_text(saved.read_text()[:1000])
    with pytest.raises(ArtefactError, match="is not JSON"):
        load_router(torn)


def test_too_few_labels_are_an_error_that_says_how_many() -> None:
    with pytest.raises(LogError, match="the log has scores for 20 queries: fitting needs at least 50"):
        fit_router(arithmetic_log(20))


def test_fusion_fits_and_serves_from_the_next_request(tmp_path: Path) -> None:
    one = Fusion([candidate(n) for n in ("small", "mid", "big")], judges=())
    report = one.fit(arithmetic_log(120))
    assert report.labelled == 120
    result = run(
        one.steps(build_query([Message("user", "What is 12 + 30?")]), Objective(usd_value=0.001)),
        ScriptedTransport(dict.fromkeys(("small", "mid", "big"), "42")),
    )
    assert result.decision.forecast.right_agree is not None
    one.save_router(tmp_path / "r.json")
    assert load_router(tmp_path / "r.json").candidates == one.pool.names
