"""EdgeHub: the node's certificate and its connection to CloudCore."""
