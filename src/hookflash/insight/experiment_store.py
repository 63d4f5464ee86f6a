"""SQL of experiments: beginning one, what came of its variants, and its end. Who gets which variant is settled where a
session begins (conversation/intake_store.py, conversation/call_store.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from hookflash.assistant import store as assistants
from hookflash.assistant.difference import updated
from hookflash.base.errors import Conflict, Invalid, NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.pool import Connection
from hookflash.insight.experiment import Metric, Standing, Tally, Variant, split, standing

# A session that was quiet for so long is over, and can be counted.
SETTLED = timedelta(minutes=30)

# A name is unique, and a call is taken, in a voice, before there is a session that could have another one.
_FIXED = frozenset({"name", "voice"})
_FIXED_WHY = "name and voice are settled before a session begins"

_COLUMNS = (
    "select id, account_id, assistant_id, name, metric, state, variants, winner, published, result, started_at, ended_at"
    " from experiments"
)


@dataclass(frozen=True, slots=True)
class Tried:
    """A variant: its share in percent, its revision, and the fields in which it differs from what was published."""

    name: str
    share: int
    revision: int
    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of each variant so far, and where that leaves the experiment."""

    tallies: dict[str, Tally]
    standing: Standing


@dataclass(frozen=True, slots=True)
class Experiment:
    """Variants of one assistant that are compared, each served to its share of the people. The first is the control.

    `result` are the figures at its end; `published` is the revision that its end made.
    """

    id: str
    account_id: str
    assistant_id: str
    name: str
    metric: Metric
    state: Literal["running", "concluded"]
    variants: tuple[Tried, ...]
    winner: str | None
    published: int | None
    result: Figures | None
    started_at: datetime
    ended_at: datetime | None


def _read(row: Mapping[str, Any]) -> Experiment:
    return msgspec.convert(row, Experiment)


async def begin(
    conn: Connection,
    account_id: str,
    assistant_id: str,
    *,
    name: str,
    metric: Metric,
    variants: Sequence[tuple[str, int, Mapping[str, Any]]],
    now: datetime,
    made_by: str | None = None,
) -> Experiment:
    """Begin an experiment. `variants`: name, share in percent, changed fields; the first one changes nothing.

    New sessions are split from now on. Raises Invalid, and Conflict when one runs with this assistant already.
    """
    try:
        assistant = await assistants.get(conn, assistant_id, lock=True)
    except NotFound:
        raise Invalid("There is no such assistant.", field="assistant_id") from None
    if variants and variants[0][2]:
        raise Invalid("The first variant is the control: it changes nothing.", field="variants")
    split([Variant(each, number, share) for number, (each, share, _) in enumerate(variants)])
    tried = []
    for number, (each, share, changes) in enumerate(variants):
        fixed = sorted(_FIXED & set(changes))
        if fixed:
            raise Invalid(f"A variant cannot change the assistant's {fixed[0]}.", field="variants", hint=_FIXED_WHY)
        revision = assistant.revision
        if number:
            config = updated(assistant.config, changes)
            if config == assistant.config:
                raise Invalid(f"The variant {each} does not differ from what is published.", field="variants")
            note = f"Variant {each} of the experiment {name}."
            revision = await assistants.add_variant(conn, account_id, assistant_id, config, note, made_by)
            changes = {field: config.to_dict()[field] for field in changes}
        tried.append(Tried(each, share, revision, dict(changes)))
    revisions = split([Variant(each.name, each.revision, each.share) for each in tried])
    names = {each.revision: each.name for each in tried}
    experiment_id = new_id("expt")
    try:
        await conn.execute(
            "insert into experiments (id, account_id, assistant_id, name, metric, variants, names, revisions, started_at)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                experiment_id,
                account_id,
                assistant_id,
                name,
                metric,
                Jsonb(msgspec.to_builtins(tried)),
                [names[revision] for revision in revisions],
                revisions,
                now,
            ),
        )
    except UniqueViolation:
        raise Conflict("An experiment runs with this assistant already.", hint="conclude it first") from None
    return await get(conn, experiment_id)


async def get(conn: Connection, experiment_id: str, *, lock: bool = False) -> Experiment:
    """With `lock` nobody else ends it before this transaction does. Raises NotFound."""
    found = await conn.execute(f"{_COLUMNS} where id = %s{' for update' if lock else ''}", (experiment_id,))
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such experiment.")
    return _read(row)


