"""EdgeMesh: Service names and ports at the edge, in a process of its own (docs/reference/edgemesh.md)."""
