"""The built-in pictures, drawn by a program (see NOTICE). Each is named for what it shows."""
