"""Bundles in object stores and on web servers: fetched into a cache, and pushed."""
