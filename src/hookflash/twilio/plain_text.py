"""Plain text for a text channel: what a model writes, without Markdown marks and invisible characters."""

import html

import regex  # type: ignore[import-untyped]

_JOINING = r"\p{Arabic}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Oriya}\p{Tamil}\p{Telugu}\p{Kannada}\p{Malayalam}\p{Sinhala}"
_FLAG_TAGS = r"(?<=\U0001f3f4)[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f"

# The group is what is kept: joiners where a script or an emoji needs them, one variation selector, the tags of a flag.
_INVISIBLE = regex.compile(
    r"(?V1)(?=[[\p{Cc}\p{Cs}\p{Co}\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]--[\n\t]])(?:"
    r"((?<=[\p{Extended_Pictographic}\ufe0f\U0001f3fb-\U0001f3ff])\u200d(?=\p{Extended_Pictographic})"
    rf"|(?<=[{_JOINING}][\p{{M}}]*)[\u200c\u200d](?=[{_JOINING}])"
    rf"|(?<=[\p{{Extended_Pictographic}}0-9#*])[\ufe0e\ufe0f]|{_FLAG_TAGS})|.)"
)
_LINE_ENDS = regex.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]|<br ?/?>", regex.IGNORECASE)
_SPACES = regex.compile(r"[\t\p{Zs}]+")
_EDGES = regex.compile(r" *\n *")
_GAPS = regex.compile(r"\n{3,}")

_FENCE = regex.compile(r"^ *(?:```+|~~~+)[\w+.#-]*$\n?", regex.MULTILINE)
_RULE = regex.compile(r"^ *(?:(?:\* ?){3,}|(?:- ?){3,}|(?:_ ?){3,}|={3,})$\n?", regex.MULTILINE)
_HEADING = regex.compile(r"^ *#{1,6} +(.*?)(?: +#+)?$", regex.MULTILINE)
_QUOTE = regex.compile(r"^ *(?:> ?)+", regex.MULTILINE)
_BULLET = regex.compile(r"^ *(?:[*•‣◦▪–-]|\+(?! *\d)) +(?:\[[ xX]\] +)?", regex.MULTILINE)
_TABLE_LINE = regex.compile(r"^ *\|? *:?-{2,}:? *(?:\| *:?-{2,}:? *)+\|? *$|^ *\| *:?-{2,}:? *\| *$")
_TARGET = r"<?((?:[^\s()<>]|\([^\s()]*\))+)>?(?: +[\"'][^\"'\n]*[\"'])?"
_LINK = regex.compile(rf"!?\[([^\[\]\n]*)\]\( *{_TARGET} *\)")
_AUTOLINK = regex.compile(r"<((?:https?://|mailto:|tel:)[^\s<>]+)>")
_TAG = regex.compile(r"</?(?:b|i|u|s|em|strong|p|div|span|code|pre|ul|ol|li|h[1-6])(?: [^<>\n]*)?>", regex.IGNORECASE)
_ENTITY = regex.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
_CODE = regex.compile(r"(`{1,3})([^`\n]+)\1")
# Emphasis never begins within an address: its underscores and stars are its own.
_ADDRESS = r"\bhttps?://[^\s<>]*[^\s<>*_~.,;:!?)\]](*SKIP)(*FAIL)|"
_BOTH_STARS = regex.compile(_ADDRESS + r"(?<![\d*\\])\*{3}(?=[^\s*])([^*\n]{1,1000}?)(?<=\S)\*{3}(?![\d*])")
_BOLD_STARS = regex.compile(_ADDRESS + r"(?<![\d*\\])\*\*(?=[^\s*])([^\n]{1,1000}?)(?<=[^\s*])\*\*(?![\d*])")
_BOLD_LINES = regex.compile(_ADDRESS + r"(?<![\w\\])__(?![a-z0-9_]+__)(?=[^\s_])([^\n]{1,1000}?)(?<=[^\s_])__(?!\w)")
_ITALIC_STAR = regex.compile(_ADDRESS + r"(?<![\w*\\])\*(?=[^\s*])([^*\n]{1,1000}?)(?<=\S)\*(?![\w*])")
_ITALIC_LINE = regex.compile(_ADDRESS + r"(?<![\w\\])_(?=[^\s_])([^_\n]{1,1000}?)(?<=\S)_(?!\w)")
_STRUCK = regex.compile(_ADDRESS + r"(?<![~\\])~~(?=\S)([^~\n]{1,1000}?)(?<=\S)~~(?!~)")
# What any mark of Markdown has.
_MARK = regex.compile(r"[*_~`#>|\\\[=•‣◦▪]|^ *[–+-]", regex.MULTILINE)
# Nobody nests marks deeper; what does is meant to keep us busy.
_MOST_PASSES = 50
_ESCAPE = regex.compile(r"\\([*_`#\[\]~|>!])")


