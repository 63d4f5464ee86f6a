"""What differs between two configurations of an assistant, field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from hookflash.assistant.assistant import AssistantConfig

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field, by its path (`voice.way`, `templates.en.greeting`), and its values; None where it is not there."""

    field: str
    before: Any
    after: Any


def differences(before: AssistantConfig, after: AssistantConfig) -> tuple[Difference, ...]:
    """Sorted by the fields' order in the configuration. Lists count as one value; so do objects that one side lacks."""
    return tuple(_walk("", before.to_dict(), after.to_dict()))


def changed(before: M, given: M) -> M:
    """`before` with the fields that were set in `given`."""
    return updated(before, {name: getattr(given, name) for name in given.model_fields_set})


def updated(before: M, fields: Mapping[str, Any]) -> M:
    """`before` with these fields; within an object those that were set in it. Maps and lists are replaced as a whole."""
    update: dict[str, Any] = {}
    for name, new in fields.items():
        old = getattr(before, name)
        update[name] = changed(old, new) if isinstance(new, BaseModel) and type(old) is type(new) else new
    return before.model_copy(update=update)


def merged(old: AssistantConfig, new: AssistantConfig, draft: AssistantConfig) -> AssistantConfig:
    """The working copy `draft`, made over `old`, after `new` was published instead: with the fields that changed there."""
    changed = {
        name: getattr(new, name) for name in AssistantConfig.model_fields if getattr(new, name) != getattr(old, name)
    }
    return draft.model_copy(update=changed)


def _walk(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    found: list[Difference] = []
    for name in [*before, *(name for name in after if name not in before)]:
        one, other = before.get(name), after.get(name)
        where = f"{path}.{name}" if path else name
        if isinstance(one, dict) and isinstance(other, dict):
            found += _walk(where, one, other)
        elif one != other:
            found.append(Difference(where, one, other))
    return found
