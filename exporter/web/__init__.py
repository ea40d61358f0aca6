"""HTTP: what is answered (app) and how it is served (server)."""
