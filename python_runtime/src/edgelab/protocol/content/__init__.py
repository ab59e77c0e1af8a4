"""What hub messages carry, as typed models; `catalogue` says which message has which."""
