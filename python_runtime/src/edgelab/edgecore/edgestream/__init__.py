"""EdgeStream: the edge's end of the tunnel for logs, commands and ports."""
