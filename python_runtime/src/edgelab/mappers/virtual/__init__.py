"""A mapper without hardware: random values and waveforms, each device labelled as simulated."""
