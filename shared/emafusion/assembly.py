"""From what a user configured to what serves: router, trade-off, panel, policy and engine over one pool.

An :class:`Assembly` holds what stays when candidates come and go and when a router is fitted anew; each change of those
makes a new :class:`Serving`, which is put in place whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from emafusion.config import Candidate, Pool
from emafusion.engine.binding import Binding
from emafusion.engine.steps import Engine, StreamMode
from emafusion.errors import ConfigError
from emafusion.estimators.belief_model import BeliefModel
from emafusion.judges.base import AUTHOR, Judge
from emafusion.judges.llm import LLMJudge
from emafusion.judges.panel import Panel
from emafusion.judges.self_verification import SelfVerification
from emafusion.policies.automix import AutoMix, AutoMixPolicy, Kind
from emafusion.policies.base import Policy
from emafusion.policies.cascade import CascadeRouting
from emafusion.policies.planning import DEPTH, WIDTH
from emafusion.policies.trade_off import TradeOff
from emafusion.routers.base import Router
from emafusion.routers.prior import PriceRouter
from emafusion.routers.slow import SlowClassifier

if TYPE_CHECKING:
    from emafusion.encoders.base import Encoder
    from emafusion.learning.online.loop import LearningLoop
    from emafusion.routers.artefact import RoutingModel

__all__ = ["Assembly", "GivenRouter", "PolicyName", "Resolve", "Serving", "judges_models", "own_model"]

PolicyName: TypeAlias = Literal["auto", "cascade", "automix", "automix-threshold"]
Resolve: TypeAlias = Callable[[Candidate], Candidate]
GivenRouter: TypeAlias = "Router | RoutingModel | str | Path | None"


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers requests now."""

    pool: Pool
    router: Router
    trade_off: TradeOff
    engine: Engine
    routing_model: RoutingModel | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """The settings of a :class:`~emafusion.fusion.Fusion` that hold for every pool and router.

    Raises
    ------
    ConfigError
        At construction, if one is out of range.
    """

    judges: Sequence[Judge] | None = None
    judge_models: Mapping[str, Candidate] = field(default_factory=dict)
    """Judge -> its own model."""
    policy: PolicyName = "auto"
    encoder: Encoder | None = None
    stream_mode: StreamMode = "auto"
    abstain_below: float = 0.0
    width: int = WIDTH
    depth: int = DEPTH
    labeller: Candidate | None = None
    """Model of the slow classifier."""
    slow_weight: float = 0.5
    sticky: Callable[[str], Binding | None]
    bind: Callable[[str, Binding], None]
    learning: LearningLoop | None = None
    """Corrects forecasts and explores, where it is on; AutoMix, whose walk is planned when fitting, is not explored."""

    def __post_init__(self) -> None:
        if self.stream_mode not in ("auto", "live", "buffered"):
            raise ConfigError(f"stream_mode must be 'auto', 'live' or 'buffered', got {self.stream_mode!r}")
        if self.policy not in ("auto", "cascade", "automix", "automix-threshold"):
            raise ConfigError(
                f"policy must be 'auto', 'cascade', 'automix' or 'automix-threshold', got {self.policy!r}"
            )
        if not 0.0 <= self.abstain_below < 1.0:
            raise ConfigError(f"abstain_below must be in [0, 1), got {self.abstain_below!r}")
        if not 0.0 <= self.slow_weight <= 1.0:
            raise ConfigError(f"slow_weight must be in [0, 1], got {self.slow_weight!r}")

    def over(self, pool: Pool, given: GivenRouter, before: Serving | None = None, *, identity: str = "") -> Serving:
        """What serves ``pool`` by this router; the pace of budgets goes on from ``before``.

        ``identity`` names the policy in its decisions.

        Raises
        ------
        ArtefactError, ConfigError
            If the router cannot be read, or does not fit the pool or the policy.
        """
        from emafusion.routers.artefact import RoutingModel, load_router
        from emafusion.routers.hybrid import HybridRouter, TaxonomyRouter

        if isinstance(given, (str, Path)):
            given = load_router(given)
        curve, belief = None, BeliefModel.prior(pool.names)
        fitted: RoutingModel | None = None
        router: Router
        if isinstance(given, RoutingModel):
            fitted = given
            router = HybridRouter(pool, given, encoder=self.encoder)
            curve, belief = given.curve, given.belief_for(pool)
        elif given is None:
            router = TaxonomyRouter(pool, encoder=self.encoder)
        else:
            router = given
        automix = self._automix(fitted)
        if automix is not None:
            curve = automix.curves.get("threshold" if self.policy == "automix-threshold" else automix.kind, curve)
        panel = self._panel(pool, automix)
        learning = self.learning
        if learning is not None:
            router = learning.router(router, pool)
        engine = Engine(
            pool=pool,
            router=router,
            fallback_router=PriceRouter(pool),
            model=belief,
            panel=panel,
            policy=self._policy_over(panel, automix),
            sticky=self.sticky,
            bind=self.bind,
            stream_mode=self.stream_mode,
            slow=self._slow_classifier(),
            explorer=learning.explorer if learning is not None and automix is None else None,
            identity=identity,
            clock=(lambda: 0.0) if learning is None else learning.clock,
        )
        return Serving(
            pool, router, TradeOff(pool, curve, before=None if before is None else before.trade_off), engine, fitted
        )

    def _panel(self, pool: Pool, automix: AutoMix | None) -> Panel:
        judges: Sequence[Judge]
        if self.judges is not None:
            judges = self.judges
        elif automix is not None:
            judges = (SelfVerification(name=automix.judge),)
        else:
            judges = (LLMJudge(),) if len(pool) > 1 else ()
        return Panel(
            pool,
            judges,
            {judge: c.name or judge for judge, c in self.judge_models.items()},
            {c.name or judge: c.price for judge, c in self.judge_models.items()},
            encoder=LazyEncoder(self.encoder),
        )

    def _automix(self, fitted: RoutingModel | None) -> AutoMix | None:
        """AutoMix as it was fitted, where it is the policy."""
        automix = None if fitted is None else fitted.automix
        if self.policy.startswith("automix") and fitted is not None and automix is None:
            raise ConfigError(
                f"policy={self.policy!r} needs a router that AutoMix was fitted with: "
                "emafusion fit LOG -o router.json --policy automix"
            )
        return None if self.policy == "cascade" else automix

    def _policy_over(self, panel: Panel, automix: AutoMix | None) -> Policy:
        if automix is None:
            return CascadeRouting(panel, width=self.width, depth=self.depth, abstain_below=self.abstain_below)
        kind: Kind | None = "threshold" if self.policy == "automix-threshold" else None
        return AutoMixPolicy(automix, panel.judges, kind=kind, abstain_below=self.abstain_below)

    def _slow_classifier(self) -> SlowClassifier | None:
        if self.labeller is None:
            return None
        from emafusion.taxonomy.labels import Taxonomy

        name, price = self.labeller.name, self.labeller.price
        assert name is not None  # Pool has seen to both
        assert price is not None
        return SlowClassifier(name, price, Taxonomy.default(), self.slow_weight)


def own_model(model: Any, pool: Pool, resolve: Resolve, role: str) -> Candidate:
    """A candidate of the pool by name, or a model beside it; for a judge or the slow classifier."""
    if isinstance(model, str) and model in pool:
        return pool[model]
    (resolved,) = Pool([resolve(model if isinstance(model, Candidate) else Candidate(model))])
    if resolved.name in pool:  # the same name with another model behind it must not be mixed up
        resolved = replace(resolved, name=f"{resolved.name} ({role})")
    return resolved


def judges_models(judges: Sequence[Judge], pool: Pool, resolve: Resolve) -> dict[str, Candidate]:
    """Judges with a model of their own: judge -> resolved candidate (which may be one of the pool)."""
    own = [judge for judge in judges if judge.model is not None and judge.model != AUTHOR]
    return {judge.name: own_model(judge.model, pool, resolve, "judge") for judge in own}


class LazyEncoder:
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
