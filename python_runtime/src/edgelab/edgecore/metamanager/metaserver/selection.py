"""Which stored objects a request selects. Labels in full; of fields, any by its path, as text."""

from __future__ import annotations

from typing import NamedTuple

from edgelab.edgecore.interfaces import Obj
from edgelab.objects import selectors
from edgelab.objects.status import ApiError


class Selection(NamedTuple):
    """A label and a field selector, parsed."""

    labels: selectors.LabelSelector
    fields: selectors.FieldSelector

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.labels and not self.fields

    def matches(self, obj: Obj) -> bool:
        """Whether an object is selected."""
        labels = (obj.get("metadata") or {}).get("labels")
        return self.labels.matches(labels) and self.fields.matches(
            lambda path: selectors.field_value(obj, path)
        )


def parse(labels: str, fields: str) -> Selection:
    """Read both. Raises ApiError (400)."""
    try:
        return Selection(selectors.parse_labels(labels), selectors.parse_fields(fields))
    except selectors.SelectorError as error:
        raise ApiError(400, str(error)) from None
