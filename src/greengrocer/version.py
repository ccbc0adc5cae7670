"""The version of the product, for code that must not import the package itself."""

__version__ = "0.1.0"
