"""From labelled images and a recipe to a bundle; needs the extra ``train``."""
