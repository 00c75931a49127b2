"""How schools teach to write the digits: the lines of each digit in its variants, without pen and hand."""
