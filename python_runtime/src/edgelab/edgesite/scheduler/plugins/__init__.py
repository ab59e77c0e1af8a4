"""The rules by which nodes are refused and compared, named as kube-scheduler's plugins are."""
