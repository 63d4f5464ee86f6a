"""Text channels at Twilio: posting a message, finding out what was sent, and in whose name."""

from datetime import timedelta

from hookflash.base.clock import Clock
from hookflash.base.errors import TwilioFailed
from hookflash.base.secret import Secret
from hookflash.channels.integration import Integration
from hookflash.conversation.lane import Leaving
from hookflash.conversation.outbox import Accepted, Candidate
from hookflash.twilio.account import Account, Credentials
from hookflash.twilio.client import TwilioClient

LISTED_AT_MOST = 200


def account_of(client: TwilioClient, integration: Integration) -> Account:
    """Twilio in the name of the integration's account. Raises TwilioFailed (20003) when it has no credentials."""
    own = integration.credentials
    if own.account_sid is None or not (own.auth_tokens or own.api_secret):
        raise TwilioFailed("The integration has no Twilio credentials.", code=20003)
    if own.api_key and own.api_secret:
        return client.account(Credentials(own.account_sid, Secret(own.api_secret), own.api_key))
    return client.account(Credentials(own.account_sid, Secret(own.auth_tokens[0])))


class TwilioPost:
    """Sends through Twilio's REST API."""

    def __init__(self, client: TwilioClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def send(self, integration: Integration, row: Leaving, callback: str) -> Accepted:
        """Raises TwilioFailed (not performed) or TwilioUnclear (perhaps performed)."""
        sent = await account_of(self._client, integration).send_message(
            row.address, sender=row.sender, body=row.body, status_callback=callback
        )
        return Accepted(sent.sid, sent.status)

    async def sent_lately(self, integration: Integration, row: Leaving, seconds: float) -> list[Candidate]:
        """What Twilio lists to this person in the last `seconds` from us, oldest first."""
        after = self._clock.now() - timedelta(seconds=seconds)
        listed = account_of(self._client, integration).messages(
            to=row.address, sent_after=after - timedelta(days=1), limit=LISTED_AT_MOST
        )
        found = [
            Candidate(m.sid, m.status, m.body, m.error_code)
            async for m in listed
            if m.direction.startswith("outbound") and (m.created_at is None or m.created_at >= after)
        ]
        return found[::-1]
