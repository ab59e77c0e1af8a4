"""Functions that expressions may call: cel-go's standard library and what Kubernetes adds to it.

One overload a line; `A.f(B) -> C` is a member function. Parsed when first asked for.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from edgelab.edgesite.apiserver.cel.types import Type, read, split

STANDARD = """
_?_:_(bool, A, A) -> A
_&&_(bool, bool) -> bool
_||_(bool, bool) -> bool
!_(bool) -> bool
_==_(A, A) -> bool
_!=_(A, A) -> bool
-_(double) -> double; -_(int) -> int
_*_(double, double) -> double; _*_(int, int) -> int; _*_(uint, uint) -> uint
_/_(double, double) -> double; _/_(int, int) -> int; _/_(uint, uint) -> uint
_%_(int, int) -> int; _%_(uint, uint) -> uint
_+_(bytes, bytes) -> bytes; _+_(double, double) -> double; _+_(duration, duration) -> duration
_+_(duration, timestamp) -> timestamp; _+_(timestamp, duration) -> timestamp; _+_(int, int) -> int
_+_(list(A), list(A)) -> list(A); _+_(string, string) -> string; _+_(uint, uint) -> uint
_-_(double, double) -> double; _-_(duration, duration) -> duration; _-_(int, int) -> int
_-_(timestamp, duration) -> timestamp; _-_(timestamp, timestamp) -> duration; _-_(uint, uint) -> uint
@in(A, list(A)) -> bool; @in(A, map(A, B)) -> bool
_[_](list(A), int) -> A; _[_](map(A, B), A) -> B
_[_](optional(list(A)), int) -> optional(A); _[_](optional(map(A, B)), A) -> optional(B)
_[?_](list(A), int) -> optional(A); _[?_](map(A, B), A) -> optional(B)
_[?_](optional(list(A)), int) -> optional(A); _[?_](optional(map(A, B)), A) -> optional(B)
size(bytes) -> int; bytes.size() -> int; size(list(A)) -> int; list(A).size() -> int
size(map(A, B)) -> int; map(A, B).size() -> int; size(string) -> int; string.size() -> int
type(A) -> type(A)
bool(bool) -> bool; bool(string) -> bool
bytes(bytes) -> bytes; bytes(string) -> bytes
double(double) -> double; double(int) -> double; double(string) -> double; double(uint) -> double
duration(duration) -> duration; duration(int) -> duration; duration(string) -> duration
dyn(A) -> dyn
int(int) -> int; int(double) -> int; int(duration) -> int; int(string) -> int; int(timestamp) -> int
int(uint) -> int
string(string) -> string; string(bool) -> string; string(bytes) -> string; string(double) -> string
string(duration) -> string; string(int) -> string; string(timestamp) -> string; string(uint) -> string
string(IP) -> string; string(CIDR) -> string
timestamp(timestamp) -> timestamp; timestamp(int) -> timestamp; timestamp(string) -> timestamp
uint(uint) -> uint; uint(double) -> uint; uint(int) -> uint; uint(string) -> uint
string.contains(string) -> bool; string.endsWith(string) -> bool; string.startsWith(string) -> bool
matches(string, string) -> bool; string.matches(string) -> bool
"""
TIME = (
    "FullYear",
    "Month",
    "DayOfYear",
    "DayOfMonth",
    "Date",
    "DayOfWeek",
    "Hours",
    "Minutes",
    "Seconds",
    "Milliseconds",
)
ORDERED = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")
COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
NUMBERS = ("int", "uint", "double")
OPTIONALS = """
optional.of(A) -> optional(A)
optional.ofNonZeroValue(A) -> optional(A)
optional.none() -> optional(A)
optional(A).value() -> A
optional(A).hasValue() -> bool
optional(A).or(optional(A)) -> optional(A)
optional(A).orValue(A) -> A
"""
STRINGS = """
string.charAt(int) -> string
string.indexOf(string) -> int; string.indexOf(string, int) -> int
string.lastIndexOf(string) -> int; string.lastIndexOf(string, int) -> int
string.lowerAscii() -> string; string.upperAscii() -> string
string.replace(string, string) -> string; string.replace(string, string, int) -> string
string.split(string) -> list(string); string.split(string, int) -> list(string)
string.substring(int) -> string; string.substring(int, int) -> string
string.trim() -> string
string.format(list(dyn)) -> string
strings.quote(string) -> string
list(string).join() -> string; list(string).join(string) -> string
"""
LISTS = """
list(A).slice(int, int) -> list(A)
list(list(A)).flatten() -> list(A); list(dyn).flatten(int) -> list(dyn)
list(A).distinct() -> list(A)
list(A).reverse() -> list(A)
list(A).first() -> optional(A); list(A).last() -> optional(A)
lists.range(int) -> list(int)
list(A).indexOf(A) -> int; list(A).lastIndexOf(A) -> int
list(int).sum() -> int; list(uint).sum() -> uint; list(double).sum() -> double
list(duration).sum() -> duration
sets.contains(list(A), list(A)) -> bool
sets.equivalent(list(A), list(A)) -> bool
sets.intersects(list(A), list(A)) -> bool
string.find(string) -> string
string.findAll(string) -> list(string); string.findAll(string, int) -> list(string)
"""
KUBERNETES = """
url(string) -> URL; isURL(string) -> bool
URL.getScheme() -> string; URL.getHost() -> string; URL.getHostname() -> string; URL.getPort() -> string
URL.getEscapedPath() -> string; URL.getQuery() -> map(string, list(string))
quantity(string) -> Quantity; isQuantity(string) -> bool
sign(Quantity) -> int; Quantity.isInteger() -> bool; Quantity.asInteger() -> int
Quantity.asApproximateFloat() -> double
Quantity.add(Quantity) -> Quantity; Quantity.add(int) -> Quantity
Quantity.sub(Quantity) -> Quantity; Quantity.sub(int) -> Quantity
Quantity.isLessThan(Quantity) -> bool; Quantity.isGreaterThan(Quantity) -> bool
Quantity.compareTo(Quantity) -> int
ip(string) -> IP; isIP(string) -> bool; ip.isCanonical(string) -> bool
IP.family() -> int; IP.isUnspecified() -> bool; IP.isLoopback() -> bool
IP.isLinkLocalMulticast() -> bool; IP.isLinkLocalUnicast() -> bool; IP.isGlobalUnicast() -> bool
cidr(string) -> CIDR; isCIDR(string) -> bool
CIDR.containsIP(string) -> bool; CIDR.containsIP(IP) -> bool
CIDR.containsCIDR(string) -> bool; CIDR.containsCIDR(CIDR) -> bool
CIDR.ip() -> IP; CIDR.masked() -> CIDR; CIDR.prefixLength() -> int
format.named(string) -> optional(Format)
Format.validate(string) -> optional(list(string))
semver(string) -> Semver; semver(string, bool) -> Semver
isSemver(string) -> bool; isSemver(string, bool) -> bool
Semver.major() -> int; Semver.minor() -> int; Semver.patch() -> int
Semver.isLessThan(Semver) -> bool; Semver.isGreaterThan(Semver) -> bool; Semver.compareTo(Semver) -> int
"""
AUTHORIZATION = """
Authorizer.path(string) -> PathCheck; Authorizer.group(string) -> GroupCheck
Authorizer.serviceAccount(string, string) -> Authorizer
GroupCheck.resource(string) -> ResourceCheck
ResourceCheck.subresource(string) -> ResourceCheck; ResourceCheck.namespace(string) -> ResourceCheck
ResourceCheck.name(string) -> ResourceCheck; ResourceCheck.fieldSelector(string) -> ResourceCheck
ResourceCheck.labelSelector(string) -> ResourceCheck
PathCheck.check(string) -> Decision; ResourceCheck.check(string) -> Decision
Decision.allowed() -> bool; Decision.reason() -> string; Decision.error() -> string
Decision.errored() -> bool
"""
FORMATS = (
    "dns1123Label dns1123Subdomain dns1035Label qualifiedName dns1123LabelPrefix dns1123SubdomainPrefix"
    " dns1035LabelPrefix labelValue uri uuid byte date datetime"
)


class Overload(NamedTuple):
    """One signature; the first argument of a member function is its target."""

    member: bool
    args: tuple[Type, ...]
    result: Type


@functools.cache
def functions() -> dict[str, list[Overload]]:
    """All functions by name."""
    found: dict[str, list[Overload]] = {}
    for text in (STANDARD, OPTIONALS, STRINGS, LISTS, KUBERNETES, AUTHORIZATION, "\n".join(_generated())):
        for line in text.replace(";", "\n").splitlines():
            if line.strip():
                name, overload = _overload(line.strip())
                found.setdefault(name, []).append(overload)
    return found


def _generated() -> list[str]:
    """Overloads that exist for many types."""
    lines = []
    for operator in ("_<_", "_<=_", "_>_", "_>=_"):
        lines += [f"{operator}({kind}, {kind}) -> bool" for kind in ORDERED]
        lines += [f"{operator}({a}, {b}) -> bool" for a in NUMBERS for b in NUMBERS if a != b]
    for name in TIME:
        lines += [f"timestamp.get{name}() -> int", f"timestamp.get{name}(string) -> int"]
    lines += [f"duration.get{name}() -> int" for name in TIME[-4:]]
    for name in ("min", "max"):
        lines += [f"list({kind}).{name}() -> {kind}" for kind in COMPARABLE]
    lines += [f"list({kind}).isSorted() -> bool" for kind in COMPARABLE]
    lines += [f"list({kind}).sort() -> list({kind})" for kind in COMPARABLE]
    return lines + [f"format.{name}() -> Format" for name in FORMATS.split()]


def _overload(line: str) -> tuple[str, Overload]:
    head, _, result = line.partition(" -> ")
    opened = _opening(head)
    name, args = head[:opened], split(head[opened + 1 : -1])
    target, dot, last = name.rpartition(".")
    if dot and target != "optional" and (target[:1].isupper() or target.split("(")[0] in TARGETS):
        return last, Overload(True, (read(target), *map(read, args)), read(result))
    return name, Overload(False, tuple(map(read, args)), read(result))


TARGETS = ("string", "bytes", "list", "map", "timestamp", "duration", "optional")


def _opening(head: str) -> int:
    """Where the arguments begin: at the parenthesis that the last one closes."""
    depth = 0
    for position in range(len(head) - 1, -1, -1):
        depth += (head[position] == ")") - (head[position] == "(")
        if depth == 0:
            return position
    raise ValueError(head)
