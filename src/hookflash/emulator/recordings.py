"""Recordings of calls: what is kept of the sound, and how Twilio's API and its webhooks write them."""

from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import numpy as np

from hookflash.emulator.calls import Call, Callback
from hookflash.emulator.message import API_VERSION
from hookflash.emulator.sound import stereo_wav

FINISHED = frozenset(("completed", "absent"))


@dataclass(frozen=True, slots=True)
class RecordingWish:
    """How a call is to be recorded."""

    channels: int
    track: str
    callback: Callback | None


@dataclass(slots=True, eq=False)
class Recording:
    """A recording. `taken` are spans of the call, in seconds since its answer; a span whose end is None goes on.

    A pause with `silence` leaves a hole of the same length, one with `skip` is cut out.
    """

    sid: str
    serial: int
    call: Call
    source: str
    channels: int
    track: str
    created: datetime
    callback: Callback | None = None
    status: str = "in-progress"
    taken: list[tuple[float, float | None]] = field(default_factory=list)
    pause_behavior: str = "silence"
    updated: datetime | None = None

    def pause(self, now: float, behavior: str) -> None:
        self.status, self.pause_behavior = "paused", behavior
        self._stop(now)

    def resume(self, now: float) -> None:
        self.status = "in-progress"
        self.taken.append((now, None))

    def finish(self, now: float) -> None:
        self.status = "completed"
        self._stop(now)

    def _stop(self, now: float) -> None:
        if self.taken and self.taken[-1][1] is None:
            self.taken[-1] = (self.taken[-1][0], now)

    @property
    def seconds(self) -> float:
        """Its length, as far as it has got."""
        if self.pause_behavior == "silence" and self.taken:
            return (self.taken[-1][1] or self.taken[-1][0]) - self.taken[0][0]
        return sum(end - start for start, end in self.taken if end is not None)

    def wav(self) -> bytes:
        """The person on the left, the other side on the right; mixed when it has one channel."""
        sides = []
        for track in (self.call.record.caller, self.call.record.ear.heard):
            pieces, last = [], None
            for start, end in self.taken:
                if last is not None and self.pause_behavior == "silence":
                    pieces.append(np.zeros(round((start - last) * 8000), np.int16))
                last = start if end is None else end
                pieces.append(track.samples(start, last))
            sides.append(np.concatenate(pieces) if pieces else np.zeros(0, np.int16))
        if self.channels == 1:
            mixed = np.clip(sides[0].astype(np.int32) + sides[1], -32768, 32767).astype(np.int16)
            sides = [mixed, mixed]
        return stereo_wav(sides[0], sides[1])


def recording_url(base: str, account_sid: str, recording: Recording) -> str:
    """Where its sound is."""
    return f"{base}/{API_VERSION}/Accounts/{account_sid}/Recordings/{recording.sid}"


def render_recording(account_sid: str, recording: Recording) -> dict[str, Any]:
    """The recording's resource, as a part of its call."""
    done = recording.status == "completed"
    created = format_datetime(recording.created)
    return {
        "account_sid": account_sid,
        "api_version": API_VERSION,
        "call_sid": recording.call.sid,
        "channels": recording.channels,
        "conference_sid": None,
        "date_created": created,
        "date_updated": format_datetime(recording.updated or recording.created),
        "duration": str(round(recording.seconds)) if done else "-1",
        "encryption_details": None,
        "error_code": None,
        "price": None,
        "price_unit": "USD",
        "sid": recording.sid,
        "source": recording.source,
        "start_time": created,
        "status": recording.status,
        "track": recording.track,
        "uri": f"/{API_VERSION}/Accounts/{account_sid}/Calls/{recording.call.sid}/Recordings/{recording.sid}.json",
    }


def recording_params(base: str, account_sid: str, recording: Recording) -> dict[str, str]:
    """The form of a recording's status callback."""
    return {
        "AccountSid": account_sid,
        "CallSid": recording.call.sid,
        "RecordingSid": recording.sid,
        "RecordingUrl": recording_url(base, account_sid, recording),
        "RecordingStatus": recording.status,
        "RecordingDuration": str(round(recording.seconds)),
        "RecordingChannels": str(recording.channels),
        "RecordingStartTime": format_datetime(recording.created),
        "RecordingSource": recording.source,
        "RecordingTrack": recording.track,
    }
