"""Programs that stand in for kubeadm, kubelet and crictl in this scenario. They are no part of Kubernetes.

pkgs.k8s.io and registry.k8s.io are out of reach for the scenario. These programs take the arguments and
documents that the real ones take, leave the same files in the same places, and refuse what the real ones
refuse, as far as role kubeadm goes. The API behind admin.conf is a real one: EdgeSite, with its own checks of
tokens, certificates and rights. What they cannot prove is how the real programs behave beyond that.
"""
