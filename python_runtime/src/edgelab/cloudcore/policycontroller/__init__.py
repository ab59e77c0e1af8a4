"""What the ServiceAccounts of edge pods may do, brought to the nodes that have to decide it themselves."""
