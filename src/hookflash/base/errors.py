"""The one tree of exceptions.

HookflashError                  what went wrong, for the reader; `retryable` says whether trying again may help
├── Invalid                     the input is not acceptable, and says which field                         422
├── Unauthenticated             no credentials, or wrong ones                                             401
├── Forbidden                   known, but not allowed                                                    403
├── NotFound                    there is no such thing (for this account)                                 404
├── Conflict                    it exists already, or changed meanwhile                                   409
├── TooLarge                    over a limit on size                                                      413
├── TooMany                     over a limit on rate or number                                            429
├── Unavailable                 a dependency does not answer; retryable                                   503
├── Misconfigured               a setting is missing or wrong; says which and how to mend it
├── MigrationFailed             a change of the database's schema could not be applied
├── Fenced                      our lane was taken over: everything done since must be dropped
├── ModelFailed                 a language model refused or failed
└── TwilioFailed                Twilio refused a request; carries its code
    └── TwilioUnclear           the request may or may not have been performed

Normal outcomes are unions of values; exceptions are surprises.
"""


class HookflashError(Exception):
    """Base of all. `str(error)` is a sentence for a person; it never carries a secret or what a customer said."""

    status = 500
    retryable = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Invalid(HookflashError):
    """The input is not acceptable; `field` names the part, as a path such as `messages[0].to`."""

    status = 422

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class Unauthenticated(HookflashError):
    """No credentials, or wrong ones."""

    status = 401


class Forbidden(HookflashError):
    """The caller is known but may not do this."""

    status = 403


class NotFound(HookflashError):
    """There is no such thing for this account."""

    status = 404


class Conflict(HookflashError):
    """It exists already, or it changed meanwhile."""

    status = 409


class TooLarge(HookflashError):
    """Over a limit on size."""

    status = 413


class TooMany(HookflashError):
    """Over a limit on rate or number; `retry_after` is the seconds until trying again may help."""

    status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Unavailable(HookflashError):
    """A dependency does not answer."""

    status = 503
    retryable = True


class Misconfigured(HookflashError):
    """A setting is missing or wrong."""


class MigrationFailed(HookflashError):
    """A revision could not be applied; the revisions before it are in place, nothing of it is."""


class Fenced(HookflashError):
    """Our lane was taken over by another worker: everything done since must be dropped."""


class ModelFailed(HookflashError):
    """A language model refused or failed."""

    status = 502

    def __init__(self, message: str, *, retryable: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


class TwilioFailed(HookflashError):
    """Twilio refused a request. `code` is Twilio's error code (0 when it gave none), `http_status` the answer's."""

    status = 502

    def __init__(self, message: str, *, code: int = 0, http_status: int = 0, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status
        self.retryable = retryable


class TwilioUnclear(TwilioFailed):
    """The connection broke or the answer was a 5xx after the request had left: it may have been performed."""
