"""The demo: our own prompts with programmatic graders, and what three small local models answered to them."""
