"""What operators see: health, metrics, traces, logs."""
