"""From labelled pictures and a recipe to a bundle; needs the extra ``train``."""
