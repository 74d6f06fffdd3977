"""Search strategies, one a file; `base.py` is the contract, `registry.py` builds one by name."""
