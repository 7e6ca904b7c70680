"""GraphQL over HTTP, SSE and WebSocket: the transport and its guards. It knows no noun of the product."""
