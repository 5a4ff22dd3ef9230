"""One object that adapters, the command line and the tests share: pool, router, panel, policy, engine and memory."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from emafusion.budgets.batch import Batch
from emafusion.budgets.budget import Budget, Budgets
from emafusion.budgets.ledger import Ledger
from emafusion.budgets.purse import Allowance, RequestPurse
from emafusion.config import Candidate, Objective, Pool
from emafusion.engine.drivers import Steps
from emafusion.engine.paying import Budgeted
from emafusion.engine.steps import Engine, StreamMode
from emafusion.errors import ConfigError
from emafusion.estimators.belief_model import BeliefModel
from emafusion.explanation import Explanation
from emafusion.judges.base import AUTHOR, Judge
from emafusion.judges.llm import LLMJudge
from emafusion.judges.panel import Panel
from emafusion.judges.self_verification import SelfVerification
from emafusion.policies.automix import AutoMix, AutoMixPolicy, Kind
from emafusion.policies.base import Policy
from emafusion.policies.cascade import CascadeRouting
from emafusion.policies.moves import Try
from emafusion.policies.planning import DEPTH, WIDTH
from emafusion.policies.trade_off import TradeOff
from emafusion.routers.base import Router
from emafusion.routers.prior import PriceRouter
from emafusion.routers.slow import SlowClassifier
from emafusion.types import Decision, Query, Result

if TYPE_CHECKING:
    from emafusion.encoders.base import Encoder
    from emafusion.learning.fitting import FitReport
    from emafusion.routers.artefact import RoutingModel
    from emafusion.store import Store

__all__ = ["Fusion"]

PolicyName: TypeAlias = Literal["auto", "cascade", "automix", "automix-threshold"]

REMEMBERED = 4096
"""Decisions and bound sessions kept in memory."""

log = logging.getLogger("emafusion")


class Fusion:
    """Self-optimising model selection over a pool, independent of any framework.

    Parameters
    ----------
    candidates
        Models, strings or :class:`Candidate`; ``resolve`` fills in what they leave open.
    resolve
        Turns a candidate as given into one with a model object, a name and a price.
    objective
        The default objective; :class:`Objective` explains the choice.
    router
        Path of a saved router, a :class:`RoutingModel`, or an object with ``forecast(query)``. None starts from the
        shipped prior.
    judges
        Judges beside rules and agreement, which are always on. Those that cost a call are asked only when worth it;
        the user's own checks (:class:`CallableJudge`) and :class:`LogProbability` see every draft. None: one
        :class:`LLMJudge` drawn from the pool; an empty sequence: none.
    policy
        "cascade" looks ahead over all candidates and judges; "automix" has each candidate verify its own answer, as its
        router was fitted with ``emafusion fit --policy automix`` (its POMDP), "automix-threshold" with thresholds.
        "auto" is AutoMix for a router that holds it, else the cascade.
    encoder
        Encodes queries; None loads the shipped static table on first use.
    store
        SQLAlchemy URL or path of an SQLite file for decisions and feedback; None keeps the last ones in memory.
    stream_mode
        "auto" streams live when nothing the answer could say would change the decision, "live" streams the first
        draft whatever it says, "buffered" never streams live.
    abstain_below
        Mark answers below this confidence as not to be trusted.
    slow_classifier
        A model, or the name of a candidate, that labels every query before it is routed; costs a call a request.
    slow_weight
        How much its labels count against those of the fast classifier, in [0, 1].
    budgets
        Limits that are never exceeded: :class:`Budget` objects, or a :class:`~emafusion.budgets.Budgets` with options.
        They are kept in ``store`` where there is one, for all processes that share it, else in this object.

    Raises
    ------
    ConfigError, PriceError, ArtefactError
        At construction, if something is wrong; never in the middle of a request.
    """

    def __init__(
        self,
        candidates: Iterable[Any],
        *,
        resolve: Callable[[Candidate], Candidate] = lambda candidate: candidate,
        objective: Objective | None = None,
        router: Router | RoutingModel | str | Path | None = None,
        judges: Sequence[Judge] | None = None,
        policy: PolicyName = "auto",
        encoder: Encoder | None = None,
        store: str | Path | Store | None = None,
        stream_mode: StreamMode = "auto",
        abstain_below: float = 0.0,
        width: int = WIDTH,
        depth: int = DEPTH,
        slow_classifier: Any = None,
        slow_weight: float = 0.5,
        budgets: Sequence[Budget] | Budgets = (),
    ) -> None:
        if isinstance(candidates, (str, bytes)) or not isinstance(candidates, Iterable):
            raise ConfigError(f"candidates must be a list of models, got {candidates!r}")
        if stream_mode not in ("auto", "live", "buffered"):
            raise ConfigError(f"stream_mode must be 'auto', 'live' or 'buffered', got {stream_mode!r}")
        if policy not in ("auto", "cascade", "automix", "automix-threshold"):
            raise ConfigError(f"policy must be 'auto', 'cascade', 'automix' or 'automix-threshold', got {policy!r}")
        if not 0.0 <= abstain_below < 1.0:
            raise ConfigError(f"abstain_below must be in [0, 1), got {abstain_below!r}")
        given = [c if isinstance(c, Candidate) else Candidate(c) for c in candidates]
        if not 0.0 <= slow_weight <= 1.0:
            raise ConfigError(f"slow_weight must be in [0, 1], got {slow_weight!r}")
        self.pool = Pool([resolve(c) for c in given])
        self.objective = objective or Objective()
        self._check_reference(self.objective)
        self._encoder = encoder
        self.stream_mode: StreamMode = stream_mode
        self.abstain_below, self.width, self.depth = abstain_below, width, depth
        shipped: tuple[Judge, ...] = (LLMJudge(),) if len(self.pool) > 1 else ()
        self._judges = shipped if judges is None else tuple(judges)
        self._shipped_judges, self._policy = judges is None, policy
        self._judge_models = self._resolve_judges(resolve)
        self._labeller = None if slow_classifier is None else self._own_model(slow_classifier, resolve, "classifier")
        self._slow_weight = slow_weight
        self._memory: OrderedDict[str, Decision] = OrderedDict()
        self._sessions: OrderedDict[str, str] = OrderedDict()
        self._scores: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()
        self.store = self._open_store(store)
        self._budgets = budgets if isinstance(budgets, Budgets) else Budgets(budgets) if budgets else None
        self._ledger = self._open_ledger()
        self.last: Decision | None = None
        self._install(router)

    # -- configuration -----------------------------------------------------------------------------------------

    def _check_reference(self, objective: Objective) -> None:
        if objective.reference is not None and objective.reference not in self.pool:
            names = ", ".join(self.pool.names)
            raise ConfigError(
                f"the objective's reference {objective.reference!r} is not a candidate (those are: {names})"
            )

    def _resolve_judges(self, resolve: Callable[[Candidate], Candidate]) -> dict[str, Candidate]:
        """Judges with a model of their own: judge -> resolved candidate (which may be one of the pool)."""
        own: dict[str, Candidate] = {}
        for judge in self._judges:
            if judge.model is None or judge.model == AUTHOR:
                continue
            own[judge.name] = self._own_model(judge.model, resolve, "judge")
        return own

    def _own_model(self, model: Any, resolve: Callable[[Candidate], Candidate], role: str) -> Candidate:
        """A candidate by name, or a model beside the pool."""
        if isinstance(model, str) and model in self.pool:
            return self.pool[model]
        (resolved,) = Pool([resolve(model if isinstance(model, Candidate) else Candidate(model))])
        if resolved.name in self.pool:  # the same name with another model behind it must not be mixed up
            resolved = replace(resolved, name=f"{resolved.name} ({role})")
        return resolved

    def _slow_classifier(self) -> SlowClassifier | None:
        if self._labeller is None:
            return None
        from emafusion.taxonomy.labels import Taxonomy

        name, price = self._labeller.name, self._labeller.price
        assert name is not None  # Pool has seen to both
        assert price is not None
        return SlowClassifier(name, price, Taxonomy.default(), self._slow_weight)

    @staticmethod
    def _open_store(store: str | Path | Store | None) -> Store | None:
        if store is None:
            return None
        from emafusion.store import Store

        return store if isinstance(store, Store) else Store(store)

    def _open_ledger(self) -> Ledger:
        if self.store is None or self._budgets is None:
            return Ledger()
        from emafusion.budgets.leases import SharedLedger

        return SharedLedger(self.store.engine, self._budgets)

    def _install(self, router: Router | RoutingModel | str | Path | None) -> None:
        """Build the engine around a router."""
        from emafusion.routers.artefact import RoutingModel, load_router
        from emafusion.routers.hybrid import HybridRouter, TaxonomyRouter

        if isinstance(router, (str, Path)):
            router = load_router(router)
        curve, belief_model = None, BeliefModel.prior(self.pool.names)
        self.routing_model: RoutingModel | None = None
        serving: Router
        if isinstance(router, RoutingModel):
            self.routing_model = router
            serving = HybridRouter(self.pool, router, encoder=self._encoder)
            curve, belief_model = router.curve, router.belief_for(self.pool)
        elif router is None:
            serving = TaxonomyRouter(self.pool, encoder=self._encoder)
        else:
            serving = router
        automix = self._automix()
        if automix is not None:
            curve = automix.curves.get("threshold" if self._policy == "automix-threshold" else automix.kind, curve)
        panel = Panel(
            self.pool,
            self._judges if automix is None or not self._shipped_judges else (SelfVerification(name=automix.judge),),
            {judge: c.name or judge for judge, c in self._judge_models.items()},
            {c.name or judge: c.price for judge, c in self._judge_models.items()},
            encoder=_LazyEncoder(self._encoder),
        )
        self.router = serving
        self.trade_off = TradeOff(self.pool, curve)
        self.engine = Engine(
            pool=self.pool,
            router=serving,
            fallback_router=PriceRouter(self.pool),
            model=belief_model,
            panel=panel,
            policy=self._policy_over(panel, automix),
            sticky=self._bound_candidate,
            bind=self._bind,
            stream_mode=self.stream_mode,
            slow=self._slow_classifier(),
        )

    def _automix(self) -> AutoMix | None:
        """AutoMix as it was fitted, where it is the policy."""
        fitted = None if self.routing_model is None else self.routing_model.automix
        if self._policy.startswith("automix") and self.routing_model is not None and fitted is None:
            raise ConfigError(
                f"policy={self._policy!r} needs a router that AutoMix was fitted with: "
                "emafusion fit LOG -o router.json --policy automix"
            )
        return None if self._policy == "cascade" else fitted

    def _policy_over(self, panel: Panel, automix: AutoMix | None) -> Policy:
        if automix is None:
            return CascadeRouting(panel, width=self.width, depth=self.depth, abstain_below=self.abstain_below)
        kind: Kind | None = "threshold" if self._policy == "automix-threshold" else None
        return AutoMixPolicy(automix, panel.judges, kind=kind, abstain_below=self.abstain_below)

    def model(self, name: str) -> Candidate:
        """The candidate, or judge's model, of that name."""
        if name in self.pool:
            return self.pool[name]
        for candidate in (*self._judge_models.values(), self._labeller):
            if candidate is not None and candidate.name == name:
                return candidate
        raise KeyError(f"no candidate and no judge's model is named {name!r}")

    # -- requests ----------------------------------------------------------------------------------------------

    def steps(
        self,
        query: Query,
        objective: Objective | None = None,
        only: Collection[str] | None = None,
        *,
        key: str | None = None,
        within: Allowance | None = None,
    ) -> Steps:
        """The steps that answer ``query``; give them to a driver.

        Parameters
        ----------
        only
            Confines the choice of candidates.
        key
            Whose request it is, for budgets per key.
        within
            A budget that it shares with the other requests of a batch (:meth:`batch`).
        """
        wanted = objective or self.objective
        if objective is not None:
            self._check_reference(objective)
        terms = self.trade_off.terms(wanted, query.prompt_tokens)
        if self._budgets is None and within is None:
            return self.engine.steps(query, wanted, terms, only)
        purse = RequestPurse(self._budgets, self._ledger, self.model, query, key, within=within)
        return Budgeted(self.engine.steps(query, wanted, terms, only, purse), purse)

    def budgets(self) -> list[dict[str, Any]]:
        """How the budgets stand in the windows that are open now, one dict for each budget and key.

        Its keys are ``name``, ``key``, ``window``, ``limit``, ``spent`` and ``reserved`` in USD, and ``resets_at``.
        Budgets per request are not listed. Over a store this asks the database, and counts what all processes have
        reported (every few seconds); what they have leased counts as reserved.
        """
        return [] if self._budgets is None else self._ledger.standing(tuple(self._budgets))

    def assign(self, queries: Sequence[Query], usd: float) -> tuple[str | None, ...]:
        """Which candidate each query of a batch is best sent to, so that all together are expected to cost ``usd``.

        The sum of the forecast probabilities of a good answer is highest (:mod:`emafusion.policies.assignment`). None:
        the budget does not reach for this query. No model is called.
        """
        return Batch(self, queries, usd).assignment(range(len(queries)))

    def batch(self, queries: Sequence[Query], usd: float) -> Batch:
        """A batch of requests under one budget that is never exceeded."""
        return Batch(self, queries, usd)

    def finish(self, query: Query, result: Result) -> None:
        """Record a decision: pacing, memory, store. Never raises."""
        decision = result.decision
        try:
            self.trade_off.settle(Objective(**decision.objective), decision.cost_usd)
            with self._lock:
                self.last = decision
                self._memory[decision.id] = decision
                while len(self._memory) > REMEMBERED:
                    self._memory.popitem(last=False)
            if self.store is not None:
                self.store.record(query, result)
        except Exception as error:  # the answer is already there: bookkeeping must not take it away
            log.warning("emafusion: a decision could not be recorded: %s: %s", type(error).__name__, error)

    def decision(self, id: str) -> Decision | None:
        """A recent decision by its id."""
        return self._memory.get(id)

    def explain(self, query: Query, objective: Objective | None = None) -> Explanation:
        """Dry run: what would be asked first, and why. No model is called."""
        wanted = objective or self.objective
        terms = self.trade_off.terms(wanted, query.prompt_tokens)
        allowed = self.pool.fitting(query)
        forecast = self.router.forecast(query)
        belief = self.engine.panel.begin(query, forecast, allowed, self.engine.model)
        move = self.engine.policy.next_move(belief, terms)
        assert isinstance(move, Try)  # nothing has been answered yet, so nothing can be accepted
        return Explanation(query.text, wanted.as_dict(), forecast, allowed, move.candidates, move.commit, move.reason)

    def feedback(self, decision_id: str, score: float) -> None:
        """Tell how good the answer of a decision was, in [0, 1]. Idempotent; the last word counts.

        Raises
        ------
        ConfigError
            If the score is out of range or the decision is unknown.
        """
        if isinstance(score, bool):
            score = float(score)
        if not isinstance(score, (int, float)) or not 0.0 <= score <= 1.0:
            raise ConfigError(f"feedback score must be a number in [0, 1], got {score!r}")
        known = decision_id in self._memory
        if self.store is not None:
            known = self.store.feedback(decision_id, float(score)) or known
        if not known:
            raise ConfigError(
                f"no decision has the id {decision_id!r}: take it from response_metadata['emafusion']['id'], and give "
                f"store='emafusion.sqlite' if feedback comes later than {REMEMBERED} requests or in another process"
            )
        with self._lock:
            self._scores[decision_id] = float(score)
            while len(self._scores) > REMEMBERED:
                self._scores.popitem(last=False)

    # -- learning ----------------------------------------------------------------------------------------------

    def fit(self, log: str | Path | Iterable[Mapping[str, Any]], **options: Any) -> FitReport:
        """Fit a router from an outcome log and serve with it from the next request on."""
        from emafusion.learning.automix_router import fit_automix_router
        from emafusion.learning.fitting import fit_router

        fitting = fit_automix_router if self._policy.startswith("automix") else fit_router
        model, report = fitting(log, encoder=self._encoder, pool=self.pool, **options)
        self._install(model)
        return report

    def save_router(self, path: str | Path) -> None:
        """Save the fitted router as JSON."""
        if self.routing_model is None:
            raise ConfigError("there is no fitted router to save: call fit(log) first")
        from emafusion.routers.artefact import save_router

        save_router(self.routing_model, path)

    # -- sessions ----------------------------------------------------------------------------------------------

    def _bound_candidate(self, session: str) -> str | None:
        with self._lock:
            return self._sessions.get(session)

    def _bind(self, session: str, candidate: str) -> None:
        with self._lock:
            self._sessions[session] = candidate
            self._sessions.move_to_end(session)
            while len(self._sessions) > REMEMBERED:
                self._sessions.popitem(last=False)


class _LazyEncoder:
    """The given encoder, or the shipped one, loaded when first needed."""

    def __init__(self, encoder: Encoder | None) -> None:
        self._encoder = encoder

    def _get(self) -> Encoder:
        if self._encoder is None:
            from emafusion.encoders import default_encoder

            self._encoder = default_encoder()
        return self._encoder

    @property
    def identity(self) -> str:
        return self._get().identity

    @property
    def dim(self) -> int:
        return self._get().dim

    def encode(self, texts: Sequence[str]) -> Any:
        return self._get().encode(texts)
