"""One object that adapters, the command line and the tests share: pool, router, panel, policy, engine and memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emafusion.assembly import (
    Assembly,
    GivenRouter,
    LazyEncoder,
    PolicyName,
    Resolve,
    Serving,
    judges_models,
    own_model,
)
from emafusion.budgets.batch import Batch
from emafusion.budgets.budget import Budget, Budgets
from emafusion.budgets.ledger import Ledger
from emafusion.budgets.purse import Allowance, RequestPurse
from emafusion.config import Candidate, Objective, Pool, Price
from emafusion.engine.binding import Binding
from emafusion.engine.drivers import Steps
from emafusion.engine.paying import Budgeted
from emafusion.engine.steps import StreamMode
from emafusion.errors import ConfigError, EMAFusionError
from emafusion.explanation import Explanation
from emafusion.feedback import REMEMBERED, Feedback
from emafusion.judges.base import Judge
from emafusion.onboarding import Ask, AsyncAsk, aplace, being_placed, place
from emafusion.policies.moves import Try
from emafusion.policies.planning import DEPTH, WIDTH
from emafusion.recent import Recent
from emafusion.types import Decision, Query, Result

if TYPE_CHECKING:
    from emafusion.encoders.base import Encoder
    from emafusion.learning.fitting import FitReport
    from emafusion.learning.online.loop import LearningLoop
    from emafusion.learning.online.preferences import Signal
    from emafusion.learning.online.settings import Learning
    from emafusion.learning.policy_watch import PolicyWatch, Promoted
    from emafusion.learning.shadow_watch import FirstOf, ShadowWatch
    from emafusion.routers.artefact import RoutingModel
    from emafusion.store import Store

__all__ = ["Fusion"]

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
    learning
        True, or :class:`Learning` with settings of one's own: learn from every answer while serving, exploring and
        auditing a small share of requests. With a store, all processes that share it learn together. The
        :attr:`learning` of another fusion, over the same store and encoder: both learn in it.
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
        resolve: Resolve = lambda candidate: candidate,
        objective: Objective | None = None,
        router: GivenRouter = None,
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
        learning: Learning | LearningLoop | bool | None = None,
    ) -> None:
        if isinstance(candidates, (str, bytes)) or not isinstance(candidates, Iterable):
            raise ConfigError(f"candidates must be a list of models, got {candidates!r}")
        self._resolve = resolve
        self.pool = Pool([self._resolved(c) for c in candidates])
        self.objective = objective or Objective()
        self._check_reference(self.objective)
        self._sessions = Recent[Binding](REMEMBERED)
        self.store = self._open_store(store)
        self._learning = self._loop(learning, LazyEncoder(encoder))
        self._feedback = Feedback(self.store, self._learning)
        self._assembly = Assembly(
            judges=None if judges is None else tuple(judges),
            judge_models=judges_models(judges or (), self.pool, resolve),
            policy=policy,
            encoder=encoder,
            stream_mode=stream_mode,
            abstain_below=abstain_below,
            width=width,
            depth=depth,
            labeller=None if slow_classifier is None else own_model(slow_classifier, self.pool, resolve, "classifier"),
            slow_weight=slow_weight,
            sticky=self._sessions.get,
            bind=self._sessions.put,
            learning=self._learning,
        )
        self._lock = threading.Lock()
        self._removed: dict[str, Candidate] = {}
        self._budgets = budgets if isinstance(budgets, Budgets) else Budgets(budgets) if budgets else None
        self._ledger = self._open_ledger()
        self.last: Decision | None = None
        self._given: GivenRouter = router
        self._serve(self._assembly.over(self.pool, router))
        self._watch = self._watched_store()
        self._shadow = self._watched_shadow()

    @classmethod
    def of_router(cls, model: RoutingModel, *, encoder: Encoder | None = None) -> Fusion:
        """A router over the candidates that it knows, at its prices, with no models behind them and no judges."""
        candidates = [Candidate(name, name=name, price=model.prices[name]) for name in model.candidates]
        return cls(candidates, router=model, judges=(), encoder=encoder)

    # -- configuration -----------------------------------------------------------------------------------------

    def _resolved(self, candidate: Any) -> Candidate:
        return self._resolve(candidate if isinstance(candidate, Candidate) else Candidate(candidate))

    def _check_reference(self, objective: Objective) -> None:
        if objective.reference is not None and objective.reference not in self.pool:
            names = ", ".join(self.pool.names)
            raise ConfigError(
                f"the objective's reference {objective.reference!r} is not a candidate (those are: {names})"
            )

    @staticmethod
    def _open_store(store: str | Path | Store | None) -> Store | None:
        if store is None:
            return None
        from emafusion.store import Store

        if not isinstance(store, (str, Path, Store)):
            raise ConfigError(f"store must be a path, a database URL or a Store, got {store!r}")
        return store if isinstance(store, Store) else Store(store)

    def _loop(self, learning: Learning | LearningLoop | bool | None, encoder: Encoder) -> LearningLoop | None:
        if learning is None or learning is False:
            return None
        from emafusion.learning.online.loop import LearningLoop
        from emafusion.learning.online.settings import Learning

        if isinstance(learning, LearningLoop):
            return learning
        settings = Learning() if learning is True else learning
        if not isinstance(settings, Learning):
            raise ConfigError(f"learning must be True, False or a Learning, got {learning!r}")
        return LearningLoop(settings, lambda: encoder, self.store)

    def _watched_store(self) -> PolicyWatch | None:
        """Where a store is, the policy that was promoted in it serves, from the beginning on and when it changes."""
        if self.store is None:
            return None
        from emafusion.learning.policy_watch import PolicyWatch

        watch = PolicyWatch(self.store)
        self._follow(watch.check())
        return watch

    def _watched_shadow(self) -> ShadowWatch | None:
        """Where no texts are kept, the policy in shadow is asked while they are there."""
        if self.store is None or self.store.store_text:
            return None
        from emafusion.learning.shadow_watch import ShadowWatch

        def first_of(model: RoutingModel) -> FirstOf:
            alone = Fusion.of_router(model)
            return lambda query, objective: alone.explain(query, objective).first[0]

        return ShadowWatch(self.store, first_of)

    def _follow(self, promoted: Promoted | None) -> None:
        if promoted is None:
            return
        given = self._given if promoted.model is None else promoted.model
        try:
            with self._lock:
                self._serve(self._assembly.over(self.pool, given, self._serving, identity=promoted.id))
        except EMAFusionError as error:  # fitted for other candidates, or with another encoder
            log.warning("emafusion: the promoted policy %r cannot serve here: %s", promoted.id, error)

    def _open_ledger(self) -> Ledger:
        if self.store is None or self._budgets is None:
            return Ledger()
        from emafusion.budgets.leases import SharedLedger

        return SharedLedger(self.store.engine, self._budgets)

    def _serve(self, serving: Serving) -> None:
        """Put in place what answers from the next request on; requests under way end as they began."""
        self._serving = serving
        self.pool, self.router, self.trade_off = serving.pool, serving.router, serving.trade_off
        self.engine, self.routing_model = serving.engine, serving.routing_model

    def model(self, name: str) -> Candidate:
        """The candidate, or judge's model, of that name."""
        if name in self.pool:
            return self.pool[name]
        for candidate in (*self._assembly.judge_models.values(), self._assembly.labeller):
            if candidate is not None and candidate.name == name:
                return candidate
        if name in self._removed:  # requests that began before it went
            return self._removed[name]
        raise KeyError(f"no candidate and no judge's model is named {name!r}")

    # -- candidates that come and go ---------------------------------------------------------------------------

    def add_candidate(self, candidate: Any) -> str:
        """Choose among one more from the next request on; returns its name.

        A router that was fitted without it forecasts it by its price and the kind of question until more is known, or
        :meth:`place_candidate` has placed it.

        Raises
        ------
        ConfigError, PriceError
            If its name is taken, or its price is unknown.
        """
        with self._lock:
            pool = Pool([*self.pool, self._resolved(candidate)])
            self._change(pool)
        return pool.names[-1]

    def place_candidate(self, name: str, anchors: int, ask: Ask) -> None:
        """Put stored questions to a candidate, and have learning place it by its answers. What fails is a warning.

        Parameters
        ----------
        anchors
            How many: those that tell most, of the newest that stood alone and whose answers can be graded. Each is a
            call that costs, under the budgets that hold; they are made one after the other.
        ask
            Puts a text to the candidate of a name, by a call that :meth:`steps` and :meth:`finish` are part of.

        Raises
        ------
        ConfigError
            If there is no such candidate, or no store to take questions from, or nothing learns.
        """
        self.check_anchors(anchors)
        self._candidate(name)
        if anchors:
            place(self, name, anchors, ask)

    async def aplace_candidate(self, name: str, anchors: int, ask: AsyncAsk) -> None:
        """:meth:`place_candidate` for asyncio."""
        self.check_anchors(anchors)
        self._candidate(name)
        if anchors:
            await aplace(self, name, anchors, ask)

    def check_anchors(self, anchors: int) -> None:
        """Raises ConfigError if so many anchors could not be asked."""
        if isinstance(anchors, bool) or not isinstance(anchors, int) or anchors < 0:
            raise ConfigError(f"anchors={anchors!r}: it is a number of stored questions to ask, 0 or more")
        if anchors and (self.store is None or self._learning is None):
            raise ConfigError(f"anchors={anchors} come from the store and are learned from: give store= and learning=")

    def remove_candidate(self, name: str) -> None:
        """Ask it no more; requests under way may still end with it.

        Raises
        ------
        ConfigError
            If there is none of that name, it is the last, or it is the objective's reference.
        """
        with self._lock:
            gone = self._candidate(name)
            if name == self.objective.reference:
                raise ConfigError(f"candidate {name!r} is the objective's reference: name another one first")
            self._change(Pool([c for c in self.pool if c.name != name]))
            self._removed[name] = gone
        if self._learning is not None:
            self._learning.forget(name)

    def set_price(self, name: str, price: Price) -> None:
        """Reckon with a new price from the next request on."""
        with self._lock:
            changed = replace(self._candidate(name), price=price)
            self._change(Pool([changed if c.name == name else c for c in self.pool]))

    def _candidate(self, name: str) -> Candidate:
        if name not in self.pool:
            raise ConfigError(f"there is no candidate {name!r} (those are: {', '.join(self.pool.names)})")
        return self.pool[name]

    def _change(self, pool: Pool) -> None:
        if self.routing_model is None and self._given is not None and not isinstance(self._given, (str, Path)):
            raise ConfigError(
                f"the router {self._given!r} was given for a fixed pool: build a new model with the other candidates"
            )
        given = self._given if self.routing_model is None else self.routing_model
        self._serve(self._assembly.over(pool, given, self._serving, identity=self.engine.identity))

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
        if self._watch is not None:
            self._follow(self._watch.poll())
        wanted = objective or self.objective
        if objective is not None:
            self._check_reference(objective)
        terms = self.trade_off.terms(wanted, query.prompt_tokens)
        self.trade_off.begin(wanted, query)
        engine = self.engine if being_placed(self) is None else replace(self.engine, explorer=None)
        if self._budgets is None and within is None:
            return engine.steps(query, wanted, terms, only)
        purse = RequestPurse(self._budgets, self._ledger, self.model, query, key, within=within)
        return Budgeted(engine.steps(query, wanted, terms, only, purse), purse)

    def share_ledger(self, other: Fusion) -> None:
        """Count spending in the ledger of ``other``: under the same budgets, both together may spend what one may."""
        self._ledger = other._ledger

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
        if (anchoring := being_placed(self)) is not None:
            result = anchoring.taken(result)
        decision = result.decision
        try:
            if "usd_per_query" in decision.objective:
                self.trade_off.settle(Objective(**decision.objective), decision.cost_usd, query)
            self.last = decision
            self._feedback.remember(query, decision)
            if self.store is not None:
                self.store.record(query, result, None if self._shadow is None else self._shadow.later(query, decision))
            if self._learning is not None:
                self._learning.decided(query, decision)
        except Exception as error:  # the answer is already there: bookkeeping must not take it away
            log.warning("emafusion: a decision could not be recorded: %s: %s", type(error).__name__, error)

    @property
    def learning(self) -> LearningLoop | None:
        """What is learned while serving; None where that is off."""
        return self._learning

    def decision(self, id: str) -> Decision | None:
        """A recent decision by its id."""
        return self._feedback.decision(id)

    def explain(self, query: Query, objective: Objective | None = None) -> Explanation:
        """Dry run: what would be asked first, and why. No model is called."""
        wanted, engine = objective or self.objective, self.engine
        terms = self.trade_off.terms(wanted, query.prompt_tokens)
        allowed = engine.pool.fitting(query)
        forecast = engine.router.forecast(query)
        belief = engine.panel.begin(query, forecast, allowed, engine.model)
        move = engine.policy.next_move(belief, terms)
        assert isinstance(move, Try)  # nothing has been answered yet, so nothing can be accepted
        return Explanation(query.text, wanted.as_dict(), forecast, allowed, move.candidates, move.commit, move.reason)

    # -- feedback ----------------------------------------------------------------------------------------------

    def feedback(
        self,
        decision_id: str,
        score: float | None = None,
        *,
        thumbs: bool | None = None,
        truth: str | None = None,
        preferred: str | None = None,
        over: str | None = None,
        key: str | None = None,
    ) -> None:
        """Tell how good the answer of a decision was, now or later, from this process or another.

        Exactly one of ``score``, ``thumbs``, ``truth`` and ``preferred`` with ``over``. The last word counts.

        Parameters
        ----------
        score
            From 0 (bad) to 1 (good).
        thumbs
            Up or down.
        truth
            The true answer: every candidate's answer is graded by it.
        preferred, over
            Names of two candidates that both answered: the answer of the first was the better one.
        key
            Who or what says it; the same key again, of the same decision, replaces what it said.

        Raises
        ------
        ConfigError
            If it makes no sense, the decision is unknown, or a truth cannot be compared with the answers.
        """
        given = {"score": score, "thumbs": thumbs, "truth": truth, "preferred": preferred or over}
        said = [name for name, value in given.items() if value is not None]
        if len(said) != 1:
            raise ConfigError("feedback is one of score=, thumbs=, truth=, or preferred= with over=")
        key = None if key is None else f"{decision_id}:{key}"  # the store knows one of each for all decisions
        if preferred is not None or over is not None:
            self._feedback.prefer(decision_id, preferred, over, key)
        elif truth is not None:
            self._feedback.compare(decision_id, truth, key)
        else:
            self._feedback.score(decision_id, score if thumbs is None else float(thumbs), said[0], key)

    def signal(self, decision_id: str, signal: Signal, *, present: bool = True) -> None:
        """Tell of a reaction that speaks against the answer of a decision, without being sure.

        Parameters
        ----------
        signal
            "schema_failure" (what came after could not use it), "retried" or "rephrased" (the user asked again).
        present
            False: it could have been seen, and was not. Who tells of complaints alone makes every candidate look bad.

        Raises
        ------
        ConfigError
            If the decision is unknown.
        """
        self._feedback.signal(decision_id, signal, present=present)

    # -- learning ----------------------------------------------------------------------------------------------

    def fit(self, log: str | Path | Iterable[Mapping[str, Any]], **options: Any) -> FitReport:
        """Fit a router from an outcome log and serve with it from the next request on."""
        from emafusion.learning.automix_router import fit_automix_router
        from emafusion.learning.fitting import fit_router

        fitting = fit_automix_router if self._assembly.policy.startswith("automix") else fit_router
        model, report = fitting(log, encoder=self._assembly.encoder, pool=self.pool, **options)
        with self._lock:
            self._serve(self._assembly.over(self.pool, model))
        return report

    def save_router(self, path: str | Path) -> None:
        """Save the fitted router as JSON."""
        if self.routing_model is None:
            raise ConfigError("there is no fitted router to save: call fit(log) first")
        from emafusion.routers.artefact import save_router

        save_router(self.routing_model, path)
