"""The REST API of Verify v2."""

from starlette.responses import Response
from starlette.routing import BaseRoute

from hookflash.emulator.front_door import Asked, FrontDoor, answer, found
from hookflash.emulator.refusal import Refusal
from hookflash.emulator.verify import Verifier


def verify_routes(verifier: Verifier, door: FrontDoor) -> list[BaseRoute]:
    """Services; starting, fetching, closing and checking verifications."""
    service = "/v2/Services/{service}"

    def start(asked: Asked) -> Response:
        return answer(verifier.render(verifier.start(asked.ids["service"], asked.form)), 201)

    def fetch(asked: Asked) -> Response:
        return answer(verifier.render(verifier.fetch(asked.ids["service"], asked.ids["sid"])))

    def close(asked: Asked) -> Response:
        return answer(verifier.render(verifier.close(asked.ids["service"], asked.ids["sid"], asked.form)))

    def check(asked: Asked) -> Response:
        return answer(verifier.render(verifier.check(asked.ids["service"], asked.form), checked=True), 201)

    def create(asked: Asked) -> Response:
        if not asked.form.get("FriendlyName"):
            raise Refusal(60200, "Missing required parameter `FriendlyName`")
        return answer(verifier.render_service(verifier.add_service(asked.form.get("FriendlyName"))), 201)

    def show(asked: Asked) -> Response:
        return answer(verifier.render_service(found(verifier.services.get(asked.ids["service"]), asked)))

    return [
        door.route("/v2/Services", POST=create),
        door.route(service, GET=show),
        door.route(f"{service}/Verifications", POST=start),
        door.route(f"{service}/Verifications/{{sid}}", GET=fetch, POST=close),
        door.route(f"{service}/VerificationCheck", POST=check),
    ]
