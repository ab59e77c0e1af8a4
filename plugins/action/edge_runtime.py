"""The controller's part of edge_runtime: build or find the bundle, and send it only when it is needed."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils.runtime_bundle import (
    Builder,
    BundleError,
    with_extras,
)

display = Display()
DEFAULT_CACHE = "~/.cache/edgelab"
MODULE = "edgelab.kubeedge.edge_runtime"


class ActionModule(ActionBase):
    """Runs the module once; a second time with the bundle when the host lacks the version."""

    TRANSFERS_FILES = True
    _VALID_ARGS = None

    def run(self, tmp=None, task_vars=None):
        """See the module's documentation."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("state", "present") != "present":
            result.update(
                self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
            )
            return result
        try:
            builder = self._builder(arguments)
            profile = with_extras(arguments.get("profile", "edge"), arguments.get("extras"))
            arguments["version"] = builder.installed_version(profile)
            answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
            if answer.pop("needs_bundle", False):
                bundle = builder.bundle(profile, answer["python"])
                answer = self._install(bundle, arguments, task_vars)
        except BundleError as error:
            answer = {"failed": True, "msg": f"edge_runtime: {error}"}
        result.update(answer)
        return result

    def _builder(self, arguments):
        # plugins/action/edge_runtime.py -> the collection's (or the checkout's) python_runtime
        beside = Path(__file__).resolve().parents[2] / "python_runtime"
        source = Path(arguments.get("source") or beside).expanduser()
        if not (source / "pyproject.toml").is_file():
            raise BundleError(f"there are no sources of the runtime in {source}: set `source`")
        cache = arguments.get("cache_dir") or DEFAULT_CACHE
        return Builder(
            source,
            cache,
            arguments.get("wheelhouse"),
            say=lambda text: display.vv("edge_runtime: " + text),
            index_url=arguments.get("index_url"),
        )

    def _install(self, bundle, arguments, task_vars):
        directory = self._make_tmp_path()
        try:
            remote = self._connection._shell.join_path(directory, bundle.name)
            self._transfer_file(str(bundle), remote)
            self._fixup_perms2((directory, remote))
            return self._execute_module(
                module_name=MODULE, module_args=dict(arguments, bundle=remote), task_vars=task_vars
            )
        finally:
            self._remove_tmp_path(directory)
