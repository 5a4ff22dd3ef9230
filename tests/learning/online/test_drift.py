"""What is noticed of candidates and queries that change, and what is not taken for it."""

from __future__ import annotations

import builtins
import logging
from typing import Any

import numpy as np
import pytest

from emafusion.learning.online.drift import Alarm, DriftWatch
from emafusion.learning.online.evidence import verdict_evidence
from emafusion.learning.online.observation import Observation


def heard(watch: DriftWatch, qualities: list[float], seed: int = 0) -> list[Alarm]:
    """Alarms over a stream of verdicts, right in 77 of 100 cases, on one candidate that is forecast at 0.8."""
    rng, alarms = np.random.default_rng(seed), []
    for i, quality in enumerate(qualities):
        right = rng.random() < 0.77
        judge, weight = verdict_evidence(0.8, 1.2 if right == (rng.random() < quality) else -1.2, 1.2)
        alarm = watch.hear(Observation(str(i), "m", float(i), np.ones(1), 0.8, judge=judge, weight=weight))
        alarms += [alarm] if alarm else []
    return alarms


def test_a_collapse_is_noticed_soon_and_put_in_words() -> None:
    (alarm,) = heard(DriftWatch(), [0.85] * 200 + [0.1] * 80)
    assert alarm.kind == "quality"
    assert abs(alarm.since - 200) < 30
    assert alarm.tick < 260
    assert alarm.before > alarm.after + 0.3
    assert str(alarm).startswith("the quality of 'm' fell from 0.")


def test_a_fall_is_suspected_before_it_can_be_said() -> None:
    watch = DriftWatch()
    assert heard(watch, [0.85] * 200) == []
    assert not watch.suspects()
    fallen = 0
    while not watch.suspects():
        assert heard(watch, [0.1], seed=fallen) == []
        fallen += 1
    assert watch.suspects() == {"m"}
    assert 5 < fallen < 60


def test_a_rise_is_no_suspicion_and_a_suspicion_that_is_not_borne_out_is_dropped() -> None:
    rising = DriftWatch()
    heard(rising, [0.3] * 200)
    for i in range(20):
        heard(rising, [1.0], seed=i)
        assert not rising.suspects()
    watch = DriftWatch()
    heard(watch, [0.85] * 200)
    for i in range(60):
        if watch.suspects():
            break
        heard(watch, [0.1], seed=i)
    assert watch.suspects()
    heard(watch, [1.0] * 15, seed=7)
    assert not watch.suspects()


def test_a_rise_is_noticed_too() -> None:
    (alarm,) = heard(DriftWatch(), [0.2] * 200 + [0.95] * 100)
    assert "rose" in str(alarm)


def test_a_steady_candidate_raises_no_alarm_even_if_it_is_forecast_wrong() -> None:
    assert not [a for seed in range(3) for a in heard(DriftWatch(), [0.6] * 800, seed)]


def test_answers_that_nobody_spoke_of_are_not_watched() -> None:
    watch = DriftWatch()
    assert watch.hear(Observation("d", "m", 0.0, np.ones(1), 0.8)) is None


def test_another_kind_of_traffic_is_noticed() -> None:
    rng, watch = np.random.default_rng(0), DriftWatch()
    alarms = []
    for i in range(800):
        place = rng.normal(0.0, 0.2, 4) + (np.array([0.9, 0, 0, 0]) if i < 500 else np.array([0, 0.9, 0, 0]))
        alarms += [a] if (a := watch.meet(np.append(1.0, place), float(i))) else []
    assert alarms
    assert all(a.tick >= 500 for a in alarms)
    assert "another kind" in str(alarms[0])


def test_without_river_it_says_so_once_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **given: Any) -> Any:
        if name.split(".")[0] == "river":
            raise ImportError(name)
        return imported(name, *rest, **given)

    monkeypatch.setattr(builtins, "__import__", without)
    with caplog.at_level(logging.WARNING, logger="emafusion"):
        watch = DriftWatch()
        assert not heard(watch, [0.9] * 100 + [0.0] * 100)
    assert not watch.active
    assert [r.getMessage().count("emafusion[drift]") for r in caplog.records] == [1]


def test_watching_can_be_switched_off() -> None:
    assert not heard(DriftWatch(active=False), [0.9] * 100 + [0.0] * 100)
