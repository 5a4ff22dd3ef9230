"""Fitting AutoMix: in a world with known noise it beats thresholds, and what is served is what was measured."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emafusion import ArtefactError, Candidate, ConfigError, Fusion, LogError, Objective, Price
from emafusion.config import Pool
from emafusion.evaluation.metrics import area_under_frontier
from emafusion.evaluation.replay import replay
from emafusion.learning.automix import automix_rules, fit_automix, value_grid
from emafusion.learning.automix_router import fit_automix_router, verification_cost, verified_log
from emafusion.learning.automix_walk import Verified, walk
from emafusion.learning.fitting import record, with_evidence
from emafusion.learning.table import read_answers, tabulate
from emafusion.learning.verifications import read_verifications
from emafusion.log import LoggedQuery, read_log
from emafusion.policies.automix import KINDS, AutoMix, Kind
from emafusion.policies.trade_off import TradeOff
from emafusion.routers.artefact import RoutingModel, load_router, save_router
from emafusion.taxonomy.classifier import TaxonomyClassifier
from tests.evaluation.synthetic_log import bare, make_log
from tests.learning.verified_log import COST, simulated, with_verifications

NAMES = ("small", "large")


def area(rules: AutoMix, test: Verified, values: np.ndarray[Any, Any], kind: Kind) -> float:
    walks = [walk(rules, NAMES, test, float(v), kind) for v in values]
    return area_under_frontier([w.cost.mean() for w in walks], [w.score.mean() for w in walks], *COST)


def with_scorer(log: Verified, noise: float, seed: int) -> Verified:
    """The log as a FrugalGPT-style cascade meets it: a free score of the answer, right up to noise, nothing else."""
    rng = np.random.default_rng(seed)
    score = 1.0 / (1.0 + np.exp(-(2.0 * (log.score - 0.5) + rng.normal(0.0, noise, log.score.shape))))
    nothing = np.zeros(log.score.shape)
    return replace(log, confidence=score, verified=np.ones(log.score.shape, dtype=bool), verification_cost=nothing)


@pytest.mark.parametrize("seed", range(4))
def test_the_pomdp_beats_thresholds_and_they_beat_a_noisier_score(seed: int) -> None:
    train, test = simulated(1000, seed), simulated(5000, 100 + seed)
    values = np.geomspace(1e-4, 0.03, 16)
    rules = automix_rules(NAMES, train, values, seed=seed)
    pomdp, threshold = (area(rules, test, values, kind) for kind in ("pomdp", "threshold"))
    # A scorer that ranks answers less well (AUROC of about .72, against .93 of the verdicts).
    scored = automix_rules(NAMES, with_scorer(train, 2.4, seed), values, seed=seed)
    frugal = area(scored, with_scorer(test, 2.4, seed + 1), values, "threshold")
    assert pomdp >= threshold + 0.01
    assert threshold >= frugal + 0.01


def test_where_verifications_say_nothing_neither_router_buys_them() -> None:
    train, test = simulated(800, 0, (0.5, 0.5, 0.5)), simulated(3000, 1, (0.5, 0.5, 0.5))
    for value in (5e-4, 5e-3):
        rules = automix_rules(NAMES, train, np.array([value]))
        alone = value * test.score.mean(0) - test.cost.mean(0)
        for kind in KINDS:
            run = walk(rules, NAMES, test, value, kind)
            assert (value * run.score - run.cost).mean() >= alone.max() - 0.02 * value


def test_more_value_never_buys_less_quality() -> None:
    train, test = simulated(1000, 5), simulated(4000, 6)
    values = value_grid(train)
    rules = automix_rules(NAMES, train, values)
    quality = [walk(rules, NAMES, test, float(v)).score.mean() for v in values]
    assert all(b >= a - 0.01 for a, b in pairwise(quality))


def test_answers_that_were_not_verified_are_still_routed() -> None:
    log = simulated(600, 2, unverified=0.5)
    run = walk(automix_rules(NAMES, log, value_grid(log)), NAMES, log, 1.5e-3)
    assert np.isin(run.answered, [0, 1]).all()
    assert (run.calls >= 1).all()


def test_the_curve_serves_all_three_objectives() -> None:
    log = simulated(1200, 3)
    rules = fit_automix(NAMES, log)
    assert set(rules.curves) == {"pomdp", "threshold"}
    pool = Pool([Candidate(name, name=name, price=Price(usd, usd)) for name, usd in zip(NAMES, (1.0, 10.0))])
    trade_off = TradeOff(pool, rules.curves["pomdp"])
    for objective in (Objective(usd_value=1e-3), Objective(usd_per_query=5e-4), Objective(quality_floor=0.9)):
        terms = trade_off.terms(objective)
        run = walk(rules, NAMES, log, terms.value)
        assert 1e-4 <= run.cost.mean() <= 1.2e-3
    budget = trade_off.terms(Objective(usd_per_query=5e-4)).value
    # A pool of two has few policies, so costs come in steps; the pacer mixes the two that a budget lies between.
    assert 2.5e-4 <= walk(rules, NAMES, log, budget).cost.mean() <= 7.5e-4
    floor = trade_off.terms(Objective(quality_floor=0.9)).value
    assert walk(rules, NAMES, log, floor).score.mean() >= 0.9 * log.score[:, 1].mean()


def test_too_few_queries_are_an_error() -> None:
    with pytest.raises(LogError, match="at least 40"):
        fit_automix(NAMES, simulated(20, 0))


# -- through the engine --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> RoutingModel:
    return fit_automix_router(with_verifications(make_log(300, seed=0)))[0]


@pytest.fixture(scope="module")
def unverified() -> RoutingModel:
    return fit_automix_router(make_log(300, seed=0))[0]


def served(model: RoutingModel, policy: Any = "auto") -> Fusion:
    candidates = [Candidate(name, name=name, price=model.prices[name]) for name in model.candidates]
    return Fusion(candidates, router=model, judges=(), policy=policy)


def as_walked(model: RoutingModel, entries: list[LoggedQuery], terms: Any, kind: Kind) -> Any:
    """What the simulation does with the same lines."""
    from emafusion.encoders import default_encoder

    assert model.automix is not None
    encoder, table = default_encoder(), tabulate(entries, model.candidates)
    answers = read_answers(entries, table, encoder)
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64)
    labels = TaxonomyClassifier(encoder=encoder).categories(table.texts, vectors)
    forecasts = model.forecaster.predict(table.texts, vectors, labels)
    recording = with_evidence(record(model, table, answers, vectors, forecasts), model.belief, answers)
    told = read_verifications(entries, table.candidates)
    log, _ = verified_log(recording, told, verification_cost(table, model.prices))
    only = np.array([not terms.only or name in terms.only for name in model.candidates])
    return walk(model.automix, model.candidates, log, terms.value, kind, only=only)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("policy", ["automix", "automix-threshold"])
@pytest.mark.parametrize("value", [0.0002, 0.002, 0.05])
def test_the_engine_decides_as_the_simulation_does(
    model: RoutingModel, unverified: RoutingModel, policy: str, value: float, recorded: bool
) -> None:
    lines = make_log(60, seed=1, start=1000)
    entries = read_log(with_verifications(lines, 7) if recorded else lines)
    fitted = model if recorded else unverified
    assert fitted.automix is not None
    assert fitted.automix.observed == ("verification" if recorded else "answer")
    fusion, objective = served(fitted, policy), Objective(usd_value=value)
    run = as_walked(
        fitted, entries, fusion.trade_off.terms(objective), "threshold" if policy.endswith("threshold") else "pomdp"
    )
    done = list(replay(entries, fusion, objective))
    same = [
        one.result.decision.answered_by == fitted.candidates[answered]
        and one.result.decision.cost_usd == pytest.approx(cost, rel=1e-6)
        for one, answered, cost in zip(done, run.answered, run.cost)
    ]
    assert np.mean(same) >= 0.98
    assert not any(one.result.decision.warnings for one in done)


def test_decisions_show_what_was_verified_and_what_it_cost(model: RoutingModel) -> None:
    entries = read_log(with_verifications(make_log(40, seed=2, start=2000), 3))
    done = [one.result.decision for one in replay(entries, served(model), Objective(usd_value=0.002))]
    told = [v for d in done for v in d.verdicts if v.judge == "self-verification"]
    assert told
    assert all(v.score is not None and v.cost_usd == pytest.approx(1e-5) for v in told)
    assert sum(d.judge_cost_usd for d in done) == pytest.approx(1e-5 * len(told))


def test_scores_change_no_decision(model: RoutingModel) -> None:
    lines = with_verifications(make_log(30, seed=4, start=3000), 5)
    objective = Objective(usd_value=0.002)
    known, unknown = (
        [one.as_dict() for one in replay(read_log(each), served(model), objective)] for each in (lines, bare(lines))
    )
    assert known == unknown


def test_a_saved_router_is_served_by_automix_again(model: RoutingModel, tmp_path: Path) -> None:
    path = tmp_path / "router.json"
    save_router(model, path)
    entries = read_log(with_verifications(make_log(30, seed=6, start=4000), 6))
    objective = Objective(usd_value=0.002)
    before, after = (
        [one.as_dict() for one in replay(entries, served(each), objective)] for each in (model, load_router(path))
    )
    assert before == after
    assert load_router(path).automix is not None


def test_a_router_without_automix_cannot_be_served_by_it(model: RoutingModel, tmp_path: Path) -> None:
    plain = replace(model, automix=None)
    save_router(plain, tmp_path / "plain.json")
    assert load_router(tmp_path / "plain.json").automix is None
    with pytest.raises(ConfigError, match="--policy automix"):
        served(plain, "automix")
    with pytest.raises(ConfigError, match="policy must be"):
        served(model, "nonsense")


def test_a_damaged_automix_is_named(model: RoutingModel, tmp_path: Path) -> None:
    import json

    from emafusion.routers.artefact import _checksum

    path = tmp_path / "router.json"
    save_router(model, path)
    whole = json.loads(path.read_text())
    whole["payload"]["automix"]["kind"] = "oracle"
    whole["checksum"] = _checksum(json.dumps(whole["payload"], sort_keys=True, separators=(",", ":")))
    path.write_text(json.dumps(whole))
    with pytest.raises(ArtefactError, match="oracle"):
        load_router(path)
