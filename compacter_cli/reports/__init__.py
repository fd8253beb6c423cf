"""Tables, figures and pages out of what sweeps and runs have left."""
