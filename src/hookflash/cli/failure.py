"""How a command fails: which exit code an error is, and the sentence and the hint that it is told with."""

import errno

from hookflash.base.errors import HookflashError, Invalid, Misconfigured, TwilioFailed, Unavailable

FAILED, USAGE, MISCONFIGURED, UNREACHABLE = 1, 2, 3, 4


def _single(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def exit_code(error: BaseException) -> int:
    """What the shell is told."""
    match _single(error):
        case Invalid():
            return USAGE
        case Misconfigured():
            return MISCONFIGURED
        case Unavailable():
            return UNREACHABLE
        case TwilioFailed(retryable=True):
            return UNREACHABLE
        case KeyboardInterrupt():
            return 130
    return FAILED


def sentence(error: BaseException) -> tuple[str, str | None] | None:
    """The plain sentence and the hint of an expected failure; None for a defect, which deserves its traceback."""
    error = _single(error)
    # What PostgreSQL says outside of the pool; its driver is not imported for this.
    if getattr(error, "sqlstate", None) == "53100":
        return "The disk that holds the database is full.", "free some space there, and try again"
    match error:
        case HookflashError() as known:
            return known.message, known.hint
        case KeyboardInterrupt():
            return "Interrupted.", None
        case OSError(errno=number) as full if number in (errno.ENOSPC, errno.EDQUOT):
            place = f" ({full.filename})" if full.filename else ""
            return f"The disk is full{place}.", "free some space, or set HOOKFLASH_DATA_DIR to another disk"
        case PermissionError(filename=name) if name:
            return f"{name} may not be read or written by this user.", "set HOOKFLASH_DATA_DIR, or mend its permissions"
        case OSError(filename=str() as name, strerror=str() as why):
            return f"{name}: {why}.", None
    return None
