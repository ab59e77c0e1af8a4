"""Logs, exec, attach and portForward of a kubelet, for EdgeStream in the same process."""
