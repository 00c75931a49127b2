"""How a lane opens its partition: it finds the offset to start at, which no other instance can change any more."""
