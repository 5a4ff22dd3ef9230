"""The task types of the demo: one module a type, each with a ``build()`` that returns its prompts in a fixed order."""
