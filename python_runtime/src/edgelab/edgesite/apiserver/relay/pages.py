"""A tokenizer for HTML that leaves everything as it is but the tags that open (`golang.org/x/net/html`)."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

ATTRIBUTES = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}
"""Where an element has a URL."""
RAW = ("iframe", "noembed", "noframes", "plaintext", "script", "style", "textarea", "title", "xmp")
"""Elements whose contents are no tags."""
OPENING = re.compile(r"<([a-zA-Z][^\s/>]*)")
GAP = re.compile(r"[\s/]*")
ATTRIBUTE = re.compile(r"""([^\s/>][^\s=>/]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>][^\s>]*|(?=>))))?""")
ESCAPES = str.maketrans({"&": "&amp;", "'": "&#39;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "\r": "&#13;"})
LARGEST_TAG = 1 << 20


class Page:
    """Takes the text in pieces; `rewrite` gives the URL to put in the place of one."""

    def __init__(self, rewrite: Callable[[str], str]) -> None:
        self._rewrite = rewrite
        self._rest = ""
        self._raw = ""

    def feed(self, text: str) -> str:
        """As much as can be told by now."""
        done: list[str] = []
        text, position = self._rest + text, 0
        while position < len(text):
            end = self._step(text, position, done)
            if end is None:
                break
            position = end
        self._rest = text[position:]
        if len(self._rest) > LARGEST_TAG:
            done.append(self.end())
        return "".join(done)

    def end(self) -> str:
        """What was no complete tag."""
        rest, self._rest = self._rest, ""
        return rest

    def _step(self, text: str, start: int, done: list[str]) -> int | None:
        """Where the next token ends; None when that is still to come."""
        if self._raw:
            return self._raw_text(text, start, done)
        if text[start] != "<":
            end = text.find("<", start)
            end = len(text) if end < 0 else end
            done.append(text[start:end])
            return end
        if text.startswith("<!--", start):
            return _until(text, start, "-->", done)
        if len(text) - start < len("<!--") and "<!--".startswith(text[start:]):
            return None
        if text[start + 1] in "!?/":
            return _until(text, start, ">", done)
        return self._tag(text, start, done)

    def _raw_text(self, text: str, start: int, done: list[str]) -> int | None:
        found = re.compile(rf"</{self._raw}(?=[\s/>])", re.IGNORECASE).search(text, start)
        if found is not None:
            done.append(text[start : found.start()])
            self._raw = ""
            return found.start()
        last = text.rfind("<", start)
        keep = len(text) - last <= len(self._raw) + 2 and last >= 0
        end = last if keep else len(text)
        done.append(text[start:end])
        return end if end > start else None

    def _tag(self, text: str, start: int, done: list[str]) -> int | None:
        opening = OPENING.match(text, start)
        if opening is None:
            done.append("<")
            return start + 1
        name, position, attributes = opening[1].lower(), opening.end(), []
        wanted = ATTRIBUTES.get(name, ())
        while True:
            gap = GAP.match(text, position)
            position = gap.end() if gap is not None else position
            if position >= len(text):
                return None
            if text[position] == ">":
                break
            found = ATTRIBUTE.match(text, position)
            if found is None or found.end() >= len(text):
                return None
            key = found[1].lower()
            value = html.unescape(next((part for part in found.groups()[1:] if part is not None), ""))
            attributes.append((key, self._rewrite(value) if key in wanted else value))
            position = found.end()
        closing = "/>" if text[position - 1] == "/" else ">"
        shown = "".join(f' {key}="{value.translate(ESCAPES)}"' for key, value in attributes)
        done.append(f"<{name}{shown}{closing}")
        if name in RAW:
            self._raw = name
        return position + 1


def _until(text: str, start: int, mark: str, done: list[str]) -> int | None:
    end = text.find(mark, start)
    if end < 0:
        return None
    done.append(text[start : end + len(mark)])
    return end + len(mark)
