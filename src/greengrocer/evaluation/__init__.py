"""How good a bundle is, judged by what ships: the bundle and the serving pipeline."""
