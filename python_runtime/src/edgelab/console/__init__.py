"""The lab's web page: nodes, pods and devices as they are now, and the curves of what devices report."""
