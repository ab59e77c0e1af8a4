"""A mapper of one's own: counts readings, and tells the secret that it was given."""

import os
import sys
from pathlib import Path

from edgelab.mappers.sdk import Device, Driver, Property, Value
from edgelab.mappers.sdk.app import main


class Counter(Driver):
    """One device."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.count = 0
        self.secret = Path(os.environ["CREDENTIALS_DIRECTORY"], "seed").read_text(encoding="utf-8")

    async def read(self, prop: Property) -> Value:
        """How often it was asked, or the secret backwards."""
        if prop.name == "secret":
            return self.secret[::-1]
        self.count += 1
        return self.count


if __name__ == "__main__":
    sys.exit(main("counter-mapper", Counter, protocol="counter"))
