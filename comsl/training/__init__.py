"""Training on ESPnet: task, trainers, batches, cached states."""
