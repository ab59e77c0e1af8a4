"""Regular expressions of Go (RE2) for Python's `re`: what is written otherwise is translated."""

from __future__ import annotations

import functools
import re

CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
UNICODE = {
    "L": r"^\W\d_",
    "Lu": "A-ZÀ-ÖØ-Þ",
    "Ll": "a-zß-öø-ÿ",
    "N": r"\d",
    "Nd": r"\d",
    "P": r"!-/:-@\[-`{-~",
    "S": r"$+<=>^`|~",
    "Z": r"\s",
    "Zs": " \u00a0",
}
_TOKEN = re.compile(
    r"\[:(\^?)(\w+):\]|\\([pP])(?:\{(\^?)(\w+)\}|(\w))|\\Q(.*?)(?:\\E|$)|\\x\{([0-9a-fA-F]+)\}|\\.", re.S
)


def translated(pattern: str) -> str:
    """A Go pattern as Python has it."""

    def replace(match: re.Match[str]) -> str:
        negated, name, kind, caret, long, short, literal, code = match.groups()
        if name is not None:
            return ("^" if negated else "") + CLASSES.get(name, "")
        if kind is not None:
            inner = UNICODE.get(long or short, r"\w")
            inside = pattern.count("[", 0, match.start()) > pattern.count("]", 0, match.start())
            if inside:
                return inner.lstrip("^") if not inner.startswith("^") else r"A-Za-z\u00aa-\uffff"
            flip = (kind == "P") != bool(caret)
            text = inner[1:] if flip and inner.startswith("^") else f"^{inner}" if flip else inner
            return f"[{text}]"
        if literal is not None:
            return re.escape(literal)
        if code is not None:
            return re.escape(chr(int(code, 16)))
        found = match.group()
        return {"\\z": "\\Z", "\\C": "(?s:.)"}.get(found, found)

    text = _TOKEN.sub(replace, pattern)
    text = re.sub(r"\(\?<(?![=!])", "(?P<", text)
    return re.sub(r"(?<!\\)\$", r"\\Z", text) if "(?m" not in text else text


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """The compiled expression. Raises re.error."""
    return re.compile(_flags_first(translated(pattern)), re.ASCII)


def _flags_first(pattern: str) -> str:
    """Flags for the whole expression are written at its beginning."""
    match = re.search(r"\(\?([imsU]+)\)", pattern)
    if match is None or match.start() == 0:
        return pattern.replace("(?U)", "", 1)
    head, tail = pattern[: match.start()], pattern[match.end() :]
    flags = match[1].replace("U", "")
    return f"{head}(?{flags}:{tail})" if flags else head + tail


def problem(pattern: str) -> str:
    """Why Go's regexp would not compile it; empty if it would."""
    try:
        compiled(pattern)
    except re.error as error:
        return _worded(pattern, error)
    if re.search(r"\(\?(<?[=!]|>)", pattern):
        found = re.search(r"\(\?<?[=!]|\(\?>", pattern)
        assert found is not None
        return f"error parsing regexp: invalid or unsupported Perl syntax: `{found.group()[:3]}`"
    return ""


def _worded(pattern: str, error: re.error) -> str:
    text, place = error.msg, error.pos or 0
    word = text.rpartition(" ")[2]
    wordings = {
        "missing ), unterminated": f"missing closing ): `{pattern}`",
        "unterminated character set": f"missing closing ]: `{pattern[place:]}`",
        "unbalanced parenthesis": f"unexpected ): `{pattern}`",
        "nothing to repeat": f"missing argument to repetition operator: `{pattern[place : place + 1]}`",
        "multiple repeat": f"invalid nested repetition operator: `{pattern[place - 1 : place + 1]}`",
        "bad character range": f"invalid character class range: `{word}`",
        "bad escape (end of pattern)": "trailing backslash at end of expression: ``",
        "bad escape": f"invalid escape sequence: `{word}`",
    }
    other = f"invalid or unsupported Perl syntax: `{pattern[place : place + 3]}`"
    return "error parsing regexp: " + next((w for part, w in wordings.items() if part in text), other)
