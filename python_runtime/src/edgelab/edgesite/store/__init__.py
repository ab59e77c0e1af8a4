"""EdgeSite's store: objects as encoded bytes, every write under the next revision, in SQLite.

`Store` holds the present state in memory and the log of revisions on disk; it knows nothing of
Kubernetes but that a write is encoded after its revision is known.
"""

from edgelab.edgesite.store.entries import Entry, Event, Key
from edgelab.edgesite.store.errors import Compacted, StoreFailed
from edgelab.edgesite.store.store import Store
from edgelab.edgesite.store.watch import Ended, Overrun, Watch

__all__ = ["Compacted", "Ended", "Entry", "Event", "Key", "Overrun", "Store", "StoreFailed", "Watch"]
