"""Devices, their models and their statuses in both of KubeEdge's layouts, v1alpha2 (before 1.15) and v1beta1.

Objects are plain dicts and are not changed; what is given back is new. What has no place in the other
layout is kept in an annotation, so that going there and back loses nothing.
The mapping: docs/reference/devices.md.
"""