def to_plain(text: str, *, whatsapp: bool = False) -> str:
    """The text as a person should read it: Markdown resolved, nothing invisible, white space tidy.

    Headings, emphasis, code marks and rules go; bullets become "- "; a link becomes "label (address)"; a table row
    becomes one line. With `whatsapp` emphasis is kept in WhatsApp's marks: *bold*, _italic_, ~struck~. Doing it twice
    changes nothing more.
    """
    for _ in range(_MOST_PASSES):
        done = _pass(text, whatsapp)
        if done == text:
            break
        # One mark may have hidden another. Every pass shortens the text or leaves a form that no pass touches.
        text = done
    return text


def _pass(text: str, whatsapp: bool) -> str:
    text = _INVISIBLE.sub(r"\1", _LINE_ENDS.sub("\n", text))
    text = _EDGES.sub("\n", _SPACES.sub(" ", text))
    if "&" in text:
        text = _ENTITY.sub(lambda m: html.unescape(m[0]), text)
    if not _MARK.search(text):
        return str(_GAPS.sub("\n\n", text)).strip()
    text = _FENCE.sub("", text)
    text = _rows(text)
    text = _RULE.sub("", text)
    text = _HEADING.sub(r"\1", text)
    text = _QUOTE.sub("", text)
    text = _BULLET.sub("- ", text)
    text = _LINK.sub(_link, text)
    if "<" in text:
        text = _TAG.sub("", _AUTOLINK.sub(lambda m: _address(m[1]), text))
    text = _CODE.sub(r"\2", text)
    text = _BOTH_STARS.sub(r"*_\1_*" if whatsapp else r"\1", text)
    text = _BOLD_STARS.sub(r"*\1*" if whatsapp else r"\1", text)
    text = _BOLD_LINES.sub(r"*\1*" if whatsapp else r"\1", text)
    text = _STRUCK.sub(r"~\1~" if whatsapp else r"\1", text)
    if not whatsapp:
        text = _ITALIC_STAR.sub(r"\1", text)
        text = _ITALIC_LINE.sub(r"\1", text)
    text = _ESCAPE.sub(r"\1", text)
    text = _EDGES.sub("\n", _SPACES.sub(" ", text))
    return str(_GAPS.sub("\n\n", text)).strip()


def _link(match: "regex.Match[str]") -> str:
    label, address = match[1].strip(), _address(match[2])
    bare = address.removeprefix("https://").removeprefix("http://").rstrip("/")
    if not label or label.removeprefix("https://").removeprefix("http://").rstrip("/") == bare:
        return address
    return f"{label} ({address})"


def _address(target: str) -> str:
    return target.removeprefix("mailto:").removeprefix("tel:")


def _rows(text: str) -> str:
    """Tables to lines: the cells of a row with commas between; the line under the head goes."""
    if "|" not in text:
        return text
    lines = text.split("\n")
    out: list[str] = []
    in_table = False
    for line in lines:
        if _TABLE_LINE.match(line) and out and "|" in out[-1]:
            out[-1] = _row(out[-1])
            in_table = True
        elif in_table and "|" in line:
            out.append(_row(line))
        else:
            in_table = False
            out.append(line)
    return "\n".join(out)


def _row(line: str) -> str:
    cells = regex.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return ", ".join(filter(None, (cell.strip() for cell in cells)))
