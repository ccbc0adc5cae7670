"""The built-in pictures, drawn by a program (see NOTICE), each named for the class that it shows."""
