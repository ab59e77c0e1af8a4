"""CloudCore: the cloud's side."""
