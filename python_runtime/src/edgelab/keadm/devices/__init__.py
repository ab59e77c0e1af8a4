"""`keadm device`: devices of the cluster with what they report, and changing what they are to do."""
