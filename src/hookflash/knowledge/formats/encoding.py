"""Which characters the bytes of a text file stand for."""

import codecs
import re

from hookflash.base.errors import Invalid

_BOMS = (  # UTF-32's mark begins with UTF-16's, so it comes first
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_SAVE_AS = "Save the file as UTF-8 and send it again."


def decode(data: bytes, *, declared: str | None = None) -> str:
    """The text. A byte order mark decides, then UTF-8, then `declared`, then Windows-1252 if the result looks like prose.

    Raises Invalid that names the first byte that fits nothing, or that says that this is no text.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _strictly(data[len(mark) :], encoding, offset=len(mark))
    if wide := _unmarked_utf16(data):
        return _strictly(data, wide)
    _refuse_binary(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        failed = error
    if declared and declared.lower().replace("_", "-") not in {"utf-8", "utf8"}:
        try:
            return _strictly(data, declared)
        except LookupError:
            pass
    if _looks_western(data):
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError as error:
            failed = error
    raise Invalid(
        f"the text's encoding is not recognised: byte 0x{data[failed.start]:02X} at position {failed.start} "
        "is neither UTF-8 nor Windows-1252",
        hint=_SAVE_AS,
    )


def _strictly(data: bytes, encoding: str, *, offset: int = 0) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Invalid(
            f"the text is marked as {encoding.upper()}, but byte 0x{data[error.start]:02X} at position "
            f"{error.start + offset} does not belong there",
            hint=_SAVE_AS,
        ) from None


def _unmarked_utf16(data: bytes) -> str | None:
    """UTF-16 without a mark shows by its zero bytes: every second one in text of the Latin alphabet."""
    sample = data[:2000]
    if len(sample) < 4 or len(data) % 2:
        return None
    half = len(sample) // 2
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > half * 0.6 and even == 0:
        return "utf-16-le"
    if even > half * 0.6 and odd == 0:
        return "utf-16-be"
    return None


def _refuse_binary(data: bytes) -> None:
    sample = data[:100_000]
    controls = _CONTROLS.search(data)
    if controls and (controls.group() == b"\x00" or len(_CONTROLS.findall(sample)) > 3 + len(sample) // 200):
        raise Invalid(
            f"this is not a text file: it holds the control byte 0x{controls.group()[0]:02X} at position {controls.start()}",
            hint="Supported are Markdown, CSV, JSON Lines, HTML, PDF, DOCX and plain text.",
        )


def _looks_western(data: bytes) -> bool:
    """Whether high bytes are as rare as accents are, and are not UTF-8 that broke somewhere."""
    high = len(_HIGH.findall(data))
    whole = sum(len(found) for found in _MULTIBYTE.findall(data))
    return high * 5 <= len(data) and whole * 2 < high
