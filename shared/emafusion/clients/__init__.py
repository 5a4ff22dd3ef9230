"""Clients: models that are asked with neither framework."""

from __future__ import annotations

from emafusion.clients.openai import OpenAIModel, OpenAITransport, resolve

__all__ = ["OpenAIModel", "OpenAITransport", "resolve"]
