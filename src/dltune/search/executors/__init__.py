"""Where trials are trained; `protocol.py` is the contract."""
