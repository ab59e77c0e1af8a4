"""The table of reports in PostgreSQL, and the statements on it."""

from __future__ import annotations

TABLE = "kubeedge_device"
SCHEMA = [
    """
CREATE TABLE IF NOT EXISTS kubeedge_device (
  "time" timestamptz NOT NULL,
  value text NOT NULL,
  namespace text NOT NULL,
  sensor text NOT NULL,
  active boolean NOT NULL DEFAULT true,
  device text NOT NULL,
  PRIMARY KEY (namespace, device, sensor, "time")
)
""",
    # Finds what a deletion has to change, however long the history is.
    "CREATE INDEX IF NOT EXISTS kubeedge_device_active ON kubeedge_device (namespace, device) WHERE active",
]

INSERT = """
INSERT INTO kubeedge_device ("time", value, namespace, sensor, device)
SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[])
ON CONFLICT (namespace, device, sensor, "time")
DO UPDATE SET active = true WHERE NOT kubeedge_device.active
"""
"""A report that is there already stays as it is; it is active again if its device was deleted and is back."""

RETIRE = """
UPDATE kubeedge_device SET active = false
WHERE (namespace, device, sensor, "time") IN (
  SELECT namespace, device, sensor, "time" FROM kubeedge_device
  WHERE namespace = %s AND device = %s AND active LIMIT 10000
)
"""

ACTIVE_DEVICES = """
WITH RECURSIVE found AS (
  (SELECT namespace, device FROM kubeedge_device WHERE active ORDER BY namespace, device LIMIT 1)
  UNION ALL
  SELECT later.* FROM found, LATERAL (
    SELECT namespace, device FROM kubeedge_device
    WHERE active AND (namespace, device) > (found.namespace, found.device)
    ORDER BY namespace, device LIMIT 1
  ) AS later
)
SELECT namespace, device FROM found
"""
"""Each device with active rows: one step through the index a device, not one a row."""
