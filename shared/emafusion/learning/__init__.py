"""Learning: from outcomes to a fitted router."""
