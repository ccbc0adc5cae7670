"""What the engine process and the HTTP processes say to each other, as binary frames."""
