"""What every mapper needs: a broker that comes and goes, and a device twin to report to.

A mapper of ours speaks KubeEdge's MQTT topics (`$hw/events/device/...`), so it works with any EdgeCore.
"""

from edgelab.mappers.sdk.device import DeviceTwin, Reading
from edgelab.mappers.sdk.mqtt import Broker, Offline

__all__ = ["Broker", "DeviceTwin", "Offline", "Reading"]
