"""Requests to a customer's server: signed, timed, tried again as the address's fragment says."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urldefrag, urlencode, urlsplit

import anyio
import httpx2

from hookflash.emulator.cloud import Cloud
from hookflash.emulator.refusal import SENTENCES
from hookflash.twilio.signature import sign

Params = dict[str, str]


class BadPolicy(Exception):
    """The overrides in a fragment cannot be followed (11243)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How patiently an address is asked. Times are in seconds; `retry_on` holds 4xx, 5xx, ct, rt."""

    connect: float = 5.0
    read: float = 15.0
    total: float = 15.0
    retries: int = 1
    retry_on: frozenset[str] = frozenset(("ct",))


def read_policy(url: str) -> tuple[str, Policy]:
    """Split an address into what is asked and signed, and the policy of its fragment; raises BadPolicy."""
    target, fragment = urldefrag(url)
    given = dict(parse_qsl(fragment, keep_blank_values=True))
    known = Policy()

    def within(name: str, low: int, high: int, default: float) -> float:
        text = given.get(name)
        if text is None:
            return default
        if not text.isdigit() or not low <= int(text) <= high:
            raise BadPolicy(f"{name} must be between {low} and {high}")
        return int(text)

    retry_on = frozenset(given["rp"].split(",")) if "rp" in given else known.retry_on
    if not retry_on <= {"4xx", "5xx", "ct", "rt", "all"}:
        raise BadPolicy("rp knows 4xx, 5xx, ct, rt and all")
    return target, Policy(
        connect=within("ct", 100, 10_000, known.connect * 1000) / 1000,
        read=within("rt", 100, 15_000, known.read * 1000) / 1000,
        total=within("tt", 100, 15_000, known.total * 1000) / 1000,
        retries=int(within("rc", 0, 5, known.retries)),
        retry_on=frozenset(("4xx", "5xx", "ct", "rt")) if "all" in retry_on else retry_on,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """The server answered with a status of 200 to 299."""

    status: int
    content_type: str
    body: bytes
    url: str
    tries: int


@dataclass(frozen=True, slots=True)
class Failure:
    """It did not, for good: `code` is Twilio's error, `status` the last HTTP status if one came.

    `cause` is the condition of the retry policy that it falls under, empty for none.
    """

    code: int
    url: str
    detail: str
    status: int | None = None
    cause: str = ""
    tries: int = field(default=1, compare=False)


class Courier:
    """Asks addresses, at most `at_once` at a time."""

    def __init__(self, cloud: Cloud, client: httpx2.AsyncClient, *, at_once: int = 100) -> None:
        self._cloud = cloud
        self._client = client
        self._places = anyio.CapacityLimiter(at_once)

    async def ask(self, url: str, method: str, params: Params, token: str | None) -> Answer | Failure:
        """Deliver the webhook about a message or a call; every try carries the same idempotency `token` (None: no such header).

        What came of it becomes an event, a failure an entry of the debugger too.
        """
        outcome = await self._deliver(url, method, params, token)
        sid = params.get("MessageSid") or params.get("CallSid")
        data = {"url": outcome.url, "status": outcome.status, "tries": outcome.tries}
        about = "message_sid" if "MessageSid" in params else "call_sid"
        state = params.get("SmsStatus") or params.get("CallStatus")
        self._cloud.events.add("webhook", self._cloud.clock.now(), data | {about: sid, "state": state})
        if isinstance(outcome, Failure):
            self._cloud.problem(outcome.code, url=outcome.url, sid=sid, detail=outcome.detail)
        return outcome

    async def _deliver(self, url: str, method: str, params: Params, token: str | None) -> Answer | Failure:
        try:
            target, policy = read_policy(url)
        except BadPolicy as error:
            return Failure(11243, url, str(error))
        if method == "GET":
            target += ("&" if urlsplit(target).query else "?") + urlencode(params, quote_via=quote)
            headers, content = self.signature(target, {}), None
        else:
            headers, content = self.signature(target, params), urlencode(params).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        headers |= {"Accept": "*/*", "User-Agent": "TwilioProxy/1.1"}
        if token:
            headers["I-Twilio-Idempotency-Token"] = token
        async with self._places:
            for tries in range(1, policy.retries + 2):
                outcome = await self._try(target, method, headers, content, policy, tries)
                if isinstance(outcome, Answer) or outcome.cause not in policy.retry_on:
                    break
        return outcome

    def signature(self, url: str, params: Params) -> dict[str, str]:
        """The headers that sign a request to this address with this form."""
        credentials = self._cloud.credentials
        if key := credentials.shared_key:
            return sign(url, key.secret, form=params.items(), shared_key_id=key.id, algorithm=key.algorithm)
        return sign(url, credentials.auth_token, form=params.items())

    async def _try(
        self, target: str, method: str, headers: dict[str, str], content: bytes | None, policy: Policy, tries: int
    ) -> Answer | Failure:
        timeout = httpx2.Timeout(policy.read, connect=policy.connect, pool=None)
        try:
            with anyio.fail_after(policy.total):
                answer = await self._client.request(method, target, headers=headers, content=content, timeout=timeout)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, ValueError) as error:
            return Failure(11200, target, f"{SENTENCES[11200]}: {type(error).__name__}", None, "", tries)
        except httpx2.TooManyRedirects:
            return Failure(11215, target, SENTENCES[11215], None, "", tries)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            return Failure(11205, target, f"{SENTENCES[11205]}: {type(error).__name__}", None, "ct", tries)
        except AttributeError as error:
            # The HTTP library asks a connection for its socket that was reset as it opened, and has none any more.
            return Failure(11205, target, f"{SENTENCES[11205]}: {type(error).__name__}", None, "ct", tries)
        except (httpx2.TransportError, TimeoutError) as error:
            return Failure(11200, target, f"{SENTENCES[11200]}: {type(error).__name__}", None, "rt", tries)
        if answer.is_success:
            content_type = answer.headers.get("content-type", "")
            return Answer(answer.status_code, content_type, answer.content, target, tries)
        cause = f"{answer.status_code // 100}xx"
        detail = f"{SENTENCES[11200]}: status {answer.status_code}"
        return Failure(11200, target, detail, answer.status_code, cause, tries)
