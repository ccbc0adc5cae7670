"""The float weights of the bundles that ship with greengrocer, a folder a bundle."""
