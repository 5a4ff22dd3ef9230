"""The same workload through both adapters."""
