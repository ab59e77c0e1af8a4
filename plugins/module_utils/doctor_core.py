"""What a check of the doctor is: findings, facts that may be unknown, and the run over all checks.

Gathering (doctor_gather_*) only reads the host and knows nothing of good and bad; judging
(doctor_judge_*) only looks at the facts gathered and at what is wanted, so that it can be tested
without a host.
"""

from __future__ import annotations

import re

OK, WARNING, FAILED, UNKNOWN = "ok", "warning", "failed", "unknown"
STATUSES = (FAILED, WARNING, UNKNOWN, OK)
"""From worst to best."""

NOT_INSTALLED = "the runtime is not installed"
JUDGES = {}
"""Function that judges, by code; filled by `judges` when the doctor_judge_* files are imported."""

_SECRET = re.compile(
    r"[0-9a-f]{64}\.|eyJ[\w-]+\.[\w-]*\.?[\w-]*|-----BEGIN [^-]*-----[^-]*|(?i:password|token)\s*[=:]\s*\S+"
)


class Unknown(Exception):
    """A check cannot be made; the text says why."""


class Facts(dict):
    """What was gathered, by section; a section that could not be read holds an Unknown."""

    def need(self, section):
        """A section. Raises Unknown with the reason for which it is not there."""
        found = self.get(section, Unknown(f"{section} was not looked at"))
        if isinstance(found, Unknown):
            raise found
        return found

    def gather(self, section, read, *arguments):
        """Fill a section; whatever goes wrong makes it unknown and never ends the run."""
        try:
            self[section] = read(*arguments)
        except Unknown as reason:
            self[section] = reason
        except Exception as error:
            self[section] = Unknown(redacted(f"{type(error).__name__}: {error}"))


def redacted(text):
    """A text without what looks like a token, a password or a key."""
    return _SECRET.sub("********", str(text))


def good(found, subject=""):
    """A finding: all is well."""
    return {"status": OK, "found": found, "fix": "", "subject": subject}


def bad(found, fix, subject="", status=FAILED):
    """A finding: something is wrong, and what to do."""
    return {"status": status, "found": found, "fix": fix, "subject": subject}


def warn(found, fix, subject=""):
    """A finding that needs no action at once."""
    return bad(found, fix, subject, WARNING)


def judges(code):
    """Register a function `(facts, wanted) -> finding, list of findings or None` for a code."""

    def register(function):
        if code in JUDGES:
            raise ValueError(f"two checks have the code {code}")
        JUDGES[code] = function
        return function

    return register


def examine(code, facts, wanted):
    """The findings of one check; what cannot be said is `unknown` with the reason."""
    try:
        found = JUDGES[code](facts, wanted)
    except Unknown as reason:
        found = {"status": UNKNOWN, "found": str(reason), "fix": "", "subject": ""}
    except Exception as error:
        text = redacted(f"the check itself failed: {type(error).__name__}: {error}")
        found = {"status": UNKNOWN, "found": text, "fix": "report this as a defect", "subject": ""}
    if found is None:
        return []
    several = found if isinstance(found, list) else [found]
    return [{"code": code, **one, "found": redacted(one["found"])} for one in several]


def count(checks):
    """How many checks there are of each status."""
    return {status: sum(1 for check in checks if check["status"] == status) for status in STATUSES}


def chosen(codes, only, ignore):
    """Codes that are to be looked at. Raises ValueError for one that does not exist."""
    strange = sorted((set(only) | set(ignore)) - set(codes))
    if strange:
        raise ValueError(
            "there is no check {}: see docs/reference/doctor.md for the codes".format(", ".join(strange))
        )
    return [code for code in codes if (not only or code in only) and code not in ignore]
