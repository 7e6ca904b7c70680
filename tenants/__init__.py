"""Who may see and send what: API keys, their roles and their scope."""
