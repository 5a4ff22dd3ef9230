"""From a finished decision to observations: what its answers teach about their candidates, with labels or without.

An answer teaches by itself only where there is evidence on it beside the forecast: a judge's verdict, or another answer
that it can be compared with. One that was accepted unseen would only confirm the forecast that chose it. The same holds
for rules, which speak up almost only when something is wrong: to count them alone would make every candidate look bad.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.rates import PRIOR_EPS, PRIOR_RHO
from emafusion.learning.online.evidence import log_odds, verdict_evidence
from emafusion.learning.online.observation import LEAST_WEIGHT, Observation
from emafusion.types import Attempt, Decision, Forecast

__all__ = ["agreement_truth", "audit_truth", "fill_in", "observations", "told"]

RULES = "rules"
LEAST_CONTRAST = 0.2
"""By how much an audit's chance to agree must differ between a good and a bad answer for it to stand for the truth."""


def observations(
    decision: Decision,
    features: NDArray[np.float64],
    *,
    confidences: Mapping[str, float] | None = None,
    audit: float = 1.0,
) -> tuple[Observation, ...]:
    """One observation for each answer of a decision, in the order of its attempts.

    Those about which nothing is known yet are among them, with neither judge nor truth; they add nothing, and are there
    to be filled in by feedback.

    Parameters
    ----------
    features
        :meth:`~emafusion.learning.online.learner.OnlineLearner.features` of the decision's forecast.
    confidences
        Confidence in each answer before an audit's answer was known, where there was an audit: judges are to be
        compared with it, so they must not have seen it. Without it the audited answer teaches by the audit alone.
    audit
        Probability with which the decision was to be audited.
    """
    forecast = decision.forecast
    before = forecast.uncorrected or forecast.p_good
    answered = [a for a in decision.attempts if a.reply is not None and a.candidate in forecast.candidates]
    checked = audit_truth(decision)
    out = []
    for attempt in answered:
        place = forecast.candidates.index(attempt.candidate)
        audited = checked is not None and attempt.candidate == decision.answered_by
        seen = attempt.confidence
        if decision.audited is not None:
            seen = (confidences or {}).get(attempt.candidate)
        judge: float | None = None
        weight = 1.0
        if seen is not None and _spoken_of(decision, attempt, answered):
            llr = log_odds(seen) - log_odds(forecast.p_good[place])
            judge, weight = verdict_evidence(before[place], llr)
            if weight < LEAST_WEIGHT:  # it says neither yes nor no, which must not pass for a confirmation
                judge, weight = None, 1.0
        out.append(
            Observation(
                decision_id=decision.id,
                candidate=attempt.candidate,
                tick=decision.tick,
                features=features,
                forecast=before[place],
                judge=judge,
                truth=checked if audited else None,
                weight=weight,
                propensity=audit if audited else 1.0,
            )
        )
    return tuple(out)


def _spoken_of(decision: Decision, attempt: Attempt, answered: list[Attempt]) -> bool:
    if any(v.candidate == attempt.candidate and v.score is not None and v.judge != RULES for v in decision.verdicts):
        return True
    beside = (a for a in answered if a.candidate not in (attempt.candidate, decision.audited))
    return _comparable(attempt) and any(_comparable(a) for a in beside)


def _comparable(attempt: Attempt) -> bool:
    return attempt.cluster is not None and attempt.cluster >= 0


def audit_truth(decision: Decision) -> float | None:
    """What an audit says of the answer that was given; None where it says nothing.

    The reference is often right, not always, and right answers do not always look alike. Whether it agrees is therefore
    turned into a number whose mean is the quality of the answer (Rogan and Gladen 1978); a single one may lie somewhat
    outside [0, 1].
    """
    attempts = {a.candidate: a for a in decision.attempts if a.reply is not None}
    mine, reference = attempts.get(decision.answered_by), attempts.get(decision.audited or "")
    if mine is None or reference is None or mine is reference:
        return None
    if not (_comparable(mine) and _comparable(reference)):
        return None
    right = decision.forecast.of(reference.candidate)["p_good"]
    return agreement_truth(mine.cluster == reference.cluster, right, decision.forecast)


def agreement_truth(agrees: bool, right: float, forecast: Forecast | None = None) -> float | None:
    """A number whose mean is the quality of an answer, from whether it agrees with another that is ``right`` with
    that probability; None where agreement tells too little. ``forecast`` may know how often answers agree."""
    rho = None if forecast is None else forecast.right_agree
    eps = None if forecast is None else forecast.wrong_agree
    if_good = right * (PRIOR_RHO if rho is None else rho)
    if_bad = (1.0 - right) * (PRIOR_EPS if eps is None else eps)
    if if_good - if_bad < LEAST_CONTRAST:
        return None
    return (float(agrees) - if_bad) / (if_good - if_bad)


def told(decision: Decision, score: float) -> dict[str, float]:
    """Feedback on a decision: candidate -> how good its answer was, for the one that was given and those that agree."""
    given = next((a for a in decision.attempts if a.candidate == decision.answered_by), None)
    said = {decision.answered_by: float(score)}
    if given is not None and _comparable(given):
        same = (a for a in decision.attempts if a.reply is not None and a.cluster == given.cluster)
        said |= {a.candidate: float(score) for a in same}
    return said


def fill_in(observation: Observation, truth: float) -> Observation:
    """The observation once a user has told the truth, which came whatever chance wanted."""
    return replace(observation.given(None, truth), propensity=1.0)
