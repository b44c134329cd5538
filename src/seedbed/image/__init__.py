"""What a container image is: what it says of itself, a digest of what is in it, and how two of them differ."""

from seedbed.image.contents import digest_tree
from seedbed.image.description import FOLDER, NAME, Image, read_image

__all__ = ["FOLDER", "NAME", "Image", "digest_tree", "read_image"]
