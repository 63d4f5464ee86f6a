"""The REST API of calls: Calls, their Recordings, Conferences and Participants, at Twilio's addresses."""

from starlette.responses import Response
from starlette.routing import BaseRoute

from hookflash.emulator.calls import Call, render_call
from hookflash.emulator.cloud import Cloud
from hookflash.emulator.conferences import Conference, Participant, render_conference, render_participant
from hookflash.emulator.form import instant
from hookflash.emulator.front_door import Asked, FrontDoor, answer, found
from hookflash.emulator.listing import api_page, cut
from hookflash.emulator.message import API_VERSION
from hookflash.emulator.recordings import Recording, render_recording
from hookflash.emulator.refusal import Refusal
from hookflash.emulator.switchboard import Switchboard


def call_routes(cloud: Cloud, switchboard: Switchboard, door: FrontDoor) -> list[BaseRoute]:
    api = _CallApi(cloud, switchboard)
    account = f"/{API_VERSION}/Accounts/{{account}}"
    call, room = f"{account}/Calls/{{sid}}", f"{account}/Conferences/{{conference}}"
    participant = f"{room}/Participants"
    return [
        door.route(f"{account}/Calls.json", GET=api.list_calls, POST=api.create_call),
        door.route(f"{call}.json", GET=api.fetch_call, POST=api.update_call, DELETE=api.drop_call),
        door.route(f"{call}/Recordings.json", GET=api.list_recordings, POST=api.create_recording),
        door.route(
            f"{call}/Recordings/{{recording}}.json",
            GET=api.fetch_recording,
            POST=api.update_recording,
            DELETE=api.drop_recording,
        ),
        door.route(f"{account}/Recordings/{{recording}}.wav", GET=api.serve_recording),
        door.route(f"{account}/Recordings/{{recording}}", GET=api.serve_recording),
        door.route(f"{account}/Conferences.json", GET=api.list_conferences),
        door.route(f"{participant}.json", GET=api.list_participants, POST=api.create_participant),
        door.route(
            f"{participant}/{{participant}}.json",
            GET=api.fetch_participant,
            POST=api.update_participant,
            DELETE=api.drop_participant,
        ),
        door.route(f"{room}.json", GET=api.fetch_conference, POST=api.update_conference),
    ]


