"""Policies: which move to make next, given all that is known."""
