"""Experiments, over HTTP: beginning one, how its variants do, and its end."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.routes import check_sources, check_tools
from hookflash.base.paging import Page
from hookflash.db.pool import Connection
from hookflash.insight import experiment_store as store
from hookflash.insight.experiment import Metric, Tally
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router

experiments = router("/v1/experiments", "experiments")

ExperimentId = Annotated[str, Path(max_length=64, examples=["expt_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("assistants:read")]
Writing = Annotated[Caller, allowed("assistants:write")]
VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", examples=["shorter"])]


class NewVariant(BaseModel):
    """Something to try."""

    model_config = ConfigDict(extra="forbid")

    name: VariantName
    share: int = Field(ge=1, le=99, description="The people who get it, in percent.", examples=[50])
    changes: AssistantConfig = Field(
        default_factory=AssistantConfig,
        description="The fields of the assistant that are other than published. The first variant, the control, has none.",
    )


class NewExperiment(BaseModel):
    """Variants of an assistant, to be compared on real conversations."""

    model_config = ConfigDict(extra="forbid")

    assistant_id: str = Field(max_length=64, examples=["asst_06bq3v0d5k8n2r7t1w4y9zac3e"])
    name: str = Field(min_length=1, max_length=80, examples=["Shorter answers"])
    metric: Metric = Field("resolution", description="What decides.")
    variants: list[NewVariant] = Field(min_length=2, max_length=5)


class Conclusion(BaseModel):
    """How to end it."""

    model_config = ConfigDict(extra="forbid")

    winner: VariantName | None = Field(
        None,
        description="The variant to publish; unset, or the control: everything stays as it is published.",
        examples=["shorter"],
    )


class ShownVariant(BaseModel):
    """A variant."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    share: int
    revision: int = Field(description="The assistant's revision that it is.")
    changes: dict[str, Any]


class ShownMeasures(BaseModel):
    """What came of a variant. Of each person the first session counts, once it was quiet for half an hour."""

    variant: str
    sessions: int
    resolution: float | None = Field(description="Share whose last turn was answered and that needed no person.")
    hand_off: float | None = Field(description="Share that was given to a person.")
    rating: float | None = Field(description="Mean of the feedback, 0 to 1.")
    ratings: int = Field(description="Sessions with feedback.")
    cost_micros: int = Field(description="Mean of a session, in millionths of a US dollar.")
    latency_ms: float | None = Field(description="Mean time of thinking about a text, in milliseconds.")


class ShownComparison(BaseModel):
    """A variant against the control."""

    model_config = ConfigDict(from_attributes=True)

    variant: str
    metric: Metric
    control: float | None
    measured: float | None
    difference: float | None = Field(description="Above 0 is better, also of hand-offs.")
    p: float = Field(description="Holds at any moment of looking, however often one looks.")
    winner: bool
    loser: bool


class ShownStanding(BaseModel):
    """Whether the figures are enough."""

    model_config = ConfigDict(from_attributes=True)

    verdict: Literal["go on", "won", "kept", "no difference"] = Field(
        description="go on; won (by `winner`); kept (the control is better); no difference (stop, it would take forever)."
    )
    winner: str | None
    compared: list[ShownComparison]


class ShownExperiment(BaseModel):
    """Variants of an assistant that are, or were, compared on real conversations."""

    id: str
    assistant_id: str
    name: str
    metric: Metric
    state: Literal["running", "concluded"]
    variants: list[ShownVariant]
    measures: list[ShownMeasures] | None = Field(description="In a list only of those that are over.")
    standing: ShownStanding | None = Field(description="In a list only of those that are over.")
    winner: str | None
    published: int | None = Field(description="The revision that its end made.")
    started_at: datetime
    ended_at: datetime | None


def _measures(name: str, tally: Tally) -> ShownMeasures:
    n = tally.sessions
    return ShownMeasures(
        variant=name,
        sessions=n,
        resolution=tally.resolved / n if n else None,
        hand_off=tally.handed_off / n if n else None,
        rating=tally.rating_sum / tally.ratings if tally.ratings else None,
        ratings=tally.ratings,
        cost_micros=round(tally.cost_micros / n) if n else 0,
        latency_ms=tally.answer_ms / tally.answers if tally.answers else None,
    )


def shown(experiment: store.Experiment, figures: store.Figures | None = None) -> ShownExperiment:
    """As the API and the command line show it; without `figures` with those of its end, if it is over."""
    figures = figures or experiment.result
    return ShownExperiment(
        id=experiment.id,
        assistant_id=experiment.assistant_id,
        name=experiment.name,
        metric=experiment.metric,
        state=experiment.state,
        variants=[ShownVariant.model_validate(each) for each in experiment.variants],
        # In the variants' order: JSON keeps none.
        measures=[_measures(each.name, figures.tallies[each.name]) for each in experiment.variants]
        if figures
        else None,
        standing=ShownStanding.model_validate(figures.standing) if figures else None,
        winner=experiment.winner,
        published=experiment.published,
        started_at=experiment.started_at,
        ended_at=experiment.ended_at,
    )


@experiments.get("", **listed(ShownExperiment))
async def list_experiments(
    asked: ListAsked,
    caller: Reading,
    assistant_id: Annotated[str | None, Query(max_length=64, description="Only those with this assistant.")] = None,
) -> Listing[ShownExperiment] | Response:
    """All experiments, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[store.Experiment]:
        return await store.page(conn, limit, cursor, assistant_id=assistant_id)

    return await caller.list(asked, read, shown)


@experiments.post("", status_code=201, responses=answers(409))
async def begin_experiment(body: NewExperiment, request: Request, caller: Writing) -> ShownExperiment:
    """Serve variants of an assistant to parts of its people, who stay with theirs. One at a time with an assistant (409).

    Only sessions that begin from now on are split.
    """
    variants = [
        (each.name, each.share, {name: getattr(each.changes, name) for name in sorted(each.changes.model_fields_set)})
        for each in body.variants
    ]
    async with caller.transaction() as conn:
        for _, _, changes in variants:
            await check_sources(conn, changes.get("sources", ()))
            await check_tools(conn, request, changes.get("tools", ()))
        begun = await store.begin(
            conn,
            caller.account_id,
            body.assistant_id,
            name=body.name,
            metric=body.metric,
            variants=variants,
            now=caller.now(),
            made_by=caller.principal.key_id,
        )
        await caller.record(conn, "experiment.begun", begun.id, assistant=begun.assistant_id, name=begun.name)
        return shown(begun, await store.figures(conn, begun, caller.now()))


@experiments.get("/{experiment_id}", responses=answers(404))
async def get_experiment(experiment_id: ExperimentId, caller: Reading) -> ShownExperiment:
    """One experiment, with what came of each variant so far. It may be looked at as often as one likes."""
    async with caller.transaction() as conn:
        found = await store.get(conn, experiment_id)
        return shown(found, await store.figures(conn, found, caller.now()))


@experiments.post("/{experiment_id}/conclude", responses=answers(404, 409))
async def conclude_experiment(experiment_id: ExperimentId, body: Conclusion, caller: Writing) -> ShownExperiment:
    """End an experiment, and publish the winner as a new revision. Sessions that run keep their variant."""
    by = caller.principal.key_id
    async with caller.transaction() as conn:
        ended = await store.conclude(conn, experiment_id, body.winner, caller.now(), made_by=by)
        await caller.record(conn, "experiment.concluded", experiment_id, winner=ended.winner, revision=ended.published)
    return shown(ended)
