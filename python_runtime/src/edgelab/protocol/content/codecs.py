"""How a content is read from raw JSON and written again, without losing anything.

Models name the fields that we know; what a later release adds at the top of a content is kept beside
them (`Content.rest`) and written again. Kubernetes objects stay raw JSON. A content that is JSON text
within a string keeps its exact text: Go escapes `<`, `>` and `&` in it, and a receiver may compare it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Raw, ValidationError

T = TypeVar("T")
NO_FIELDS: Mapping[str, Raw] = MappingProxyType({})


class Content(NamedTuple):
    """A content as its model, the codec that writes it, and the fields that the model does not know."""

    value: Any
    codec: Codec
    rest: Mapping[str, Raw] = NO_FIELDS

    def raw(self) -> Raw:
        """The content as JSON."""
        return self.codec.write(self)


class Codec(Protocol):
    """Reading and writing of one form of content."""

    def read(self, raw: Raw) -> Content:
        """Raises `msgspec.ValidationError`, with the field's path, for what is not of this form."""

    def write(self, content: Content) -> Raw:
        """The opposite of `read`."""


class Struct:
    """A JSON object whose fields a model names."""

    def __init__(self, model: type[msgspec.Struct]) -> None:
        self._decoder = msgspec.json.Decoder(model)
        self._known = frozenset(field.encode_name for field in msgspec.structs.fields(model))

    def read(self, raw: Raw) -> Content:
        """See Codec."""
        value = self._decoder.decode(raw)
        fields = msgspec.json.decode(raw, type=dict[str, Raw])
        return Content(value, self, {key: part for key, part in fields.items() if key not in self._known})

    def write(self, content: Content) -> Raw:
        """See Codec."""
        data = msgspec.json.encode(content.value)
        if not content.rest:
            return Raw(data)
        fields = msgspec.json.decode(data, type=dict[str, Raw])
        return Raw(msgspec.json.encode({**fields, **content.rest}))


class Plain:
    """JSON that msgspec reads into a type and writes again: text, null, lists and maps of models."""

    def __init__(self, kind: Any) -> None:
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, raw: Raw) -> Content:
        """See Codec."""
        return Content(self._decoder.decode(raw), self)

    def write(self, content: Content) -> Raw:
        """See Codec."""
        return Raw(msgspec.json.encode(content.value))


class KubernetesObject:
    """An API object: a JSON object that stays raw; what is in it is the receiver's to read.

    `field` is one that it must have, where another form of content has the same place.
    """

    def __init__(self, field: str = "") -> None:
        self._field = field

    def read(self, raw: Raw) -> Content:
        """See Codec."""
        if bytes(raw)[:1] != b"{":
            raise ValidationError("Expected a Kubernetes object")
        if self._field and self._field not in msgspec.json.decode(raw, type=dict[str, Raw]):
            raise ValidationError(f"Object missing required field `{self._field}`")
        return Content(raw, self)

    def write(self, content: Content) -> Raw:
        """See Codec."""
        value: Raw = content.value
        return value


class Text(Generic[T]):
    """The value of `Embedded`: JSON text, and what it says."""

    __slots__ = ("_decoder", "text")

    def __init__(self, text: str, decoder: msgspec.json.Decoder[T]) -> None:
        self.text = text
        self._decoder = decoder

    def value(self) -> T:
        """What the text says. Raises `msgspec.DecodeError` when it is no JSON or does not fit."""
        return self._decoder.decode(self.text)


class Embedded(Generic[T]):
    """JSON text of a model within a string; what does not fit is refused when it is read."""

    def __init__(self, model: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(model)

    def read(self, raw: Raw) -> Content:
        """See Codec."""
        text = Text(msgspec.json.decode(raw, type=str), self._decoder)
        try:
            text.value()
        except msgspec.DecodeError as error:
            raise ValidationError(f"the text within the content: {error}") from error
        return Content(text, self)

    def write(self, content: Content) -> Raw:
        """See Codec."""
        return Raw(msgspec.json.encode(content.value.text))

    def of(self, value: T) -> Content:
        """A content that says `value`."""
        return Content(Text(msgspec.json.encode(value).decode(), self._decoder), self)


class Either:
    """The first of several forms that fits."""

    def __init__(self, *codecs: Codec) -> None:
        self._codecs = codecs

    def read(self, raw: Raw) -> Content:
        """Raises the ValidationError of the first form, which is the usual one."""
        problem: ValidationError | None = None
        for codec in self._codecs:
            try:
                return codec.read(raw)
            except ValidationError as error:
                problem = problem or error
        raise problem or ValidationError("no form of this content is known")

    def write(self, content: Content) -> Raw:
        """See Codec."""
        return content.codec.write(content)


TEXT = Plain(str)
NOTHING = Plain(None)
OBJECT = KubernetesObject()
ANYTHING = Plain(Raw)
"""A content that nobody has described: it is passed on as it is."""
WORDS = Either(TEXT, ANYTHING)
"""Most often a text: `OK`, or what went wrong, which Go writes as `{}` where its words are lost."""
NO_MORE = Either(NOTHING, ANYTHING)
"""Most often nothing: all is said by the route."""
