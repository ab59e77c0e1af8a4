"""The names of Services: a DNS server for the cluster's domain that forwards everything else."""
