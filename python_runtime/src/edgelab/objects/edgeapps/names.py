"""Labels, annotations and finalizers of node groups and their applications.

Facts: KubeEdge `cloud/pkg/controllermanager/nodegroup`, `edgeapplication/constants`.
"""

from __future__ import annotations

BELONGING_TO = "apps.kubeedge.io/belonging-to"
"""Label of a Node: the NodeGroup that it is in."""
ZONE = "topology.kubernetes.io/zone"
"""Label of a Node: also the group, where the group says `topologyEnabled`."""
FINALIZER = "apps.kubeedge.io/nodegroup-controller"
"""Of a NodeGroup: its labels are taken off the nodes before it goes."""
SERVICE_TOPOLOGY, NODE_GROUP = "apps.kubeedge.io/service-topology", "range-nodegroup"
"""Annotation of a Service and its value: endpoints are for nodes of the same group only."""
LAST_APPLIED = "apps.kubeedge.io/last-applied-template"
"""Annotation of an object that an EdgeApplication made: the JSON of what was asked for."""
LAST_CONTAINED = "apps.kubeedge.io/last-contained-resources"
"""Annotation of an EdgeApplication: the JSON list of the objects that it made."""
