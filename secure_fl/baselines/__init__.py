"""What a run has to beat, measured on the run's own records and settings."""
