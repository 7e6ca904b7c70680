"""What tenants pay: modelled from their tier, or actual revenue, which wins."""
