"""Conferences: who is in which room, held or muted, and how Twilio's API writes them. Their sound is not mixed."""

from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import anyio

from hookflash.emulator.calls import Call, Callback
from hookflash.emulator.message import API_VERSION


@dataclass(slots=True, eq=False)
class Participant:
    """A call in a room. `gone` is set when it is to leave; `begins`: whether its coming starts the conference."""

    serial: int
    call: Call
    created: datetime
    label: str | None = None
    begins: bool = True
    ends: bool = False
    muted: bool = False
    hold: bool = False
    coaching: bool = False
    coached: str | None = None
    updated: datetime | None = None
    gone: anyio.Event = field(default_factory=anyio.Event)


@dataclass(slots=True, eq=False)
class Conference:
    """A room. `status` is init (nobody who starts it is there yet), in-progress or completed."""

    sid: str
    serial: int
    name: str
    created: datetime
    status: str = "init"
    participants: dict[str, Participant] = field(default_factory=dict)
    callback: Callback | None = None
    sequence: int = 0
    updated: datetime | None = None
    why_ended: str | None = None
    ended_by: str | None = None

    def enter(self, participant: Participant) -> bool:
        """Let a call in; True when that starts the conference."""
        self.participants[participant.call.sid] = participant
        starts = self.status == "init" and participant.begins
        if starts:
            self.status = "in-progress"
        return starts

    def leave(self, participant: Participant) -> bool:
        """Let a call out; True when that ends the conference, and then everybody else is sent out too."""
        self.participants.pop(participant.call.sid, None)
        if self.status == "completed":
            return False
        if participant.ends:
            self.why_ended = "participant-with-end-conference-on-exit-left"
        elif not self.participants:
            self.why_ended = "last-participant-left"
        else:
            return False
        self.ended_by = participant.call.sid
        self.finish()
        return True

    def finish(self) -> None:
        """End it for everybody."""
        self.status = "completed"
        for each in self.participants.values():
            each.gone.set()


def render_conference(account_sid: str, conference: Conference) -> dict[str, Any]:
    """The conference's resource."""
    path = f"/{API_VERSION}/Accounts/{account_sid}/Conferences/{conference.sid}"
    return {
        "account_sid": account_sid,
        "api_version": API_VERSION,
        "call_sid_ending_conference": conference.ended_by,
        "date_created": format_datetime(conference.created),
        "date_updated": format_datetime(conference.updated or conference.created),
        "friendly_name": conference.name,
        "reason_conference_ended": conference.why_ended,
        "region": "us1",
        "sid": conference.sid,
        "status": conference.status,
        "subresource_uris": {
            "participants": f"{path}/Participants.json",
            "recordings": f"{path}/Recordings.json",
        },
        "uri": f"{path}.json",
    }


_PARTICIPANT_STATUS = {"in-progress": "connected", "completed": "complete", "queued": "queued", "ringing": "ringing"}


def render_participant(account_sid: str, conference: Conference, participant: Participant) -> dict[str, Any]:
    """The participant's resource."""
    call = participant.call
    path = f"/{API_VERSION}/Accounts/{account_sid}/Conferences/{conference.sid}/Participants/{call.sid}"
    return {
        "account_sid": account_sid,
        "call_sid": call.sid,
        "call_sid_to_coach": participant.coached,
        "coaching": participant.coaching,
        "conference_sid": conference.sid,
        "date_created": format_datetime(participant.created),
        "date_updated": format_datetime(participant.updated or participant.created),
        "end_conference_on_exit": participant.ends,
        "hold": participant.hold,
        "label": participant.label,
        "muted": participant.muted,
        "queue_time": "0",
        "start_conference_on_enter": participant.begins,
        "status": _PARTICIPANT_STATUS.get(call.status, "failed"),
        "uri": f"{path}.json",
    }
