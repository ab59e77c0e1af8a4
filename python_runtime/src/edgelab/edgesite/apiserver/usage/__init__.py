"""`metrics.k8s.io`: what nodes and pods use, for `kubectl top`, as metrics-server answers it.

`page` reads what a kubelet tells, `history` keeps two readings of each and what lies between them,
`collector` asks the kubelets while somebody wants to know, `answers` is the API.
"""
