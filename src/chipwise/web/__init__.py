"""HTTP servers' way in: what the server of plans and the what-if page share."""
