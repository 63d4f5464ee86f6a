"""The rules by which attempts to take an assistant over are known, in several languages; each with its weight."""

import re
from dataclasses import dataclass

from hookflash.safety.rule_file import rules

# Rules of this weight count also in readings that were hidden, where a chance hit is likelier.
SURE = 0.6


@dataclass(frozen=True, slots=True)
class Rule:
    """`weight` (0..1) is how sure one hit makes us; hits of several rules add up. `inside`: only in documents and the like."""

    name: str
    weight: float
    pattern: re.Pattern[str]
    inside: bool = False


RULES: tuple[Rule, ...] = tuple(
    Rule(rule["name"], rule["weight"], pattern, rule.get("inside", False))
    for rule, pattern in rules("injection_rules.toml")
)
