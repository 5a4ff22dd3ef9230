"""The same workload through both adapters."""

import pytest

for framework in ("langchain_core", "llama_index.core"):
    pytest.importorskip(framework, reason=f"there is nothing to compare without {framework}")
