"""The binary frames that the HTTP processes and the engine process send each other."""
