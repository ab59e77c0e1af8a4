"""runtime_image: gathers the wheels here, on the controller, and has debian_image build of them."""

from __future__ import annotations

import platform
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.edgelab.kubeedge.plugins.module_utils.oci_packages import PackageError
from ansible_collections.edgelab.kubeedge.plugins.modules.debian_image import ensure
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.runtime_bundle import (
    Builder,
    BundleError,
    with_extras,
)
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.wheelhouse import PYTHONS, python_of

display = Display()
SPEC = {
    "program": {"type": "str", "choices": ["cloudcore", "mapper"], "default": "cloudcore"},
    "extras": {"type": "list", "elements": "str", "default": []},
    "repository": {"type": "str", "required": True},
    "dest": {"type": "path", "required": True},
    "arch": {"type": "str", "choices": ["amd64", "arm64", "armhf"], "required": True},
    "source": {"type": "path"},
    "cache_dir": {"type": "path", "default": "~/.cache/edgelab"},
    "wheelhouse": {"type": "path"},
    "index_url": {"type": "str", "no_log": True},
}
PROFILES = {"cloudcore": "cloud", "mapper": "edge"}
MODULES = {"cloudcore": ["edgelab.cloudcore"], "mapper": []}
"""What the interpreter runs with `-m`; which mapper it is, the pod says."""
LIBRARIES = ("libstdc++6", "libgcc-s1")
"""What wheels for manylinux take from the system, beside what Python's own extensions need (PEP 600)."""
USER = "65532:65532"
"""Nobody in particular: daemons in containers need no right on files."""


class ActionModule(ActionBase):
    """Builds the archive."""

    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        """See the module's documentation."""
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        try:
            builder = _builder(options)
            suite = _suite()
            target = {"suite": suite, "arch": options["arch"]}
            profile = with_extras(PROFILES[options["program"]], options["extras"])
            wheels = [builder.wheel(), *builder.wheels(profile, python_of(target))]
            parameters = recipe(options, builder.installed_version(profile), suite, wheels)
            result.update(ensure(parameters, check_mode=self._task.check_mode))
        except (BundleError, PackageError, OSError, ValueError) as error:
            result.update(failed=True, msg=f"runtime_image: {error}")
            return result
        result.pop("packages")
        result["version"] = builder.installed_version(profile)
        return result


def recipe(options, version, suite, wheels):
    """What debian_image is asked for: an interpreter, its standard library and the wheels."""
    python = "python{}.{}".format(*PYTHONS[suite][0])
    cache = Path(options["cache_dir"]).expanduser()
    return {
        "name": options["program"],
        "reference": "{}:{}".format(options["repository"], version.replace("+", "-")),
        "dest": options["dest"],
        "arch": options["arch"],
        "packages": [f"{python}-minimal", f"lib{python}-minimal", f"lib{python}-stdlib"],
        "libraries": list(LIBRARIES),
        "wheels": [str(wheel) for wheel in wheels],
        "entrypoint": [f"/usr/bin/{python}", "-m", *MODULES[options["program"]]],
        "cmd": None,
        "env": {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
        "user": USER,
        "cache_dir": str(cache / "packages"),
    }


def _builder(options):
    source = Path(options["source"] or Path(__file__).resolve().parents[2] / "python_runtime").expanduser()
    if not (source / "pyproject.toml").is_file():
        raise BundleError(f"there are no sources of the runtime in {source}: set `source`")
    return Builder(
        source,
        options["cache_dir"],
        options["wheelhouse"] or None,
        say=lambda text: display.vv("runtime_image: " + text),
        index_url=options["index_url"] or None,
    )


def _suite():
    """The controller's suite, whose mirror packages come from. Raises BundleError."""
    try:
        name = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        name = ""
    if name not in PYTHONS:
        raise BundleError(
            f"images of the runtime are built on {', '.join(PYTHONS)}; this controller is {name or 'neither'}"
        )
    return name
