"""What everything stands on: errors, files, schema, parameters, checkpoints, workers, cluster, memory."""
