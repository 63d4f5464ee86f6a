"""Lanes in PostgreSQL: one holder at a time, fenced commits, dead holders' lanes freed, failures that end with a person."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Fenced, Unavailable
from hookflash.channels.jobs import Desk
from hookflash.conversation.lane import Held, Leaving, Newer, Outgoing, Thought, Unanswered, Work
from hookflash.conversation.turn import Turn
from hookflash.db.presence import LOCK_CLASS, Presence
from hookflash.testing.wait import until
from hookflash.wiring import desk
from tests.doors.textline import OURS, TextLine, text_line


@pytest.fixture
async def line(database_url: str, fresh_directory: Path) -> AsyncIterator[TextLine]:
    async with text_line(database_url, fresh_directory, workers=0, burst_ms=0) as opened:
        yield opened


async def texted(line: TextLine, *words: str, number: str = "+15550111222") -> None:
    for word in words:
        line.phone(number).text(OURS, word)
        await line.emulator.idle()


def worker(line: TextLine, number: int) -> Desk:
    return desk(line.core, lambda: number)


async def unanswered(at: Desk, held: Held) -> Unanswered:
    found = (await at.load(held)).unanswered
    assert found is not None
    return found


def thought(about: Unanswered, *bodies: str, **changes: Any) -> Thought:
    plain: dict[str, Any] = {
        "unanswered": about,
        "turn_id": "turn_1",
        "state": "answered",
        "why": None,
        "said": "hi",
        "question": None,
        "answered": " ".join(bodies),
        "kind": "answered",
        "confidence": 1.0,
        "model": "m",
        "prompt_revision": "p",
        "language": "en",
        "record": {},
        "outgoing": tuple(Outgoing(b) for b in bodies),
        "cost_micros": 10,
        "scope": OURS,
    }
    return Thought(**plain | changes)


async def lane(line: TextLine) -> dict[str, Any]:
    (row,) = await line.rows("select worker, fence::int as fence, failures, due_at from lanes")
    return row


async def test_of_many_that_claim_at_once_one_gets_a_lane(line: TextLine) -> None:
    for n in range(20):
        await texted(line, "hi", number=f"+155501110{n:02}")
    taken: list[Held] = []

    async def claim(number: int) -> None:
        for _ in range(5):
            taken.extend(await worker(line, number).claim(2))

    async with anyio.create_task_group() as tasks:
        for number in range(1, 7):
            tasks.start_soon(claim, number)
    assert len(taken) == len({held.contact_id for held in taken}) == 20
    rows = await line.rows("select contact_id, worker from lanes")
    assert {(r["contact_id"], r["worker"]) for r in rows} == {(h.contact_id, h.worker) for h in taken}


async def test_a_lane_that_is_held_or_not_due_is_not_claimed(line: TextLine) -> None:
    await texted(line, "hi")
    one, two = worker(line, 1), worker(line, 2)
    (held,) = await one.claim(10)
    await texted(line, "more")
    assert await two.claim(10) == []
    await one.release(held, None)
    # What came meanwhile made it due again.
    (again,) = await two.claim(10)
    assert again.fence == held.fence + 1
    await line.rows("update messages set state = 'answered' returning 1")
    await two.release(again, None)
    assert await one.claim(10) == []
    assert await one.next_due() is None


async def test_letting_go_keeps_what_is_due_first(line: TextLine) -> None:
    await texted(line, "hi")
    at = worker(line, 1)
    (held,) = await at.claim(1)
    await at.release(held, 60.0)
    due = await at.next_due()
    assert due is not None
    assert 0 < due <= 60.0
    await texted(line, "more")
    assert len(await at.claim(1)) == 1


async def test_a_commit_under_an_old_fence_is_refused_whole(line: TextLine) -> None:
    await texted(line, "hi")
    old, new = worker(line, 1), worker(line, 2)
    (stale,) = await old.claim(1)
    about = await unanswered(old, stale)
    await line.rows("update lanes set worker = null, lease_until = null, due_at = now() returning 1")
    (held,) = await new.claim(1)
    with pytest.raises(Fenced):
        await old.commit(stale, thought(about, "from the dead"), final=True, post_now=True)
    with pytest.raises(Fenced):
        await old.acknowledge(stale, about, Outgoing("one moment", "acknowledgement"))
    await old.release(stale, None)
    assert (await lane(line))["worker"] == 2
    rows = await new.commit(held, thought(about, "from the living"), final=True, post_now=True)
    assert not isinstance(rows, Newer)
    assert [r.body for r in rows] == ["from the living"]
    with pytest.raises(Fenced):
        await old.mark_posting(stale, rows[0], OURS)
    bodies = await line.rows("select body from messages where direction = 'out'")
    assert [b["body"] for b in bodies] == ["from the living"]
    assert len(await line.rows("select 1 from turns")) == 1


async def test_what_was_answered_is_not_answered_again(line: TextLine) -> None:
    await texted(line, "hi")
    at = worker(line, 1)
    (held,) = await at.claim(1)
    about = await unanswered(at, held)
    assert await at.commit(held, thought(about, "once"), final=False, post_now=True)
    assert await at.commit(held, thought(about, "twice", turn_id="turn_2"), final=True, post_now=True) == ()
    assert len(await line.rows("select 1 from messages where direction = 'out'")) == 1


async def test_more_that_was_said_meanwhile_is_told_unless_it_is_the_last_try(line: TextLine) -> None:
    await texted(line, "one")
    at = worker(line, 1)
    (held,) = await at.claim(1)
    about = await unanswered(at, held)
    await texted(line, "two")
    assert isinstance(await at.commit(held, thought(about, "a"), final=False, post_now=True), Newer)
    assert not await line.rows("select 1 from messages where direction = 'out'")
    assert [m.text for m in (await unanswered(at, held)).messages] == ["one", "two"]
    assert not isinstance(await at.commit(held, thought(about, "a"), final=True, post_now=True), Newer)
    assert [m.text for m in (await unanswered(at, held)).messages] == ["two"]


async def test_the_first_answer_leaves_at_once_and_the_rest_in_order(line: TextLine) -> None:
    await texted(line, "hi")
    at = worker(line, 1)
    (held,) = await at.claim(1)
    rows = await at.commit(held, thought(await unanswered(at, held), "a", "b", "c"), final=True, post_now=True)
    assert not isinstance(rows, Newer)
    assert [(r.body, r.state, r.poster) for r in rows] == [
        ("a", "posting", 1),
        ("b", "waiting", None),
        ("c", "waiting", None),
    ]
    work: Work = await at.load(held)
    assert [r.body for r in work.leaving] == ["a", "b", "c"]
    assert work.unanswered is None


async def test_an_acknowledgement_is_given_once_and_not_when_a_person_has_it(line: TextLine) -> None:
    await texted(line, "hi")
    at = worker(line, 1)
    (held,) = await at.claim(1)
    about = await unanswered(at, held)
    out = Outgoing("one moment", "acknowledgement")
    await line.rows(
        "insert into tickets (id, account_id, contact_id, reason, summary, state) values ('t', %s, %s, 'r', 's', 'claimed')"
        " returning 1",
        line.account_id,
        held.contact_id,
    )
    assert await at.acknowledge(held, about, out) is None
    await line.rows("update tickets set state = 'closed' returning 1")
    row = await at.acknowledge(held, about, out)
    assert row is not None
    assert (row.body, row.state) == ("one moment", "posting")
    assert await at.acknowledge(held, about, out) is None


async def test_acknowledgements_of_several_contacts_leave_together_each_by_its_own_right(line: TextLine) -> None:
    numbers = [f"+1555011100{n}" for n in range(6)]
    for number in numbers:
        await texted(line, "hi", number=number)
    at = worker(line, 1)
    held = {h.contact_id: h for h in await at.claim(10)}
    about = {contact_id: await unanswered(at, h) for contact_id, h in held.items()}
    (out_of_it,) = [c for c, u in about.items() if str(u.messages[0].address) == numbers[0]]
    (taken_over,) = [c for c, u in about.items() if str(u.messages[0].address) == numbers[1]]
    await line.rows("update lanes set fence = fence + 1 where contact_id = %s returning 1", taken_over)
    await line.rows(
        "insert into opt_outs (account_id, address, sender, opted_out, via, since) values (%s, %s, %s, true, 'keyword', now())"
        " returning 1",
        line.account_id,
        numbers[0],
        OURS,
    )
    outcomes: dict[str, object] = {}

    async def acknowledge(contact_id: str) -> None:
        try:
            outcomes[contact_id] = await at.acknowledge(
                held[contact_id], about[contact_id], Outgoing("one moment", "acknowledgement", cost_micros=5)
            )
        except Fenced as error:
            outcomes[contact_id] = error

    async with anyio.create_task_group() as tasks:
        for contact_id in held:
            tasks.start_soon(acknowledge, contact_id)
    assert outcomes.pop(out_of_it) is None
    assert isinstance(outcomes.pop(taken_over), Fenced)
    assert len(outcomes) == 4
    for contact_id, row in outcomes.items():
        assert isinstance(row, Leaving)
        assert (row.contact_id, row.state) == (contact_id, "posting")
    stored = await line.rows("select contact_id, xmin::text as by from messages where kind = 'acknowledgement'")
    assert {r["contact_id"] for r in stored} == set(outcomes)
    assert len({r["by"] for r in stored}) < len(stored)
    (spent,) = await line.rows("select sum(micros)::int as micros from spend where address = ''")
    assert spent["micros"] == 20


async def test_a_stop_that_an_acknowledgement_has_to_wait_for_is_obeyed(database_url: str, line: TextLine) -> None:
    await texted(line, "hi")
    at = worker(line, 1)
    (held,) = await at.claim(1)
    about = await unanswered(at, held)
    rows: list[Leaving | None] = []

    async def acknowledge() -> None:
        rows.append(await at.acknowledge(held, about, Outgoing("one moment", "acknowledgement")))

    async with anyio.create_task_group() as tasks, await psycopg.AsyncConnection.connect(database_url) as stop:
        # As the webhook of a STOP does: it locks the lane, and then records the opt-out.
        await stop.execute("select from lanes where contact_id = %s for update", (held.contact_id,))
        tasks.start_soon(acknowledge)
        await until(lambda: line.rows("select 1 from pg_locks where not granted"))
        await stop.execute(
            "insert into opt_outs (account_id, address, sender, opted_out, via, since)"
            " values (%s, '+15550111222', %s, true, 'keyword', now())",
            (line.account_id, OURS),
        )
    assert rows == [None]


async def test_lanes_of_the_dead_are_freed_and_those_of_the_living_are_not(line: TextLine) -> None:
    await texted(line, "hi")
    await texted(line, "hi", number="+15550111333")
    presence = Presence(line.core.url, SystemClock())
    async with anyio.create_task_group() as tasks:
        await tasks.start(presence.run)
        life = await presence.life()
        (kept,) = await worker(line, life.number).claim(1)
        (lost,) = await worker(line, life.number % 1000 + 1).claim(1)
        keeper = worker(line, life.number)
        tasks.start_soon(keeper.keep_leases)

        async def freed() -> bool:
            rows = await line.rows("select contact_id from lanes where worker is null and due_at <= now()")
            return [r["contact_id"] for r in rows] == [lost.contact_id]

        await until(freed)
        assert kept.contact_id != lost.contact_id
        tasks.cancel_scope.cancel()


async def test_a_holder_that_lives_but_keeps_no_lease_loses_its_lane(line: TextLine) -> None:
    await texted(line, "hi")
    presence = Presence(line.core.url, SystemClock())
    async with anyio.create_task_group() as tasks:
        await tasks.start(presence.run)
        life = await presence.life()
        (held,) = await worker(line, life.number).claim(1)
        async with line.core.db.system() as conn:
            await conn.execute("select free_dead_lanes()")
        assert (await lane(line))["worker"] == life.number
        await line.rows("update lanes set lease_until = now() - interval '1 second' returning 1")
        async with line.core.db.system() as conn:
            await conn.execute("select free_dead_lanes()")
        assert (await lane(line))["worker"] is None
        (taken,) = await worker(line, 77).claim(1)
        assert taken.fence > held.fence
        tasks.cancel_scope.cancel()


async def test_a_worker_whose_presence_is_cut_drops_what_it_holds_and_the_answer_comes_once(
    database_url: str, fresh_directory: Path
) -> None:
    turns = 0
    thinking = anyio.Event()

    async def slowly(turn: Turn) -> str:
        nonlocal turns
        turns += 1
        if turns == 1:
            thinking.set()
            await anyio.sleep_forever()
        return f"try {turns}"

    async with text_line(database_url, fresh_directory, answer=slowly) as line:
        phone = line.phone()
        phone.text(OURS, "hello")
        await thinking.wait()
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and classid = %s",
                (LOCK_CLASS,),
            )
        assert (await phone.wait_reply()).body == "try 2"
        await line.at_rest()
        assert len(phone.inbox) == 1
        assert (await lane(line))["fence"] >= 2


async def test_failures_end_with_a_person_and_the_next_message_begins_anew(
    database_url: str, fresh_directory: Path
) -> None:
    failing = True

    async def answer(turn: Turn) -> str:
        if failing:
            raise Unavailable("the model is away")
        return "back again"

    async with text_line(database_url, fresh_directory, answer=answer) as line:
        phone = line.phone()
        phone.text(OURS, "hello")

        async def failures() -> int:
            # Nobody waits for the pauses between the tries.
            await line.rows("update lanes set due_at = now() where worker is null and due_at is not null returning 1")
            await line.rows("select pg_notify('lanes', '')")
            return len(await line.rows("select 1 from tickets"))

        await until(failures)
        await line.at_rest()
        (ticket,) = await line.rows("select reason, summary, state from tickets")
        assert ticket == {"reason": "the assistant failed repeatedly", "summary": "hello", "state": "open"}
        (row,) = await line.rows("select state, why from messages")
        assert row == {"state": "failed", "why": "the assistant failed repeatedly"}
        assert (await lane(line))["failures"] == 0
        assert len(await line.rows("select 1 from journal where kind = 'failed'")) == 1
        failing = False
        phone.text(OURS, "anybody?")
        assert (await phone.wait_reply()).body == "back again"


async def test_a_burst_ends_after_four_times_its_window(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0, burst_ms=1_000) as line:
        phone = line.phone()
        phone.text(OURS, "one")
        await line.emulator.idle()
        for seconds in (1, 2, 3):
            await line.rows("update messages set created_at = created_at - interval '1 second' returning 1")
            phone.text(OURS, f"piece {seconds}")
            await line.emulator.idle()
        # Three seconds after the first there is one more to wait, not another window after another piece.
        await line.rows("update messages set created_at = created_at - interval '0.9 seconds' returning 1")
        phone.text(OURS, "last piece")
        await line.emulator.idle()
        (row,) = await line.rows(
            "select extract(epoch from due_at - min(m.created_at))::float8 as after from lanes, messages m group by due_at"
        )
        assert row["after"] <= 4.01
