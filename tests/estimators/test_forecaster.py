from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from emafusion.estimators import Forecaster, Forecasts
from emafusion.estimators.scales import calibration_error, mean_log_loss, ranking_quality
from tests.estimators.synthetic import Log, make_log

TREES = 20


@pytest.fixture(scope="module")
def log() -> Log:
    return make_log(400, 3)


@pytest.fixture(scope="module")
def fitted(log: Log) -> Forecaster:
    return Forecaster(trees=TREES).fit(*log.fields())


def same(one: Forecasts, other: Forecasts, tolerance: float = 1e-6) -> bool:
    return all(
        np.allclose(getattr(one, f.name), getattr(other, f.name), rtol=0, atol=tolerance, equal_nan=True)
        for f in fields(Forecasts)
    )


def test_new_queries_are_forecast_better_than_by_the_candidates_means(fitted: Forecaster) -> None:
    new = make_log(400, 3, seed=0 + 1)
    known = make_log(400, 3)  # same seed: the centres of the embeddings agree only within one log
    embeddings = np.stack([known.embeddings[known.topic == t].mean(axis=0) for t in new.topic])
    forecast = fitted.predict(new.texts, embeddings)
    means = np.tile(known.scores.mean(axis=0), (len(new.texts), 1))
    assert mean_log_loss(forecast.p, new.scores) < mean_log_loss(means, new.scores) - 0.05
    assert np.abs(forecast.p - new.truth).mean() < 0.1


def test_out_of_fold_forecasts_are_calibrated_and_rank_queries(fitted: Forecaster, log: Log) -> None:
    assert np.all(ranking_quality(fitted.oof_.p, log.scores) > 0.7)
    assert calibration_error(fitted.oof_.p, log.scores, bins=5) < 0.08


def test_useless_texts_give_the_candidates_means() -> None:
    log = make_log(500, 4, useful=False)
    forecaster = Forecaster(trees=TREES).fit(*log.fields())
    means = log.scores.mean(axis=0)
    assert np.abs(forecaster.oof_.p.mean(axis=0) - means).max() < 0.03
    tiled = np.tile(means, (len(log.texts), 1))
    assert mean_log_loss(forecaster.oof_.p, log.scores) < mean_log_loss(tiled, log.scores) + 0.02


def test_an_artefact_forecasts_exactly_as_the_original(fitted: Forecaster, log: Log) -> None:
    config, arrays = fitted.to_arrays()
    loaded = Forecaster.from_arrays(json.loads(json.dumps(config)), arrays)
    assert same(loaded.predict(log.texts, log.embeddings), fitted.predict(log.texts, log.embeddings))
    assert loaded.to_arrays()[0] == json.loads(json.dumps(config))


def test_one_query_is_forecast_as_in_a_batch(fitted: Forecaster, log: Log) -> None:
    batch = fitted.predict(log.texts[:9], log.embeddings[:9])
    for i in range(9):
        alone = fitted.predict(log.texts[i : i + 1], log.embeddings[i : i + 1])
        assert same(alone, batch.take(slice(i, i + 1)), 1e-4)
        np.testing.assert_allclose(alone.p[0], batch.p[i], rtol=0, atol=1e-6)  # vectors are of single precision


def test_fitting_twice_gives_the_same_forecaster(fitted: Forecaster, log: Log) -> None:
    again = Forecaster(trees=TREES).fit(*log.fields())
    assert same(again.oof_, fitted.oof_)
    assert same(again.predict(log.texts, log.embeddings), fitted.predict(log.texts, log.embeddings))


def test_tokens_are_forecast_without_bias(fitted: Forecaster, log: Log) -> None:
    assert fitted.oof_.out_tok.sum() == pytest.approx(log.out_tok.sum(), rel=0.05)
    assert fitted.oof_.in_tok.sum() == pytest.approx(log.in_tok.sum(), rel=0.05)
    long, short = fitted.oof_.out_tok[log.topic == 3], fitted.oof_.out_tok[log.topic == 0]
    assert long.mean() > 2.0 * short.mean()


def test_an_unfamiliar_query_falls_back_to_the_means_and_says_so(fitted: Forecaster, log: Log) -> None:
    strange = "Wie heißt der höchste Berg Österreichs — und warum? ¿Quién lo sabe?"
    away = -log.embeddings.mean(axis=0, keepdims=True)
    near = fitted.predict(log.texts, log.embeddings)
    far = fitted.predict([strange], away)
    assert far.familiarity[0] < 0.5 < np.median(near.familiarity)
    assert far.effective_n[0] < np.median(near.effective_n)
    shift = np.abs(near.p - log.scores.mean(axis=0)).mean()
    assert np.abs(far.p[0] - log.scores.mean(axis=0)).mean() < shift
    assert far.sd.mean() > near.sd.mean()


def test_label_probabilities_inform_where_texts_do_not() -> None:
    log = make_log(400, 3, useful=False)
    labels = np.eye(4)[log.topic]
    with_labels = Forecaster(trees=TREES).fit(*log.fields(), label_probs=labels)
    without = Forecaster(trees=TREES).fit(*log.fields())
    assert mean_log_loss(with_labels.oof_.p, log.scores) < mean_log_loss(without.oof_.p, log.scores) - 0.05
    served = with_labels.predict(log.texts, log.embeddings, labels)
    assert np.abs(served.p - log.truth).mean() < 0.15
    unlabelled = with_labels.predict(log.texts, log.embeddings)
    assert np.isfinite(unlabelled.p).all()


