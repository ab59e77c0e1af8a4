"""The query of a list or a watch (`metav1.ListOptions`), checked as apimachinery does."""

from __future__ import annotations

from dataclasses import dataclass

from multidict import MultiMapping

from edgelab.edgesite.apiserver.invalid import Cause, forbidden, invalid, unsupported
from edgelab.edgesite.apiserver.request import flag, number
from edgelab.objects.selectors import SelectorError, parse_fields, parse_labels
from edgelab.objects.status import ApiError

EXACT, NOT_OLDER = "Exact", "NotOlderThan"
MATCH = "resourceVersionMatch"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """`limit` 0 is no limit; `version` and `match` are resourceVersion and resourceVersionMatch.

    `initial` is sendInitialEvents, None where it is not said.
    """

    limit: int = 0
    token: str = ""
    version: str = ""
    match: str = ""
    initial: bool | None = None
    bookmarks: bool = False
    seconds: int = 0


def parse(query: MultiMapping[str], *, watch: bool) -> ListOptions:
    """The options of a request. Raises ApiError 400 or 422."""
    options = ListOptions(
        max(0, number(query, "limit")),
        query.get("continue", ""),
        query.get("resourceVersion", ""),
        query.get(MATCH, ""),
        flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
        flag(query, "allowWatchBookmarks"),
        number(query, "timeoutSeconds"),
    )
    causes = _watch(options) if watch else _list(options)
    if causes:
        _check_selectors(query)
        raise invalid("ListOptions", "meta.k8s.io", "", causes)
    return options


def _check_selectors(query: MultiMapping[str]) -> None:
    """Selectors that cannot be read are an earlier error than options that do not fit together."""
    try:
        parse_labels(query.get("labelSelector", ""))
        parse_fields(query.get("fieldSelector", ""))
    except SelectorError as error:
        raise ApiError(400, str(error)) from error


def _list(options: ListOptions) -> list[Cause]:
    causes = []
    if options.match:
        if not options.version:
            causes.append(forbidden(MATCH, f"{MATCH} is forbidden unless resourceVersion is provided"))
        if options.token:
            causes.append(forbidden(MATCH, f"{MATCH} is forbidden when continue is provided"))
        if options.match not in (EXACT, NOT_OLDER):
            causes.append(unsupported(MATCH, options.match, [EXACT, NOT_OLDER, ""]))
        if options.match == EXACT and options.version == "0":
            causes.append(forbidden(MATCH, f'{MATCH} "exact" is forbidden for resourceVersion "0"'))
    if options.initial is not None:
        causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return causes


def _watch(options: ListOptions) -> list[Cause]:
    causes = []
    if options.initial is not None and options.match != NOT_OLDER:
        causes.append(forbidden(MATCH, f"sendInitialEvents requires setting {MATCH} to {NOT_OLDER}"))
    if options.match:
        if options.initial is None:
            text = f"{MATCH} is forbidden for watch unless sendInitialEvents is provided"
            causes.append(forbidden(MATCH, text))
        if options.match != NOT_OLDER:
            causes.append(unsupported(MATCH, options.match, [NOT_OLDER]))
        if options.token:
            causes.append(forbidden(MATCH, f"{MATCH} is forbidden when continue is provided"))
    return causes
