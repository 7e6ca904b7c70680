"""What a tenant's month came to, closed once: numbered, checksummed, never changed, adjusted in the next one."""
