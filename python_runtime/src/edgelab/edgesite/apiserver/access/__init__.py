"""Who may do what: RBAC, rules for nodes, impersonation, and the roles that all clusters have."""
