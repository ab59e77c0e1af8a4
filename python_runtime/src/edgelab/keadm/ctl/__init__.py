"""`keadm ctl`: pods and devices of this node, on the node, with and without the cloud."""