class _CallApi:
    def __init__(self, cloud: Cloud, switchboard: Switchboard) -> None:
        self._cloud = cloud
        self._switchboard = switchboard

    # --- calls ----------------------------------------------------------------------------------------------------

    def create_call(self, asked: Asked) -> Response:
        return self._call(self._switchboard.create(asked.form), 201)

    def list_calls(self, asked: Asked) -> Response:
        query = asked.query
        rows = list(self._cloud.calls.values())
        if to := query.get("To"):
            rows = [c for c in rows if c.to == to]
        if sender := query.get("From"):
            rows = [c for c in rows if c.sender == sender]
        if status := query.get("Status"):
            rows = [c for c in rows if c.status == status]
        if parent := query.get("ParentCallSid"):
            rows = [c for c in rows if c.parent_sid == parent]
        try:
            if since := query.get("StartTime>"):
                rows = [c for c in rows if (c.started or c.created) >= instant(since)]
            if until := query.get("StartTime<"):
                rows = [c for c in rows if (c.started or c.created) <= instant(until)]
        except ValueError:
            raise Refusal(20001, "StartTime must be a date") from None
        account = self._cloud.account_sid
        return answer(api_page(cut(rows[::-1], query), asked.path, "calls", lambda c: render_call(account, c)))

    def fetch_call(self, asked: Asked) -> Response:
        return self._call(self._find(asked))

    def update_call(self, asked: Asked) -> Response:
        call = self._find(asked)
        status = self._switchboard.update(call, asked.form)
        return answer(render_call(self._cloud.account_sid, call) | {"status": status})

    def drop_call(self, asked: Asked) -> Response:
        call = self._find(asked)
        if not call.is_over:
            raise Refusal(20009)
        del self._cloud.calls[call.sid]
        return Response(status_code=204)

    def _call(self, call: Call, status: int = 200) -> Response:
        return answer(render_call(self._cloud.account_sid, call), status)

    def _find(self, asked: Asked) -> Call:
        return found(self._cloud.calls.get(asked.ids["sid"]), asked)

    # --- recordings -----------------------------------------------------------------------------------------------

    def create_recording(self, asked: Asked) -> Response:
        return self._recording(self._switchboard.record(self._find(asked), asked.form), 201)

    def list_recordings(self, asked: Asked) -> Response:
        call, account = self._find(asked), self._cloud.account_sid
        rows = [r for r in self._cloud.recordings.values() if r.call is call][::-1]
        page = api_page(cut(rows, asked.query), asked.path, "recordings", lambda r: render_recording(account, r))
        return answer(page)

    def fetch_recording(self, asked: Asked) -> Response:
        return self._recording(self._find_recording(asked))

    def update_recording(self, asked: Asked) -> Response:
        recording = self._find_recording(asked)
        status = self._switchboard.update_recording(recording, asked.form)
        return answer(render_recording(self._cloud.account_sid, recording) | {"status": status})

    def drop_recording(self, asked: Asked) -> Response:
        del self._cloud.recordings[self._find_recording(asked).sid]
        return Response(status_code=204)

    def serve_recording(self, asked: Asked) -> Response:
        recording = found(self._cloud.recordings.get(asked.ids["recording"]), asked)
        return Response(recording.wav(), media_type="audio/x-wav")

    def _recording(self, recording: Recording, status: int = 200) -> Response:
        return answer(render_recording(self._cloud.account_sid, recording), status)

    def _find_recording(self, asked: Asked) -> Recording:
        return found(self._switchboard.find_recording(self._find(asked), asked.ids["recording"]), asked)

    # --- conferences ----------------------------------------------------------------------------------------------

    def list_conferences(self, asked: Asked) -> Response:
        query, account = asked.query, self._cloud.account_sid
        rows = list(self._cloud.conferences.values())
        if name := query.get("FriendlyName"):
            rows = [c for c in rows if c.name == name]
        if status := query.get("Status"):
            rows = [c for c in rows if c.status == status]
        page = api_page(cut(rows[::-1], query), asked.path, "conferences", lambda c: render_conference(account, c))
        return answer(page)

    def fetch_conference(self, asked: Asked) -> Response:
        return answer(render_conference(self._cloud.account_sid, self._find_conference(asked)))

    def update_conference(self, asked: Asked) -> Response:
        conference = self._find_conference(asked)
        self._switchboard.update_conference(conference, asked.form)
        return answer(render_conference(self._cloud.account_sid, conference))

    def list_participants(self, asked: Asked) -> Response:
        conference, account = self._find_conference(asked), self._cloud.account_sid
        rows = list(conference.participants.values())
        for name in ("muted", "hold", "coaching"):
            if wanted := asked.query.get(name.title()):
                rows = [p for p in rows if getattr(p, name) is (wanted.lower() == "true")]
        piece = cut(rows[::-1], asked.query)
        return answer(api_page(piece, asked.path, "participants", lambda p: render_participant(account, conference, p)))

    def create_participant(self, asked: Asked) -> Response:
        conference, participant = self._switchboard.invite(asked.ids["conference"], asked.form)
        return self._participant(conference, participant, 201)

    def fetch_participant(self, asked: Asked) -> Response:
        return self._participant(*self._find_participant(asked))

    def update_participant(self, asked: Asked) -> Response:
        conference, participant = self._find_participant(asked)
        self._switchboard.update_participant(conference, participant, asked.form)
        return self._participant(conference, participant)

    def drop_participant(self, asked: Asked) -> Response:
        self._find_participant(asked)[1].gone.set()
        return Response(status_code=204)

    def _participant(self, conference: Conference, participant: Participant, status: int = 200) -> Response:
        return answer(render_participant(self._cloud.account_sid, conference, participant), status)

    def _find_conference(self, asked: Asked) -> Conference:
        return found(self._switchboard.find_conference(asked.ids["conference"]), asked)

    def _find_participant(self, asked: Asked) -> tuple[Conference, Participant]:
        conference, wanted = self._find_conference(asked), asked.ids["participant"]
        everybody = conference.participants.values()
        return conference, found(next((p for p in everybody if wanted in (p.call.sid, p.label)), None), asked)
