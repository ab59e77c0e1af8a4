"""A kubelet's streaming server, for runtimes that have none (`k8s.io/kubelet/pkg/cri/streaming`).

In EdgeCore's own process and without a port: EdgeStream gets the other end of a socket pair. Imported with
the first command, attach or port of a runtime that gives streams (`edgelab.cri.joining`).
"""
