"""The commands of `digit-engine`."""
