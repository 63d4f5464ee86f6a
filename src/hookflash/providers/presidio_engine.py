"""Presidio itself: its patterns without any model of a language, or with a spaCy model that is installed already."""

from typing import Any

import presidio_analyzer
import spacy.util
from presidio_analyzer.nlp_engine import NlpEngineProvider

from hookflash.base.errors import Misconfigured
from hookflash.providers.presidio import PresidioFinder
from hookflash.providers.registry import ProviderConfig


class Recognizers:
    """Presidio's pattern recognizers alone: they need no model of a language.

    The one for e-mail fetches a list from the network, and ours find those: it is left out.
    """

    def __init__(self) -> None:
        registry = presidio_analyzer.RecognizerRegistry()
        registry.load_predefined_recognizers(languages=["en"])
        patterns = [each for each in registry.recognizers if isinstance(each, presidio_analyzer.PatternRecognizer)]
        self._recognizers = [each for each in patterns if "EMAIL_ADDRESS" not in each.supported_entities]

    def analyze(self, text: str, language: str, entities: list[str]) -> list[Any]:
        found: list[Any] = []
        for recognizer in self._recognizers:
            wanted = [entity for entity in entities if entity in recognizer.supported_entities]
            if wanted:
                found += recognizer.analyze(text, wanted, None) or []
        return found


def finder(config: ProviderConfig) -> PresidioFinder:
    """The entry point: `presidio`, or `presidio:en_core_web_sm` with that spaCy model. Nothing is downloaded."""
    if not config.model:
        return PresidioFinder(Recognizers())
    if not spacy.util.is_package(config.model):
        raise Misconfigured(
            f"The spaCy model {config.model!r} is not installed.",
            hint=f"install the package {config.model}, or name the finder `presidio` to use patterns alone",
        )
    models = [{"lang_code": "en", "model_name": config.model}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    return PresidioFinder(presidio_analyzer.AnalyzerEngine(nlp_engine=engine, supported_languages=["en"]))
