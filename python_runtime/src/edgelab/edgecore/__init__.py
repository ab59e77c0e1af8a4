"""EdgeCore: the node's side."""
