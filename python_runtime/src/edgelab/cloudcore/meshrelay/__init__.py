"""The mesh's relay: joins what one node asks for to the node that has it (docs/reference/edgemesh.md)."""
