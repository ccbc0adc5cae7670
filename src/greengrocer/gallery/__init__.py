"""The built-in images, drawn by a program (see NOTICE). Each is named for what it shows."""
