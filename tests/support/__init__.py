"""What many tests share: pictures, bundles and servers that they make."""
