"""The addresses of Services: connections and datagrams brought to a ready endpoint."""
