"""What many tests share: images, bundles and servers that they make."""
