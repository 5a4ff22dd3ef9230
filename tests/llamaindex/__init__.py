"""Tests of the LlamaIndex adapter, through the real OpenAI client against a server on this machine."""
