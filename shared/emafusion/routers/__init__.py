"""Routers: from a query to a forecast."""
