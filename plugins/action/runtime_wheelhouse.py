"""runtime_wheelhouse: all of it runs here, on the controller."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.foreign_root import ForeignError
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.runtime_bundle import Builder, BundleError
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.wheelhouse import Wheelhouse

display = Display()
SPEC = {
    "dest": {"type": "path", "required": True},
    "targets": {"type": "list", "elements": "dict", "required": True},
    "profiles": {"type": "list", "elements": "str", "default": ["edge", "cloud"]},
    "extras": {"type": "list", "elements": "str", "default": []},
    "source": {"type": "path"},
    "cache_dir": {"type": "path", "default": "~/.cache/edgelab"},
    "index_url": {"type": "str", "no_log": True},
    "debian_mirror": {"type": "str", "default": "http://deb.debian.org/debian"},
    "build": {"type": "bool", "default": True},
}


def _say(text):
    """Progress for everybody to see: it takes minutes."""
    display.display("runtime_wheelhouse: " + text)


class ActionModule(ActionBase):
    """Fills the wheelhouse."""

    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        """See the module's documentation."""
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        if self._task.check_mode:
            result.update(skipped=True, msg="wheels are not gathered in check mode")
            return result
        beside = Path(__file__).resolve().parents[2] / "python_runtime"
        source = Path(options["source"] or beside)
        try:
            builder = Builder(source, options["cache_dir"], say=_say, index_url=options["index_url"] or None)
            house = Wheelhouse(builder, options["dest"], options["debian_mirror"], build=options["build"])
            house.fill(options["targets"], [*options["profiles"], *options["extras"]])
        except (BundleError, ForeignError, OSError) as error:
            result.update(failed=True, msg=f"runtime_wheelhouse: {error}")
            return result
        result.update(
            changed=house.changed, version=builder.version, built=sorted(house.built), absent=house.absent
        )
        return result
