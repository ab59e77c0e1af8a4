"""cloudcore.yaml and edgecore.yaml: typed, defaulted, validated."""
