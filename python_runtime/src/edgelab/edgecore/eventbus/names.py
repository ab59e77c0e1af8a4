"""MQTT topic names and topic filters: what is allowed, and what matches what (MQTT 3.1.1, 4.7)."""

from __future__ import annotations

LONGEST = 1024
"""Bytes of a topic. MQTT allows 65,535; a device's longest topic has about 400."""

DEEPEST = 64
"""Levels of a topic: each is a step of every match."""


def name_problem(topic: str) -> str:
    """Why nothing can be published on `topic`; empty when it is a topic name."""
    if "+" in topic or "#" in topic:
        return "a topic that is published on has no + and no #"
    return _common_problem(topic)


def filter_problem(text: str) -> str:
    """Why `text` cannot be subscribed to; empty when it is a topic filter."""
    levels = text.split("/")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return "# stands alone, as the last level"
    if any("+" in level and level != "+" for level in levels):
        return "+ stands for a whole level"
    return _common_problem(text)


def _common_problem(text: str) -> str:
    if not text:
        return "a topic is not empty"
    if "\0" in text:
        return "a topic has no NUL"
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST:
        return f"a topic has {LONGEST} bytes at most"
    if text.count("/") >= DEEPEST:
        return f"a topic has {DEEPEST} levels at most"
    return ""


def matches(pattern: str, topic: str) -> bool:
    """Whether the filter `pattern` covers `topic`. Wildcards leave out topics that begin with `$`."""
    wanted, levels = pattern.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place == len(levels) or level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)
