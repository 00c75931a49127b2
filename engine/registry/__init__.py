"""Where models come from: folders, archives, object stores, and the registry of versions and aliases in them."""
