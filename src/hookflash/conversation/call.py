"""A telephone call as the conversation sees it: whose it is, in which session, and what was said and heard in it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hookflash.conversation.turn import Contact, Ending, Exchange, Session


@dataclass(frozen=True, slots=True)
class CallArrival:
    """A call that rings, or that we are making. `address` is theirs, `sender` ours, both in Twilio's notation."""

    account_id: str
    integration_id: str
    call_sid: str
    direction: str
    way: str
    address: str
    sender: str
    name: str | None = None
    attestation: str | None = None
    purpose: str | None = None
    retries: int = 0


@dataclass(frozen=True, slots=True)
class CallStanding:
    """What is known when a call comes in. Money in micro-dollars, spent today (UTC)."""

    contact_id: str
    language: str | None
    human_has_it: bool
    live_calls: int
    calls_last_hour: int
    spent_contact: int
    spent_account: int
    spent_assistant: int
    spent_session: int
    session_id: str | None
    opted_out: bool


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that was admitted: everything that its turns need. `spent_micros` is what it had cost up to here."""

    id: str
    account_id: str
    integration_id: str
    call_sid: str
    direction: str
    address: str
    sender: str
    contact: Contact
    session: Session
    history: tuple[Exchange, ...]
    started_at: datetime
    spent_micros: int


@dataclass(frozen=True, slots=True)
class CallTurn:
    """One settled turn of a call. `heard` is what the caller really heard of `whole`; measures in seconds.

    `hand_off`: why a person should take over, by a gate or by the answer.
    """

    id: str
    number: int
    said: str
    heard: str
    whole: str
    interrupted: bool
    ending: Ending | None
    hand_off: str | None = None
    measures: dict[str, float | None] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    cost_micros: int = 0


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as it is stored. `parts` are its costs in micro-dollars: telephony, stt, llm, tts.

    `attempts` are those of a call of ours, `transfers` the ways to a person that were tried, each in their order.
    """

    id: str
    call_sid: str
    integration_id: str
    contact_id: str
    session_id: str | None
    direction: str
    way: str
    address: str
    sender: str
    state: str
    why: str | None
    answered_by: str | None
    purpose: str | None
    summary: str | None
    parts: dict[str, int]
    measures: dict[str, Any]
    recording: dict[str, Any] | None
    started_at: datetime
    ended_at: datetime | None
    retries: int
    attempts: list[dict[str, Any]]
    transfers: list[dict[str, Any]]

    @property
    def next_try_at(self) -> datetime | None:
        """When the attempt that is due is made, if one is."""
        due = self.attempts[-1] if self.attempts else {}
        return datetime.fromisoformat(due["due_at"]) if due.get("state") == "due" else None
