"""Label and field selectors (apimachinery `pkg/labels`, `pkg/fields`)."""

from __future__ import annotations

from edgelab.objects.fieldselectors import FieldSelector, FieldTerm, field_value, parse_fields
from edgelab.objects.labelparser import parse_labels
from edgelab.objects.labelselectors import (
    EVERYTHING,
    NOTHING,
    LabelSelector,
    Requirement,
    SelectorError,
    format_labels,
    from_labels,
    from_object,
)

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "FieldSelector",
    "FieldTerm",
    "LabelSelector",
    "Requirement",
    "SelectorError",
    "field_value",
    "format_labels",
    "from_labels",
    "from_object",
    "parse_fields",
    "parse_labels",
]
