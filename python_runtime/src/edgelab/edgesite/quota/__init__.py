"""What a namespace may hold: how admission and a controller count it for ResourceQuotas."""
