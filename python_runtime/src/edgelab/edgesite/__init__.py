"""EdgeSite: the embedded control plane."""