def test_copies_of_a_prompt_do_not_leak_into_out_of_fold_forecasts() -> None:
    rng = np.random.default_rng(0)
    log = make_log(150, 2, useful=False)
    rows = np.repeat(np.arange(150), 3)
    texts = [f"{log.texts[r]}{'!' * i}" for i, r in zip(np.tile(np.arange(3), 150), rows)]
    scores = log.scores[rows]
    noise = 1e-3 * rng.normal(size=(450, 16))
    forecaster = Forecaster(trees=TREES).fit(
        texts, log.embeddings[rows] + noise, scores, log.in_tok[rows], log.out_tok[rows]
    )
    assert np.nanmax(ranking_quality(forecaster.oof_.p, scores)) < 0.65


def test_missing_scores_and_tokens_are_tolerated() -> None:
    log = make_log(300, 4)
    rng = np.random.default_rng(0)
    scores, out_tok = log.scores.copy(), log.out_tok.copy()
    scores[rng.random(scores.shape) < 0.3] = np.nan
    scores[:10] = np.nan
    scores[5:, 3] = np.nan
    scores[20:23, 3] = 1.0
    out_tok[:, 1] = np.nan
    forecaster = Forecaster(trees=TREES).fit(log.texts, log.embeddings, scores, log.in_tok, out_tok)
    forecast = forecaster.predict(log.texts, log.embeddings)
    for p in (forecast.p, forecaster.oof_.p):
        assert np.all((p > 0.0) & (p < 1.0))
    # Three good answers are no proof of perfection: the pool's mean still counts.
    assert forecast.p[:, 3].mean() < 0.97
    assert np.isnan(forecast.out_tok[:, 1]).all()
    assert np.isfinite(forecast.out_tok[:, [0, 2, 3]]).all()


def test_fractional_scores_are_regressed() -> None:
    log = make_log(300, 3, fractional=True)
    forecaster = Forecaster(trees=TREES).fit(*log.fields())
    assert np.abs(forecaster.oof_.p - log.scores).mean() < 0.12


@pytest.mark.parametrize(("n", "m"), [(2, 1), (3, 2), (8, 2), (30, 1), (60, 50)])
def test_small_logs_and_pools_of_any_size_can_be_fitted(n: int, m: int) -> None:
    log = make_log(n, m)
    forecaster = Forecaster(trees=5).fit(*log.fields())
    forecast = forecaster.predict([*log.texts, "", "\x00"], np.vstack([log.embeddings, np.zeros((2, 16))]))
    for values in (forecast.p, forecast.sd, forecast.out_tok, forecast.in_tok):
        assert values.shape == (n + 2, m)
        assert np.isfinite(values).all()
    assert np.all((forecast.familiarity >= 0.0) & (forecast.familiarity <= 1.0))
    assert np.all(forecast.sd**2 <= forecast.p * (1.0 - forecast.p) + 1e-12)


def test_a_candidate_that_is_always_right_is_not_promised_certainty() -> None:
    log = make_log(200, 2)
    scores = log.scores.copy()
    scores[:, 1] = 1.0
    forecaster = Forecaster(trees=TREES).fit(log.texts, log.embeddings, scores, log.in_tok, log.out_tok)
    assert 0.9 < forecaster.oof_.p[:, 1].mean() < 1.0


def test_bad_input_is_refused_with_a_reason() -> None:
    log = make_log(20, 2)
    with pytest.raises(ValueError, match=r"scores must lie in \[0, 1\]"):
        Forecaster().fit(log.texts, log.embeddings, log.scores * 5, log.in_tok, log.out_tok)
    with pytest.raises(ValueError, match="embeddings must be finite"):
        Forecaster().fit(log.texts, log.embeddings[:3], log.scores, log.in_tok, log.out_tok)
    with pytest.raises(ValueError, match="out_tok must have the shape of scores"):
        Forecaster().fit(log.texts, log.embeddings, log.scores, log.in_tok, log.out_tok[:, :1])
    with pytest.raises(ValueError, match="two distinct queries"):
        Forecaster().fit(["same", "Same!"], log.embeddings[:2], log.scores[:2], log.in_tok[:2], log.out_tok[:2])
    with pytest.raises(ValueError, match="members must be some of"):
        Forecaster(members=("oracle",)).fit(*log.fields())
    with pytest.raises(ValueError, match="not fitted yet"):
        Forecaster().predict(log.texts, log.embeddings)


def test_serving_needs_no_scikit_learn(fitted: Forecaster, log: Log, tmp_path: object) -> None:
    config, arrays = fitted.to_arrays()
    folder = str(tmp_path)
    np.savez(f"{folder}/arrays.npz", **arrays)  # type: ignore[arg-type]
    with open(f"{folder}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    program = (
        "import json, sys, numpy as np\n"
        "from emafusion.estimators import Forecaster\n"
        f"config = json.load(open({folder + '/config.json'!r}))\n"
        f"arrays = dict(np.load({folder + '/arrays.npz'!r}))\n"
        "forecast = Forecaster.from_arrays(config, arrays).predict(['sum prime 7?'], np.ones((1, 16)))\n"
        "assert not {'sklearn', 'scipy', 'threadpoolctl'} & set(sys.modules)\n"
        "print(json.dumps(forecast.p.tolist()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected = fitted.predict(["sum prime 7?"], np.ones((1, 16))).p
    assert np.allclose(json.loads(done.stdout), expected, atol=1e-6)
