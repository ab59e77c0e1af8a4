"""What is valid in the conversion of a definition (`validateCustomResourceConversion`)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from edgelab.edgesite.apiserver import names as naming
from edgelab.edgesite.apiserver import webhookclients
from edgelab.edgesite.apiserver.custom.errors import (
    Cause,
    child,
    forbidden,
    invalid,
    not_supported,
    required,
)
from edgelab.objects import metadata as meta

Obj = dict[str, Any]

PATH = "spec.conversion"
REVIEWS = ("v1", "v1beta1")


def validate(conversion: Obj, old: Obj | None) -> list[Cause]:
    """The strategy and what belongs to it; `old` is the definition before an update."""
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook")
    causes: list[Cause] = []
    if not strategy:
        causes.append(required(f"{PATH}.strategy"))
    elif strategy not in ("None", "Webhook"):
        causes.append(not_supported(f"{PATH}.strategy", strategy, ("None", "Webhook")))
    config = (webhook or {}).get("clientConfig")
    reviews = (webhook or {}).get("conversionReviewVersions") or []
    if strategy == "Webhook":
        return causes + _client(config, old) + _reviews(reviews, old)
    for name, found in (("webhookClientConfig", config), ("conversionReviewVersions", reviews)):
        if found or (found is not None and name == "webhookClientConfig"):
            text = "should not be set when strategy is not set to Webhook"
            causes.append(forbidden(f"{PATH}.{name}", text))
    return causes


def _client(config: Obj | None, old: Obj | None) -> list[Cause]:
    path = f"{PATH}.webhookClientConfig"
    if config is None:
        return [required(path, "required when strategy is set to Webhook")]
    causes = webhookclients.client(config, path)
    bundle = config.get("caBundle") or ""
    if bundle and old is not None and not _may_be_invalid(old) and not is_bundle(bundle):
        text = "unable to load root certificates: unable to parse bytes as PEM block"
        causes.append(invalid(child(path, "caBundle"), bundle, text))
    return causes


def _may_be_invalid(old: Obj) -> bool:
    found = meta.condition(old, "Established")
    if found is None or found["status"] != "True":
        return True
    bundle = client_config(old).get("caBundle") or ""
    return bool(bundle) and not is_bundle(bundle)


def client_config(obj: Obj) -> Obj:
    """How a definition's webhook is reached."""
    found: Obj = ((obj["spec"].get("conversion") or {}).get("webhook") or {}).get("clientConfig") or {}
    return found


def is_bundle(text: str) -> bool:
    """Whether a caBundle (base64) holds a certificate."""
    try:
        return b"-----BEGIN CERTIFICATE-----" in base64.b64decode(text)
    except (binascii.Error, ValueError):
        return False


def _reviews(versions: list[str], old: Obj | None) -> list[Cause]:
    path = f"{PATH}.conversionReviewVersions"
    if not versions:
        return [required(path)]
    causes: list[Cause] = []
    for position, version in enumerate(versions):
        where = f"{path}[{position}]"
        if version in versions[:position]:
            causes.append(invalid(where, version, "duplicate version"))
        else:
            causes += [invalid(where, version, text) for text in naming.service_label(version)]
    webhook = ((old or {}).get("spec", {}).get("conversion") or {}).get("webhook") or {}
    before = webhook.get("conversionReviewVersions") or []
    strict = not before or bool(set(before) & set(REVIEWS))
    if strict and not set(versions) & set(REVIEWS):
        causes.append(invalid(path, versions, f"must include at least one of {', '.join(REVIEWS)}"))
    return causes
