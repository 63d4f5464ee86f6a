"""Who has proven to hold their phone: verifications over the database, their codes by Twilio Verify or by a text of ours."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import anyio
import structlog

from hookflash.assistant import cost
from hookflash.assistant import verification as machine
from hookflash.assistant import verification_store as store
from hookflash.assistant.code_words import MASK, Code, Unlike, listen
from hookflash.assistant.templates import text as template
from hookflash.assistant.verification import (
    GOOD_FOR,
    MOST_AN_HOUR,
    Asked,
    CannotProve,
    Check,
    Heeded,
    PassOn,
    Resume,
    SendAgain,
    Tell,
    Verification,
    number_of,
    place_of,
)
from hookflash.base.clock import Clock
from hookflash.base.errors import Conflict, NotFound
from hookflash.base.ids import new_id
from hookflash.base.phone import Kind
from hookflash.channels.codes import KIND, Codes, NotSent, digest_of
from hookflash.channels.integration import Integration
from hookflash.channels.store import Integrations
from hookflash.conversation.identity import Identity
from hookflash.conversation.identity_store import attach_identity
from hookflash.conversation.outbox_store import Extra, put
from hookflash.conversation.turn import Turn
from hookflash.db.pool import Connection, Database
from hookflash.twilio.segments import count

log = structlog.get_logger()

HOUR = timedelta(hours=1)
# A spoken turn that is thought again, because the caller went on, gives its code again.
SAID_AGAIN = timedelta(seconds=30)
MOST_WAITING = 4_000
# Looks at a verification that others change at the same time.
LOOKS = 10
RESUME = "resume"


@dataclass(frozen=True, slots=True)
class ProofDesk:
    """A Proof. `key` is that of hashes of codes that were given."""

    db: Database
    clock: Clock
    integrations: Integrations
    codes: Codes
    key: bytes

    async def verified(self, turn: Turn) -> bool:
        async with self.db.at_once(turn.account_id) as conn:
            place = await store.proven_place(conn, turn.session.id)
        return place is not None and place == place_of(turn)

    async def begin(self, turn: Turn, language: str) -> Asked | CannotProve:
        number = number_of(turn)
        if isinstance(number, CannotProve):
            return number
        # A spoken turn may be broken off at any moment; a code that is sent must be known to be.
        outcome: list[Asked | CannotProve] = []
        with anyio.CancelScope(shield=True):
            outcome.append(await self._begin(turn, number, language))
        return outcome[0]

    async def _begin(self, turn: Turn, number: str, language: str) -> Asked | CannotProve:
        now, waiting = self.clock.now(), turn.words[:MOST_WAITING]
        async with self.db.tenant(turn.account_id) as conn:
            last = await store.latest(conn, turn.session.id)
            if last is not None and last.state == "pending":
                if now < last.expires_at and last.number == number:
                    await store.save(conn, turn.account_id, last, replace(last, waiting=waiting), now)
                    return Asked(last.end)
                over = replace(last, state="expired", closed_at=now, given=None)
                await store.save(conn, turn.account_id, last, over, now)
            if await store.begun_since(conn, turn.contact.id, now - HOUR) >= MOST_AN_HOUR:
                return CannotProve(
                    "the customer cannot be verified now: too many codes were asked for in the last hour"
                )
            new = Verification(
                id=new_id("veri"),
                contact_id=turn.contact.id,
                session_id=turn.session.id,
                number=number,
                place=place_of(turn),
                waiting=waiting,
                started_at=now,
                sent_at=now,
                expires_at=now + GOOD_FOR,
                sends=1,
            )
            if not await store.add(conn, turn.account_id, new):
                return Asked(new.end)
            integration = await self.integrations.get(conn, turn.integration_id)
        sent = await self.codes.send(integration, new, language)
        if not isinstance(sent, NotSent):
            return Asked(new.end)
        async with self.db.tenant(turn.account_id) as conn:
            await store.save(conn, turn.account_id, new, replace(new, state="canceled", closed_at=now), now)
        return CannotProve(f"the customer cannot be verified: {sent.why}")

    async def hear(self, turn: Turn, language: str) -> Heeded:
        for _ in range(LOOKS):
            async with self.db.at_once(turn.account_id) as conn:
                old = await store.latest(conn, turn.session.id)
            if old is None:
                return PassOn()
            ids = {message.id for message in turn.said}
            if old.decided_by in ids and old.told is not None:
                return _told(old)
            given = old.given if old.given_by in ids else None
            heard = listen(turn.words) if given is None else Code(given) if given.isdecimal() else Unlike()
            code = digest_of(self.key, old.id, heard.digits) if isinstance(heard, Code) else None
            if old.state != "pending" and code is not None and code == old.last_code:
                fresh = old.closed_at is not None and self.clock.now() - old.closed_at < SAID_AGAIN
                return _told(old) if old.told != RESUME or (turn.line.spoken and fresh) else Tell("code_known")
            new, effect = machine.hear(old, heard, code, self.clock.now())
            if new is old and isinstance(effect, PassOn):
                return effect
            by = old.given_by if given is not None else turn.said[-1].id if turn.said else None
            with anyio.CancelScope(shield=True):
                done = await self._do(turn, old, replace(new, decided_by=by), effect, language)
            if done is not None:
                return done
        return Tell("code_away", awaiting=True)

    async def _do(
        self, turn: Turn, old: Verification, new: Verification, effect: machine.Effect, language: str
    ) -> Heeded | None:
        """Keep and do what follows; None when somebody else was faster, and it must be looked at anew."""
        account_id, now = turn.account_id, self.clock.now()
        if not isinstance(effect, Check | SendAgain):
            async with self.db.tenant(account_id) as conn:
                kept = await store.save(conn, account_id, old, _with(new, effect), now)
                integration = await self.integrations.get(conn, turn.integration_id)
            if kept and new.state == "canceled":
                await self.codes.end(integration, new)
            return effect if kept else None
        # Counted before it is done, so that nobody gets a try for nothing by being two.
        async with self.db.tenant(account_id) as conn:
            if not await store.save(conn, account_id, old, new, now):
                return None
            integration = await self.integrations.get(conn, turn.integration_id)
        if isinstance(effect, Check):
            result = await self.codes.check(integration, new, effect.digits)
            after, then = machine.checked(new, result, now)
        else:
            sent = await self.codes.send(integration, new, language)
            match sent:
                case NotSent(no_more=no_more):
                    after, then = machine.sent_again(new, "no_more" if no_more else "failed")
                case _:
                    after, then = machine.sent_again(new, "sent")
        async with self.db.tenant(account_id) as conn:
            after = _with(after, then)
            open_still = await store.settle(conn, account_id, new, after, now)
            if isinstance(then, Resume) and open_still:
                await store.proven(conn, turn.session.id, place_of(turn), now)
        if after.state == "failed":
            await self.codes.end(integration, after)
        if not isinstance(then, Resume):
            return then
        if not open_still:
            # Right, but it was over when that was known.
            return Tell("code_expired")
        await self._is_holder(turn, after, now)
        return Resume(after)

    async def _is_holder(self, turn: Turn, proven: Verification, now: datetime) -> None:
        """Whoever is known at that number is this person."""
        identity = Identity.parse(f"phone:{proven.number}")
        proof = f"verification:{proven.id}"
        try:
            async with self.db.tenant(turn.account_id) as conn:
                await attach_identity(conn, turn.account_id, turn.contact.id, identity, proof, now, merging=True)
        except (Conflict, NotFound) as error:
            # They are two until the next proof; what was asked for is done all the same.
            log.warning("contacts not merged", verification=proven.id, reason=error.message)


def _with(verification: Verification, then: Heeded) -> Verification:
    """With what is said, so that it is said again to who is heard again."""
    match then:
        case Tell(key=key):
            return replace(verification, told=key)
        case Resume():
            return replace(verification, told=RESUME)
        case _:
            return replace(verification, told=None)


def _told(verification: Verification) -> Heeded:
    if verification.told == RESUME:
        return Resume(verification)
    return Tell(verification.told or "code_known", verification.values(), awaiting=verification.state == "pending")


@dataclass(frozen=True, slots=True)
class CodeTexts:
    """Puts the text that brings a code of ours on its way; remembers sids of Verify's."""

    db: Database
    clock: Clock
    integrations: Integrations

    async def keep(self, account_id: str, verification: Verification, sid: str) -> Verification:
        async with self.db.tenant(account_id) as conn:
            return await store.by_verify(conn, verification, sid)

    async def write(
        self, integration: Integration, verification: Verification, language: str
    ) -> Verification | NotSent:
        account_id, now = integration.account_id, self.clock.now()
        async with self.db.tenant(account_id) as conn:
            by = await self._texting(conn, integration)
            if by is None:
                return NotSent("none of the company's numbers can send texts", no_more=True)
            if await opted_out(conn, verification.number, by.opt_out_scope):
                return NotSent("they have asked for no more texts from us", no_more=True)
            config = integration.assistant
            body = template("code_text", language, company=config.company, overrides=config.templates, code=MASK)
            body = body if MASK in body else f"{body} {MASK}"
            segments = count(body).number
            extra = Extra(
                id=new_id("msg"),
                contact_id=verification.contact_id,
                integration_id=by.id,
                session_id=verification.session_id,
                turn_id=None,
                address=verification.number,
                sender=await sender_of(conn, by, verification.contact_id),
                body=body,
                kind=KIND,
                language=language,
                segments=segments,
                cost_micros=cost.texts(Kind.SMS, None, segments).micros,
            )
            await put(conn, account_id, extra, now)
            return await store.by_message(conn, verification, extra.id)

    async def _texting(self, conn: Connection, integration: Integration) -> Integration | None:
        """The integration by which we text: this one, or if it only does WhatsApp another one of the account."""
        if integration.kind is Kind.SMS and integration.stopped_code is None:
            return integration
        cursor = await conn.execute(
            "select id from integrations where sender not like 'whatsapp:%%' and not disabled and stopped_code is null"
            " order by id limit 1"
        )
        row = await cursor.fetchone()
        return await self.integrations.get(conn, row["id"]) if row else None


async def sender_of(conn: Connection, integration: Integration, contact_id: str) -> str:
    """From which number of ours a person is texted: the one that they know, where there are several."""
    if not integration.is_service:
        return integration.sender
    cursor = await conn.execute(
        "select coalesce((select sender from messages where contact_id = %(c)s and integration_id = %(i)s order by seq desc"
        " limit 1), (select sender from calls where contact_id = %(c)s and integration_id = %(i)s order by id desc limit 1))"
        " as sender",
        {"c": contact_id, "i": integration.id},
    )
    row = await cursor.fetchone()
    return row["sender"] if row and row["sender"] else integration.sender


async def opted_out(conn: Connection, address: str, scope: str) -> bool:
    """Whether somebody wants no messages of a sender of ours."""
    cursor = await conn.execute(
        "select 1 from opt_outs where address = %s and sender = %s and opted_out", (address, scope)
    )
    return await cursor.fetchone() is not None
