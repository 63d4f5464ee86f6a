"""What a text says underneath: look-alike letters, invisible characters, leet, spaced letters and encodings undone."""

import base64
import binascii
import codecs
import html
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

# Longer texts are looked at from both ends: an attack stands at one of them as a rule.
LONGEST = 20_000
# Letters that look like Latin ones (Unicode's list of confusables, the part that occurs).
_LOOKALIKE = str.maketrans(
    {
        **dict(zip("авеёіјкмнорсԛѕтухүԝһԁɡɩո", "abeeijkmhopcqstuxywhdgin", strict=True)),
        **dict(zip("АВЕЁІЈКМНОРСЅТУХҮԜҺ", "ABEEIJKMHOPCSTYXYWH", strict=True)),
        **dict(zip("αβγδεζηικλμνορτυχω", "abydezniklmvoptuxw", strict=True)),
        **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
        **dict(zip("ıłøđħŧɑʀɪɴʟᴀᴇᴏᴜᴛᴘᴄᴅᴍꜱɢʜᴊᴋʙᴠᴡʏᴢ", "ilodhtarinlaeoutpcdmsghjkbvwyz", strict=True)),
    }
)
_LEET = str.maketrans("013457@$!|", "oieastasil")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
_JOINERS = re.compile(
    "(?<=[\u0900-\u0dff\u0600-\u06ff])[\u200c\u200d]|[\u200d\ufe0f](?=[\U0001f000-\U0001ffff\u2600-\u27bf])|(?<=[\U0001f000-\U0001ffff\u2600-\u27bf])\ufe0f"
)
_WORD = re.compile(r"[^\W_]+")
_LEET_SIGN = re.compile(r"[013457@$!|]")
_LEET_WORD = re.compile(r"(?<!\S)(?=\S*[a-z])(?=\S*[013457@$!|])[\w@$!|]{3,}", re.IGNORECASE)
_SPACED = re.compile(r"(?<!\w)(?:\w(?:[\s.\-_*,|/]{1,3}(?=\w(?!\w)))){4,}\w(?!\w)")
_UNBROKEN = re.compile(r"[A-Za-z0-9+/_-]{16}")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{16,}={0,2}(?![A-Za-z0-9+/=_-])")
_HEX = re.compile(r"(?<![0-9A-Fa-f])(?:(?:\\x|0x|%)?[0-9A-Fa-f]{2}[\s,]?){12,}(?![0-9A-Fa-f])")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text. `how` is `plain`, or by what it was hidden."""

    how: str
    text: str


def views(text: str, *, turned: bool = True) -> list[View]:
    """The readings of a text that differ, the plain one first; `turned` also backwards and by rot13."""
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + "\n" + text[-LONGEST // 2 :]
    hidden, visible, stripped = "", text, text
    if not text.isascii():
        hidden = "".join(chr(ord(c) - 0xE0000) for run in _TAGS.findall(text) for c in run)
        # Where scripts need them, or a picture is put together by them, joiners hide nothing.
        visible = _TAGS.sub("", _JOINERS.sub("", text))
        stripped = _INVISIBLE.sub("", visible)
    whole = unicodedata.normalize("NFKC", html.unescape(stripped))
    plain = _squeezed(whole)
    found = [View("plain", plain)]

    def add(how: str, other: str) -> None:
        other = _squeezed(other)
        if len(other) > 3 and all(other != view.text for view in found):
            found.append(View(how, other))

    latin = whole if whole.isascii() else _latin(whole)
    add("look-alike letters", latin)
    unleet = _LEET_WORD.sub(_unleet, latin) if _LEET_SIGN.search(latin) else latin
    add("digits for letters", unleet)
    add("spaced letters", _SPACED.sub(_joined, unleet))
    if stripped != visible:
        # Split by what does not show, the words may also have been meant apart.
        add("invisible characters", unicodedata.normalize("NFKC", _INVISIBLE.sub(" ", visible)))
    add("invisible characters", hidden)
    for decoded in _decoded(plain):
        add("encoded text", decoded)
    if "%" in plain:
        add("encoded text", unquote(plain))
    if "\\u" in plain or "\\x" in plain:
        add("encoded text", _ESCAPED.sub(lambda m: chr(int(m[1] or m[2], 16)), plain))
    if turned:
        add("reversed text", latin[::-1])
        add("rot13", codecs.encode(latin, "rot13"))
    return found


def hides(text: str) -> bool:
    """Whether a text holds characters that nobody sees, in a number or a place that no writing needs."""
    return bool(_TAGS.search(text)) or len(_INVISIBLE.findall(_JOINERS.sub("", text))) >= 3


def _squeezed(text: str) -> str:
    return re.sub(r"[ \t\u00a0]+", " ", text).strip()


def _latin(text: str) -> str:
    """Look-alikes of Latin letters as these: in words that mix scripts, and everywhere when the rest is Latin."""
    words = _WORD.findall(text)
    foreign = sum(not _is_latin(word) for word in words)
    mostly = foreign * 2 <= len(words)

    def one(found: re.Match[str]) -> str:
        word = found.group()
        if word.isascii():
            return word
        turned = unicodedata.normalize("NFKD", word.translate(_LOOKALIKE))
        bare = "".join(c for c in turned if not unicodedata.combining(c))
        mixed = any(c.isascii() and c.isalpha() for c in word) and not _is_latin(word)
        return bare if bare.isascii() and (mixed or mostly or _is_latin(word)) else word

    return _WORD.sub(one, text)


def _is_latin(word: str) -> bool:
    return all(c.isascii() or "LATIN" in unicodedata.name(c, "") for c in word)


def _unleet(found: re.Match[str]) -> str:
    word = found.group()
    letters = sum(c.isalpha() for c in word)
    # 30days, 4pm and order numbers stay as they are.
    if letters * 2 < len(word) or re.fullmatch(r"[a-z]*\d+(?:[a-z]{1,4})?|\d+[a-z]+", word, re.IGNORECASE):
        digits = re.fullmatch(r"[a-z]*\d+|\d{2,}[a-z]*", word, re.IGNORECASE)
        return word if digits or letters * 2 < len(word) else word.translate(_LEET)
    return word.translate(_LEET)


def _joined(found: re.Match[str]) -> str:
    """Letters set apart as words again: wider gaps part words, without any the rules find them run together."""
    text = found.group()
    return " ".join(re.sub(r"[\W_]", "", word) for word in re.split(r"[\s.\-_*,|/]{2,}", text))


def _decoded(text: str) -> list[str]:
    found = []
    for token in _BASE64.findall(text)[:20] if _UNBROKEN.search(text) else ():
        padded = token.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            raw = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        found += _readable(raw)
    for run in _HEX.findall(text)[:10]:
        digits = re.sub(r"\\x|0x|[%\s,]", "", run)
        found += _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    return found


def _readable(raw: bytes) -> list[str]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return []
    shown = sum(c.isalnum() or c.isspace() for c in text)
    return [text] if len(text) >= 8 and shown >= 0.8 * len(text) and " " in text.strip() else []
