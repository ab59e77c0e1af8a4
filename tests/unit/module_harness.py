"""Run a module of this collection in this process, with a keadm that the test writes."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.module_utils.testing import patch_module_args

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "collections"))
REAL_KEADM = CHECKOUT / ".venv" / "bin" / "keadm"


def run(module: ModuleType, **options: Any) -> dict[str, Any]:
    """The result that the module would hand to Ansible; `failed` is set when it failed."""
    out = io.StringIO()
    with patch_module_args(options), contextlib.redirect_stdout(out):
        try:
            module.main()
        except SystemExit as end:
            status = end.code
    result: dict[str, Any] = json.loads(out.getvalue().strip().splitlines()[-1])
    result["failed"] = bool(status)
    return result


class FakeKeadm:
    """A program that answers each subcommand with what the test wants, and remembers how it was called."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "keadm"
        self.answers = directory / "answers.json"
        self.log = directory / "calls.jsonl"
        self.answer()
        self.path.write_text(
            f"#!{sys.executable}\n"
            "import json, sys\n"
            "words = sys.argv[1:]\n"
            "stdin = '' if sys.stdin.isatty() else sys.stdin.read()\n"
            f"with open({str(self.log)!r}, 'a') as log: log.write(json.dumps([words, stdin]) + '\\n')\n"
            f"answers = json.load(open({str(self.answers)!r}))\n"
            "key = next(k for k in (' '.join(words[:2]), words[0], '') if k in answers)\n"
            "answer = answers[key]\n"
            "print(answer if isinstance(answer, str) else json.dumps(answer))\n"
            "sys.exit(1 if 'error' in answer else 0)\n"
        )
        self.path.chmod(0o755)

    def answer(self, **answers: Any) -> None:
        """Answers by subcommand (`node_get`); `default` for all others."""
        named = {key.replace("_", " "): value for key, value in answers.items() if key != "default"}
        self.answers.write_text(json.dumps({**named, "": answers.get("default", {"changed": False})}))

    @property
    def calls(self) -> list[tuple[list[str], str]]:
        """Words and stdin of each call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [tuple(json.loads(line)) for line in lines]
