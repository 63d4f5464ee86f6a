"""The switchboard: calls begin here, from a handset or through the API, and those under way are changed."""

from collections.abc import Mapping

from hookflash.base.errors import Invalid, NotFound
from hookflash.emulator.calls import Call, Callback
from hookflash.emulator.cloud import Cloud, Number
from hookflash.emulator.conferences import Conference, Participant
from hookflash.emulator.dial import tell_conference
from hookflash.emulator.dialing import (
    Order,
    read_call,
    read_callback,
    read_fallback,
    read_order,
    read_program,
    read_recording,
)
from hookflash.emulator.executor import place_call, take_call
from hookflash.emulator.form import Form
from hookflash.emulator.leg import Ask, Desk, Given, Leg
from hookflash.emulator.person import Script
from hookflash.emulator.recordings import FINISHED, Recording
from hookflash.emulator.refusal import Refusal
from hookflash.emulator.voice_twiml import Document, Verb

CURRENT = "Twilio.CURRENT"


class Switchboard:
    """All legs that live."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def _cloud(self) -> Cloud:
        return self._desk.cloud

    def leg(self, call: Call) -> Leg | None:
        """The call's doings, None when it is over."""
        return self._desk.legs.get(call.sid)

    def hang_up_all(self) -> None:
        for leg in list(self._desk.legs.values()):
            leg.hang_up()

    # --- calls ----------------------------------------------------------------------------------------------------

    def incoming(self, sender: str, to: str, script: Script, extra: Mapping[str, str]) -> Leg:
        """Somebody calls one of our numbers; `extra` are further webhook fields.

        Raises NotFound for an unknown number, Invalid for one that answers no calls.
        """
        line = self._cloud.line(to)
        if not isinstance(line, Number):
            raise NotFound(f"there is no phone number {to}")
        settings = line.resource
        if not settings["voice_url"] or not settings["capabilities"]["voice"]:
            raise Invalid(f"nobody answers calls to {to}: it has no VoiceUrl", field="to")
        callback = settings["status_callback"]
        fallback = settings["voice_fallback_url"]
        call = Call(
            self._cloud.new_sid("CA"),
            self._cloud.next_serial(),
            "inbound",
            sender,
            to,
            self._cloud.clock.now(),
            number_sid=line.sid,
            forwarded_from=extra.get("ForwardedFrom"),
            caller_name=extra.get("CallerName"),
            callback=Callback(callback, settings["status_callback_method"]) if callback else None,
        )
        leg = Leg(
            self._desk,
            call,
            script,
            fallback=Ask(fallback, settings["voice_fallback_method"]) if fallback else None,
            extra=dict(extra),
        )
        self._desk.under_way.start(take_call, leg, Ask(settings["voice_url"], settings["voice_method"]))
        return leg

    def create(self, form: Form) -> Call:
        """A call through the API; raises Refusal."""
        return self._start(read_order(self._cloud, form))

    def _start(self, order: Order) -> Call:
        callee = self._cloud.handset(order.call.to).callee
        leg = Leg(self._desk, order.call, callee.script, fallback=order.fallback, extra={})
        leg.recording_wish = order.recording
        self._desk.under_way.start(place_call, leg, order.program, callee, order.timeout, order.detection)
        return order.call

    def update(self, call: Call, form: Form) -> str:
        """Send a live call elsewhere or end it; returns the status to show. Raises Refusal 21220 when it is over."""
        leg = self._desk.legs.get(call.sid)
        if leg is None or leg.over:
            raise Refusal(21220, "Call is not in-progress. Cannot redirect.")
        if form.get("StatusCallback"):
            call.callback = read_callback(form, "StatusCallback")
        if form.get("FallbackUrl"):
            leg.fallback = read_fallback(form)
        waits = call.started is None
        match form.get("Status"):
            case "":
                if form.get("Url") or form.get("Twiml"):
                    leg.redirect(read_program(form))
                return call.status
            case "canceled" if not waits:
                raise Refusal(21220, "Call is in-progress. Cannot be canceled.")
            case "canceled" | "completed":
                final = "canceled" if waits else "completed"
                leg.hang_up(final)
                return final
            case _:
                raise Refusal(20001, "Status can only be set to canceled or completed")

    # --- recordings -----------------------------------------------------------------------------------------------

    def record(self, call: Call, form: Form) -> Recording:
        """Raises Refusal 21220 when the call is not in progress."""
        leg = self._in_progress(call)
        wish = read_recording(form)
        return leg.start_recording("StartCallRecordingAPI", wish.channels, wish.track, wish.callback)

    def update_recording(self, recording: Recording, form: Form) -> str:
        """Pause, go on or stop; returns the status to show. Raises Refusal 21220 when it is finished."""
        leg = self._in_progress(recording.call)
        if recording.status in FINISHED:
            raise Refusal(21220, "The recording is finished.")
        match form.get("Status"):
            case "paused":
                recording.pause(leg.now(), form.get("PauseBehavior") or "silence")
            case "in-progress":
                if recording.status == "paused":
                    recording.resume(leg.now())
            case "stopped":
                leg.finish_recording(recording)
                return "stopped"
            case _:
                raise Refusal(20001, "Status must be paused, in-progress or stopped")
        recording.updated = self._cloud.clock.now()
        leg.note("recording", status=recording.status)
        return recording.status

    def find_recording(self, call: Call, sid: str) -> Recording | None:
        """A recording of the call; `Twilio.CURRENT` is the one that runs or is paused."""
        mine = [r for r in self._cloud.recordings.values() if r.call is call]
        if sid == CURRENT:
            return next((r for r in reversed(mine) if r.status not in FINISHED), None)
        return next((r for r in mine if r.sid == sid), None)

    def _in_progress(self, call: Call) -> Leg:
        leg = self._desk.legs.get(call.sid)
        if leg is None or call.status != "in-progress":
            raise Refusal(21220, "Requested resource is not eligible for recording: the call is not in progress.")
        return leg

    # --- conferences ----------------------------------------------------------------------------------------------

    def invite(self, name: str, form: Form) -> tuple[Conference, Participant]:
        """Call somebody into a conference, which begins when there is none of that name or sid; raises Refusal."""
        conference = self.find_conference(name)
        if conference is None:
            if name.startswith("CF"):
                raise Refusal(20404)
            conference = Conference(self._cloud.new_sid("CF"), self._cloud.next_serial(), name, self._cloud.clock.now())
            conference.callback = read_callback(form, "ConferenceStatusCallback", "start end")
            self._cloud.conferences[conference.sid] = conference
        call = read_call(self._cloud, form)
        attributes = {
            "startConferenceOnEnter": form.get("StartConferenceOnEnter"),
            "endConferenceOnExit": form.get("EndConferenceOnExit"),
            "muted": form.get("Muted"),
            "participantLabel": form.get("Label"),
            "coach": form.get("CallSidToCoach") if form.flag("Coaching") else "",
        }
        room = Verb("Conference", {k: v for k, v in attributes.items() if v}, conference.name)
        program = Given(Document((Verb("Dial", {}, "", (room,)),)))
        timeout = form.number("Timeout") if form.get("Timeout") else 60
        self._start(Order(call, program, None, timeout, None, read_recording(form) if form.flag("Record") else None))
        participant = Participant(
            self._cloud.next_serial(),
            call,
            call.created,
            label=form.get("Label") or None,
            begins=room.flag("startConferenceOnEnter", True),
            ends=room.flag("endConferenceOnExit"),
            muted=room.flag("muted"),
            coaching=bool(room.get("coach")),
            coached=room.get("coach") or None,
        )
        return conference, participant

    def find_conference(self, name: str) -> Conference | None:
        """By sid, or by the name of one that is not over."""
        rooms = self._cloud.conferences
        return rooms.get(name) or next((c for c in rooms.values() if c.name == name and c.status != "completed"), None)

    def update_conference(self, conference: Conference, form: Form) -> None:
        """End it, or announce something to everybody; raises Refusal 21220 when it is over."""
        if conference.status == "completed":
            raise Refusal(21220, "The conference is over.")
        if form.get("AnnounceUrl"):
            for participant in conference.participants.values():
                self._overhear(participant, form, "Announce")
        if form.get("Status") == "completed":
            conference.why_ended = "conference-ended-via-api"
            legs = [self._desk.legs[sid] for sid in conference.participants if sid in self._desk.legs]
            conference.finish()
            if legs:
                tell_conference(legs[0], conference, "conference-end")
        conference.updated = self._cloud.clock.now()

    def update_participant(self, conference: Conference, participant: Participant, form: Form) -> None:
        """Hold, mute, coach, announce; raises Refusal."""
        if "Muted" in form:
            participant.muted = form.flag("Muted")
        if "EndConferenceOnExit" in form:
            participant.ends = form.flag("EndConferenceOnExit")
        if "Coaching" in form:
            participant.coaching = form.flag("Coaching")
            participant.coached = form.get("CallSidToCoach") or participant.coached
        if "Hold" in form:
            participant.hold = form.flag("Hold")
            if participant.hold and form.get("HoldUrl"):
                self._overhear(participant, form, "Hold")
            leg = self._desk.legs.get(participant.call.sid)
            if leg:
                tell_conference(leg, conference, f"participant-{'hold' if participant.hold else 'unhold'}", participant)
        if form.get("AnnounceUrl"):
            self._overhear(participant, form, "Announce")
        participant.updated = self._cloud.clock.now()

    def _overhear(self, participant: Participant, form: Form, name: str) -> None:
        leg = self._desk.legs.get(participant.call.sid)
        if leg:
            method = form.get(f"{name}Method").upper() or "POST"
            self._desk.under_way.start(leg.overhear, form.get(f"{name}Url"), method)