async def page(
    conn: Connection, limit: int, cursor: str | None, *, assistant_id: str | None = None
) -> Page[Experiment]:
    """Oldest first."""
    after = decode_cursor(cursor, str)[0] if cursor else ""
    found = await conn.execute(
        f"{_COLUMNS} where id > %s and (%s::text is null or assistant_id = %s) order by id limit %s",
        (after, assistant_id, assistant_id, limit + 1),
    )
    rows = await found.fetchall()
    items = [_read(row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


# People, not sessions, are split: of each one the first session counts, so that no person counts twice.
_TALLIES = """
with first as (
  select distinct on (s.contact_id) s.id, s.variant from sessions s
  where s.experiment_id = %(experiment)s and s.last_at <= %(settled)s
    and exists (select from turns t where t.session_id = s.id
                and t.kind in ('answered', 'clarified', 'unknown', 'failed', 'hand_off'))
  order by s.contact_id, s.started_at, s.id),
talk as (
  select f.variant,
    exists (select from tickets k where k.session_id = f.id) as handed_off,
    (select t.kind from turns t where t.session_id = f.id
       and t.kind in ('answered', 'clarified', 'unknown', 'failed', 'hand_off')
     order by t.at desc, t.id desc limit 1) as last_kind,
    (select avg(b.score)::float8 from feedback b where b.session_id = f.id) as rating,
    (select sum(t.cost_micros)::bigint from turns t where t.session_id = f.id) as cost,
    (select count(*) from turns t where t.session_id = f.id and t.record -> 'stages' ? 'thinking') as answers,
    (select sum((t.record -> 'stages' ->> 'thinking')::float8) from turns t where t.session_id = f.id) as ms
  from first f)
select variant, count(*)::int as sessions,
  (count(*) filter (where last_kind = 'answered' and not handed_off))::int as resolved,
  (count(*) filter (where handed_off))::int as handed_off,
  count(rating)::int as ratings, coalesce(sum(rating), 0)::float8 as rating_sum,
  coalesce(sum(rating * rating), 0)::float8 as rating_squares, coalesce(sum(cost), 0)::bigint as cost_micros,
  coalesce(sum(answers), 0)::int as answers, coalesce(sum(ms), 0)::float8 as answer_ms
from talk group by variant
"""


async def figures(conn: Connection, experiment: Experiment, now: datetime) -> Figures:
    """What came of each variant so far; of one that is over, what had come at its end."""
    if experiment.result is not None:
        return experiment.result
    found = await conn.execute(_TALLIES, {"experiment": experiment.id, "settled": now - SETTLED})
    counted = {row.pop("variant"): Tally(**row) for row in await found.fetchall()}
    tallies = {each.name: counted.get(each.name, Tally(0)) for each in experiment.variants}
    variants = [Variant(each.name, each.revision, each.share) for each in experiment.variants]
    return Figures(tallies, standing(variants, tallies, metric=experiment.metric))


async def conclude(
    conn: Connection, experiment_id: str, winner: str | None, now: datetime, *, made_by: str | None = None
) -> Experiment:
    """End an experiment. A winner other than the control is published; None leaves everything as it was.

    Sessions that run keep their variant. Raises NotFound, Conflict when it is over, Invalid for another winner.
    """
    experiment = await get(conn, experiment_id, lock=True)
    if experiment.state != "running":
        raise Conflict("This experiment is over.")
    chosen = next((each for each in experiment.variants if each.name == winner), None)
    if winner is not None and chosen is None:
        raise Invalid("There is no such variant.", field="winner")
    result = await figures(conn, experiment, now)
    await conn.execute(
        "update experiments set state = 'concluded', winner = %s, result = %s, ended_at = %s where id = %s",
        (winner, Jsonb(msgspec.to_builtins(result)), now, experiment_id),
    )
    if chosen is not None and chosen is not experiment.variants[0]:
        config = (await assistants.revision(conn, experiment.assistant_id, chosen.revision)).config
        published = await assistants.update(
            conn,
            experiment.account_id,
            experiment.assistant_id,
            config,
            now,
            note=f"Winner of the experiment {experiment.name}: {chosen.name}.",
            made_by=made_by,
        )
        await conn.execute("update experiments set published = %s where id = %s", (published.revision, experiment_id))
    return await get(conn, experiment_id)
