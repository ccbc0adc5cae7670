"""What is wrong with a folder of labelled images, found before anything is trained on it."""
