"""The edge and only composition root: HTTP, GraphQL and the command line."""
