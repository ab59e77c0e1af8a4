"""Every command but `edgesite server`: what it does, and what it says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.daemon.main import configure_logging
from edgelab.daemon.main import run as run_daemon
from edgelab.edgesite.operation import archive
from edgelab.edgesite.operation import restore as restoring

Answer = tuple[dict[str, Any], str]


def run(given: argparse.Namespace) -> int:
    """Run a command; gives the exit status."""
    if given.command == "follow":
        return _follow(given)
    try:
        data, text = COMMANDS[given.command](given)
    except Fatal as error:
        if given.output == "json":
            _print(msgspec.json.encode({"error": str(error)}).decode())
        print(f"edgesite: {error}", file=sys.stderr)
        return error.code
    _print(msgspec.json.encode(data).decode() if given.output == "json" else text)
    return 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _follow(given: argparse.Namespace) -> int:
    from edgelab.edgesite.operation.follower import Follower  # noqa: PLC0415 - the others need no HTTP client
    from edgelab.kube.kubeconfig import load  # noqa: PLC0415

    configure_logging(given.v)

    async def follow() -> None:
        site = load(given.kubeconfig)
        if given.site:
            site = replace(site, server=given.site.rstrip("/"))
        await Follower(site, given.data_dir, SYSTEM, force=given.force).run()

    return run_daemon("edgesite", follow)


def _backup(given: argparse.Namespace) -> Answer:
    path, manifest = archive.write(given.data_dir, given.target, SYSTEM, keys=not given.no_keys)
    size = path.stat().st_size
    text = f"{path}: {size} bytes, {_what(manifest)}"
    return {"changed": True, "file": str(path), "size": size, **_facts(manifest)}, text


def _restore(given: argparse.Namespace) -> Answer:
    if given.check:
        manifest = archive.verify(given.source)
        text = f"{given.source} is sound: as of {manifest.created}, {_what(manifest)}"
        return {"changed": False, "file": str(given.source), **_facts(manifest)}, text
    if given.unless_usable and restoring.is_usable(given.data_dir):
        return {"changed": False, "file": str(given.source)}, f"{given.data_dir} can be used as it is"
    done = restoring.restore(given.source, given.data_dir, force=given.force)
    aside = f"; what was there lies in {done.replaced}" if done.replaced is not None else ""
    text = f"{given.data_dir} is as of {done.manifest.created}; versions go on at {done.revision}{aside}"
    facts = {**_facts(done.manifest), "revision": done.revision, "replaced": str(done.replaced or "")}
    return {"changed": True, "file": str(given.source), **facts}, text


def _migrate(given: argparse.Namespace) -> Answer:
    from edgelab.edgesite.operation import legacy  # noqa: PLC0415 - the others need no settings of EdgeCore

    try:
        text = given.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(f"cannot read {given.file}: {error}") from error
    found = legacy.translate(text, str(given.file))
    told = [{"setting": problem.field, "became": problem.message} for problem in found.told]
    return {"server": list(found.server), "edgecore": found.edgecore, "settings": told}, legacy.render(found)


def _promote(given: argparse.Namespace) -> Answer:
    if given.now:
        from edgelab.edgesite.operation import takeover  # noqa: PLC0415 - needs systemd

        done = takeover.take_over(given.data_dir)
        goes_on = f"; versions go on at {done.revision}" if done.revision is not None else " as before"
        facts = {"changed": done.changed, "revision": done.revision, "followed": done.followed}
        return facts, f"{given.data_dir} is a site and served{goes_on}"
    revision = restoring.promote(given.data_dir)
    text = f"{given.data_dir} is a site now; versions go on at {revision}"
    return {"changed": True, "revision": revision}, text


def _demote(given: argparse.Namespace) -> Answer:
    aside = restoring.demote(given.data_dir)
    if aside is None:
        return {"changed": False}, f"{given.data_dir} holds no site"
    text = f"{given.data_dir} can follow another site now; its own lies in {aside}"
    return {"changed": True, "replaced": str(aside)}, text


def _encryption(given: argparse.Namespace) -> Answer:
    from edgelab.edgesite.encryption import rewriting  # noqa: PLC0415 - optional

    if given.action == "status":
        found = rewriting.status(given.data_dir)
        text = "\n".join(f"{count} versions of Secrets by {how}" for how, count in found.items())
        return {"changed": False, "secrets": found}, text or "no Secrets"
    if given.encryption_provider_config is None:
        raise Fatal(f"edgesite encryption {given.action} needs --encryption-provider-config FILE", code=2)
    return KEYS[given.action](given)


def _rewrite(given: argparse.Namespace) -> Answer:
    from edgelab.edgesite.encryption import configuration, rewriting, transform  # noqa: PLC0415 - optional

    rules = configuration.load(given.encryption_provider_config)
    count, total = rewriting.rewrite(given.data_dir, transform.AtRest(rules))
    text = f"{count} of {total} versions were written anew"
    return {"changed": count > 0, "rewritten": count, "versions": total}, text


def _new_key(given: argparse.Namespace) -> Answer:
    from edgelab.edgesite.encryption import keyfile  # noqa: PLC0415 - optional

    file = given.encryption_provider_config
    if given.if_needed and keyfile.is_first(file, given.provider):
        return {"changed": False, "file": str(file)}, f"a key of {given.provider} is the first of {file}"
    name = keyfile.new_key(file, given.provider, SYSTEM)
    return {"changed": True, "key": name, "file": str(file)}, f"{name} is the first key of {file}"


def _retire(given: argparse.Namespace) -> Answer:
    from edgelab.edgesite.encryption import keyfile  # noqa: PLC0415 - optional

    file = given.encryption_provider_config
    gone = keyfile.retire(file, given.data_dir)
    text = f"{file} no longer holds {', '.join(gone)}" if gone else f"{file} holds no key that is not needed"
    return {"changed": bool(gone), "retired": list(gone), "file": str(file)}, text


def _check(given: argparse.Namespace) -> Answer:
    from edgelab.edgesite.audit import policy  # noqa: PLC0415 - optional
    from edgelab.edgesite.encryption import configuration, rewriting, transform  # noqa: PLC0415

    files = []
    if given.encryption_provider_config is not None:
        rules = configuration.load(given.encryption_provider_config)
        if given.data_dir is not None:
            rewriting.insist_on_readable(given.data_dir, transform.AtRest(rules))
        files.append(str(given.encryption_provider_config))
    if given.audit_policy_file is not None:
        policy.load(given.audit_policy_file)
        files.append(str(given.audit_policy_file))
    return {"changed": False, "files": files}, "\n".join(f"{file} can be used" for file in files)


def _facts(manifest: archive.Manifest) -> dict[str, Any]:
    return {
        "revision": manifest.revision,
        "created": manifest.created,
        "version": manifest.version,
        "keys": manifest.keys,
        "ca": manifest.ca,
    }


def _what(manifest: archive.Manifest) -> str:
    return f"revision {manifest.revision}, {'with' if manifest.keys else 'without'} keys"


COMMANDS: dict[str, Callable[[argparse.Namespace], Answer]] = {
    "backup": _backup,
    "restore": _restore,
    "promote": _promote,
    "demote": _demote,
    "migrate": _migrate,
    "encryption": _encryption,
    "check": _check,
}
KEYS: dict[str, Callable[[argparse.Namespace], Answer]] = {
    "rewrite": _rewrite,
    "new-key": _new_key,
    "retire": _retire,
}
