"""Which language a call is in: it begins in one, and goes over to another that the caller speaks or asks for."""

import re
from collections.abc import Callable, Sequence

# Words that one says in any language; so many of another language are needed before the call goes over to it at once.
TELLING_WORDS = 3
_NAMES = {
    "en": "english|inglés|ingles|englisch|anglais|angrezi|angreji|inglês|अंग्रेज़ी|अंग्रेजी|इंग्लिश",
    "es": "spanish|español|espanol|castellano",
    "fr": "french|français|francais",
    "de": "german|deutsch",
    "pt": "portuguese|português|portugues",
    "hi": "hindi|हिंदी|हिन्दी",
    "it": "italian|italiano",
    "nl": "dutch|nederlands",
    "ja": "japanese|日本語",
    "ru": "russian|русски",
}
_ASKING = r"(?:speaks?|speaking|talk|in|to|habl\w+|en|parle\w*|auf|sprech\w+|em|fal\w+|mein|me|में|bol\w+|baat|बोल\w*|parl\w+|по)"

Detect = Callable[[str, str | None], str]


def primary(tag: str) -> str:
    """The language of a tag, without its country or script."""
    return tag.partition("-")[0].casefold()


def matching(language: str, tags: Sequence[str]) -> str | None:
    """The one of these tags that a language is served by, if any."""
    for tag in tags:
        if tag.casefold() == language.casefold():
            return tag
    return next((tag for tag in tags if primary(tag) == primary(language)), None)


class Tongue:
    """The language of one call, out of `tags` (BCP 47), the first of which it begins in; nothing is known of time.

    `detect` tells the language of words (and of what was spoken before), for transcribers that do not; without it nobody asks.
    """

    def __init__(self, tags: Sequence[str], detect: Detect | None = None) -> None:
        self._tags = tuple(tags)
        self._detect = detect
        self._other: str | None = None
        self.current = self._tags[0]

    def hear(self, said: str, language: str | None) -> bool:
        """Take in what the caller said, and what the transcriber took it for; whether the call changes its language."""
        if len(self._tags) < 2 or not any(map(str.isalpha, said)):
            return False
        asked = self._asked_for(said)
        if asked is None and language is None and self._detect is not None and said:
            language = self._detect(said, primary(self.current))
        spoken = asked or (matching(language, self._tags) if language else None)
        if spoken is None or spoken == self.current:
            self._other = None
            return False
        # A word or two of another language may be a name or a greeting; twice in a row they are not.
        if asked is None and spoken != self._other and len(said.split()) < TELLING_WORDS:
            self._other = spoken
            return False
        self.current, self._other = spoken, None
        return True

    def _asked_for(self, said: str) -> str | None:
        """A language by its name: "do you speak Spanish?", "en español, por favor", "Hindi"."""
        for tag in self._tags:
            names = _NAMES.get(primary(tag))
            if names is None:
                continue
            alone = re.fullmatch(
                rf"\W*(?:{names})(?:\W+(?:please|por favor|bitte|s'il vous plaît))?\W*", said, re.IGNORECASE
            )
            if alone or re.search(rf"(?:^|\W){_ASKING}\W+(?:{names})(?:\W|$)", said, re.IGNORECASE):
                return tag
            # Hindi names the language before the word for "in".
            if re.search(rf"(?:^|\W)(?:{names})\W+(?:mein|me|में|bol\w*|बोल\w*)(?:\W|$)", said, re.IGNORECASE):
                return tag
        return None


def to_listen_for(tags: Sequence[str], *, mixes: bool) -> str:
    """What a transcriber is told: the language, or that several may come, if it can hear them (`mixes`)."""
    if len(tags) < 2 or not mixes:
        return tags[0]
    # Hindi with English in it has a tag of its own, which is narrower than any mixture.
    return "hi-Latn" if {primary(tag) for tag in tags} == {"en", "hi"} else "multi"
