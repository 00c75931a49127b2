"""One module for each command of `digit-producer`: its options, what it does, how it reports."""
