"""Containers from the client's side: the Container Runtime Interface over a unix socket."""
