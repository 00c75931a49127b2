"""How a lane opens its partition: it fences the previous owner and finds the offset to start at."""
