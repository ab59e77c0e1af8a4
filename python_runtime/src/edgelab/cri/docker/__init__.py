"""The Docker Engine API as a container runtime: pods as dockershim made them. Imported only when chosen."""
