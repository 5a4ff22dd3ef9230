"""The engine: one generator of steps, and four drivers that run it."""
