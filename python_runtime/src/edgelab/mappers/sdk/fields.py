"""Reading `configData`, whose keys differ in case between KubeEdge's generations and mappers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgelab.mappers.sdk.model import Scalar

TRUTH = {"true": True, "false": False}


class Fields:
    """Values by name. Names go without regard to case; `com.baudRate` is found as `baudRate` too.

    All methods raise ValueError that names the field below `where`. Of several names, the first that is
    there counts; they are what different generations call one thing.
    """

    def __init__(self, values: Mapping[str, Scalar], where: str) -> None:
        self._where = where
        self._values = {key.rpartition(".")[2].lower(): value for key, value in values.items()}
        self._values |= {key.lower(): value for key, value in values.items() if "." not in key}

    def has(self, *names: str) -> bool:
        """Whether one of the names has a value."""
        return self._find(names) is not None

    def text(self, *names: str, default: str | None = None) -> str:
        """A text; without a default it must be there."""
        found = self._find(names)
        if found is None:
            if default is None:
                raise self.wrong(names[0], "is missing")
            return default
        return str(found[1]).strip()

    def choice(self, *names: str, among: Sequence[str], default: str | None = None) -> str:
        """One of `among`, without regard to case, spelt as there."""
        given = self.text(*names, default=default)
        known = {item.lower(): item for item in among}
        if given.lower() not in known:
            raise self.wrong(self._name(names), f"{given!r}: expected one of {', '.join(among)}")
        return known[given.lower()]

    def whole(self, *names: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from `low` to `high`; a text of one counts."""
        number = self.number(*names, default=default)
        if not number.is_integer() or not low <= number <= high:
            raise self.wrong(self._name(names), f"{number:g}: expected a whole number from {low} to {high}")
        return int(number)

    def number(self, *names: str, default: float | None = None) -> float:
        """A number; a text of one counts."""
        found = self._find(names)
        if found is None and default is not None:
            return float(default)
        given = self.text(*names)
        try:
            if found and isinstance(found[1], bool):
                raise ValueError
            return float(given)
        except ValueError:
            raise self.wrong(self._name(names), f"{given!r}: expected a number") from None

    def flag(self, *names: str, default: bool = False) -> bool:
        """True or false, a text of either too."""
        given = self.text(*names, default=str(default)).lower()
        if given not in TRUTH:
            raise self.wrong(self._name(names), f"{given!r}: expected true or false")
        return TRUTH[given]

    def wrong(self, name: str, text: str) -> ValueError:
        """The error that says what is wrong with a field."""
        return ValueError(f"{self._where}.{name}: {text}")

    def _find(self, names: Sequence[str]) -> tuple[str, Scalar] | None:
        for name in names:
            value = self._values.get(name.lower())
            if value is not None and value != "":
                return name, value
        return None

    def _name(self, names: Sequence[str]) -> str:
        found = self._find(names)
        return found[0] if found else names[0]
