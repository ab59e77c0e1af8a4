"""The program `edgelab-cpu-temperature`."""

from __future__ import annotations

import json
import sys

from edgelab import __version__
from edgelab.daemon.errors import Fatal
from edgelab.daemon.main import configure_logging, run
from edgelab.mappers.cpu_temperature import app, options, sensor


def main() -> int:
    """Run the mapper; the exit status."""
    arguments = options.parse()
    configure_logging()
    try:
        if arguments.describe:
            found = sensor.find(arguments.sensor or "auto")
            print(json.dumps({"kind": found.kind, "source": found.source, "version": __version__}))
            return 0
        gathered = options.gather(arguments)
    except Fatal as error:
        print(f"edgelab-cpu-temperature: {error}", file=sys.stderr)
        return error.code
    return run("edgelab-cpu-temperature", lambda: app.serve(gathered))


if __name__ == "__main__":
    sys.exit(main())
